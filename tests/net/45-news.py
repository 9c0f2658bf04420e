#!/usr/bin/python3
"""
   client                                  [router]            server
   app -> cproxy   eth0 10.1.0.10 ═══════ c0        s0 ═══════ eth0   sproxy -> target
                   eth1 10.3.0.10 ═══════ c1

Goal of this test: what the kernel tells of the network is acted upon, and what does not concern the link is not. Silence
would tell cproxy nothing here for a minute (--misses 600), so whatever happens sooner happens because of the news.

    replaced  the address of the link is replaced: the link is, too
    better    the default route goes to the other interface while the first one lives: the link follows, and no word is late
    flapping  the default route goes back and forth for ten seconds: at most two moves
    noise     hundreds of changes a second that do not concern the link: the same link, and next to no processor time
    far       the server's address and name are replaced: sproxy drops the link at once
    deaf      netlink is forbidden: one line says so, and silence tells, as ever
    down      the interface of the link is set down and keeps its address: the link goes by the other one
    unplugged (with the usual patience) its cable is pulled, and it keeps address and route: likewise
    detour    (with the usual patience) the way of the link dies silently, and the other interface is up
    families  (with the usual patience) IPv6 is a black hole from the beginning, IPv4 works

    45-news.py replaced | better | flapping | noise | far | deaf | down | unplugged | detour | families
"""

import sys
import time

import harness
from flows import Listener, Source, dial, greet

part = sys.argv[1] if len(sys.argv) > 1 else "replaced"

DEAF = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <sys/socket.h>
int socket( int family, int type, int protocol )
{
  int ( *next )( int, int, int ) = (int ( * )( int, int, int ))dlsym( RTLD_NEXT, "socket" );
  if ( family == AF_NETLINK ) {
    errno = EPERM;
    return -1;
  }
  return next( family, type, protocol );
}
"""


def slowest_word(world, app, far, seconds):
    """Words back and forth for so long; how long the slowest of them took."""
    slowest, end = 0.0, time.monotonic() + seconds
    while (asked := time.monotonic()) < end:
        greet(world, app, far, b"word %f;" % asked)
        slowest = max(slowest, time.monotonic() - asked)
        world.during_quietly(0.01)
    return slowest


def replaced(world, net, cproxy, app, far):
    for _ in range(5):
        net.move(net.next_address())
        asked = time.monotonic()
        greet(world, app, far)
        took = time.monotonic() - asked
        world.check(took < 15, f"a word right after the move took {1000 * took:.0f} ms; without news it would be a minute")
    net.go_away()
    world.during(1, "no address at all")
    net.come_back(net.next_address())
    asked = time.monotonic()
    greet(world, app, far)
    world.check(time.monotonic() - asked < 15, f"and after a second without one {1000 * (time.monotonic() - asked):.0f} ms")


def on_the_other(world, net, address, what):
    """The only link is from there. The one before may be open for a moment, until both have read what the other said there."""
    world.until(lambda: [link.startswith(address) for link in net.client.links()] == [True], 10, lambda: f"{what}: {net.client.links()}")
    world.say(f"true: {what}")


def better(world, net, cproxy, app, far):
    net.default(1)
    slowest = slowest_word(world, app, far, 2)
    on_the_other(world, net, "10.3.0.10:", "the link is on the other interface")
    world.same(len(cproxy.lines("moved")), 1, "by one move")
    world.check(slowest < 5, f"the slowest word took {1000 * slowest:.0f} ms")
    world.same(cproxy.lines("nothing heard"), [], "nothing was suspected")


def flapping(world, net, cproxy, app, far):
    for number in range(40):
        net.default((number + 1) % 2)
        slowest_word(world, app, far, 0.25)
    moves = cproxy.lines("moved")
    world.check(len(moves) <= 2, f"40 changes of the default route in ten seconds, {len(moves)} moves")


def noise(world, net, cproxy, app, far):
    link, spent, began = net.client.links(), cproxy.cpu_seconds(), time.monotonic()
    script = ("while :; do for n in 1 2 3 4 5 6 7 8; do echo link add noise$n type veth peer name noise${n}p;"
              " echo addr add 172.20.$n.1/24 dev noise$n; echo link set noise$n up;"
              " echo addr add 10.1.0.10$n/24 dev eth0; echo addr add fd00:1::$n/64 dev eth0 nodad;"
              " echo route add 192.168.$n.0/24 dev noise$n;"
              " echo addr del 10.1.0.10$n/24 dev eth0; echo addr del fd00:1::$n/64 dev eth0; echo link del noise$n;"
              " done; done | ip -batch -")
    crowd = net.client.start("noise", "sh", "-c", script)
    counter = net.client.start("count", "sh", "-c", "exec ip -oneline monitor", quiet=True)
    slowest = slowest_word(world, app, far, 10)
    crowd.kill()
    counter.kill()
    lasted = time.monotonic() - began
    changes = len(counter.log().splitlines())
    used = cproxy.cpu_seconds() - spent
    world.check(changes > 100 * lasted, f"{changes / lasted:.0f} changes a second, the slowest word took {1000 * slowest:.0f} ms")
    world.same((net.client.links(), cproxy.lines("moved")), (link, []), "the same link")
    world.check(used < 0.25 * lasted, f"cproxy used {100 * used / lasted:.1f} % of a processor, words and heartbeats included")


def far_away(world, net, cproxy, app, far):
    net.server.run("sh", "-ec", "ip addr del 10.9.0.2/24 dev eth0; ip addr add 10.9.0.30/24 dev eth0; ip route replace default via 10.9.0.1")
    net.client.knows("far.example", "10.9.0.30")
    (sproxy,) = [program for program in world.programs if program.name == "sproxy"]
    world.until(lambda: sproxy.lines("our address 10.9.0.2 is gone"), 10, "sproxy to drop the link")
    greet(world, app, far)
    world.until(lambda: net.client.links(far_ends=True) == ["10.9.0.30:6000"], 10, lambda: f"one link to the new address: {net.client.links(far_ends=True)}")
    world.say("true: the session goes on with the server's new address")


def deaf(world, net, cproxy, app, far):
    world.same(len(cproxy.lines("does not tell us when the network changes")), 1, "one line says that there is no news")
    net.move(net.next_address())
    greet(world, app, far)
    world.check(cproxy.lines("nothing heard"), "silence told, and the session went on")


def down(world, net, cproxy, app, far, target):
    """Known bytes are under way both ways while it happens, and afterwards."""
    net.client.ip("route add default via 10.3.0.1 metric 1000")
    up, back, size = Source(1), Source(2), 100_000_000
    streams = dial(world, net.client, "127.0.0.1", 5000, "stream").expect(back), target.next().expect(up)
    streams[0].send(up, size, then_end=True)
    streams[1].send(back, size, then_end=True)
    world.until(lambda: min(stream.got for stream in streams) > size / 10, 20, lambda: f"a tenth of {streams}")
    if part == "down":
        net.client.ip("link set eth0 down")
    else:
        net.router.ip("link set c0 down")
    asked = time.monotonic()
    greet(world, app, far)
    took = time.monotonic() - asked
    world.check(max(stream.got for stream in streams) < size, f"it happened in the middle of {streams}")
    world.check("10.1.0.10/24" in net.client.ip("addr show dev eth0").stdout, f"eth0 is {part} and keeps its address")
    world.check(took < 15, f"a word right after that took {1000 * took:.0f} ms")
    world.until(lambda: all(link.startswith("10.3.0.10") for link in net.client.links()), 10, "the old link to be closed, which may be read for two seconds more")
    world.check(len(net.client.links()) <= 2, "the link goes by the other interface, and so does the one for bulk")
    world.until(lambda: all(stream.ends for stream in streams), 60, lambda: f"both streams to end {streams}")
    world.same([stream.sha256() for stream in streams], [back.sha256(size), up.sha256(size)], "every byte arrived, both ways")
    world.same(len(cproxy.lines("moved")), 1, "by one move")


def detour(world, net, cproxy, app, far):
    net.client.ip("route add default via 10.3.0.1 metric 1000")
    net.kill(0)
    asked = time.monotonic()
    greet(world, app, far)
    took = time.monotonic() - asked
    on_the_other(world, net, "10.3.0.10%eth1:", f"the link is bound to the other interface after {1000 * took:.0f} ms")
    world.check(took < 15, "and that was quick")


def families(world, net, cproxy, app, far):
    world.check(net.client.links()[0].startswith("10.1.0.10:"), "the link is IPv4")


def start(world, net):
    if part == "deaf":
        return world.cproxy(net.client, 5000, net.server_address, 6000, before=world.lied_to(DEAF))
    if part == "families":
        net.client.ip("addr add 2001:db8:1::10/64 dev eth0 nodad")
        net.client.ip("-6 route add default via 2001:db8:1::1")
        net.router.ip("addr add 2001:db8:1::1/64 dev c0 nodad")
        net.router.nft("table ip6 dead { chain p { type filter hook prerouting priority 0; tcp dport 6000 drop\n}\n}\n")
        net.client.knows("far.example", "2001:db8:9::2", net.server_address)
        return world.cproxy(net.client, 5000, "far.example", 6000)
    if part == "far":
        net.client.knows("far.example", net.server_address)
        return world.cproxy(net.client, 5000, "far.example", 6000)
    patience = [] if part in ("detour", "unplugged") else ["--misses", "600"]
    return world.cproxy(net.client, *patience, 5000, net.server_address, 6000)


def scenario(world):
    net = harness.TwoWays(world)
    target = Listener(world, net.server, 7000)
    world.sproxy(net.server, "--target", "127.0.0.1:7000", 6000)
    cproxy = start(world, net)
    app = dial(world, net.client, "127.0.0.1", 5000, "app")
    far = target.next()
    greet(world, app, far)
    parts = {"replaced": replaced, "better": better, "flapping": flapping, "noise": noise, "far": far_away, "deaf": deaf,
             **dict.fromkeys(("down", "unplugged"), lambda *all_that: down(*all_that, target)), "detour": detour, "families": families}
    parts[part](world, net, cproxy, app, far)


harness.main(scenario)
