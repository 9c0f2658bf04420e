#!/usr/bin/python3
"""
   client                                  [router]            server
   app -> cproxy   eth0 10.1.0.10 ═══════ c0        s0 ═══════ eth0   sproxy -> target
                   eth1 10.3.0.10 ═══════ c1

Goal of this test: a machine with two ways out, as one with Wi-Fi and a cable.

    kept      the address stays and the route goes elsewhere: cproxy finds the other way
    gone      the route stays and the address is replaced
    both      address and route change together, and the server has moved as well, its name with it
    flapping  the default route goes back and forth, faster than links are made: the session lives, and there are not
              more moves than changes
    oneway    the address stays and the route goes by the other network, which lets no foreign address pass (somebody
              plugs in a cable, and the Wi-Fi stays): what we send is lost, what the other side sends arrives

    32-routes.py kept | gone | both | flapping | oneway
"""

import sys
import time

import harness
from flows import Listener, Source, dial

part = sys.argv[1] if len(sys.argv) > 1 else "kept"


def scenario(world):
    net = harness.TwoWays(world)
    net.client.knows("far.example", net.server_address)
    target = Listener(world, net.server, 7000)
    world.sproxy(net.server, "--target", "127.0.0.1:7000", 6000)
    cproxy = world.cproxy(net.client, 5000, "far.example", 6000)
    app = dial(world, net.client, "127.0.0.1", 5000, "app").expect(Source(2))
    far = target.next().expect(Source(1))
    upto = 0

    def flow(timeout=20, size=300_000):
        """More bytes both ways; returns how long they took."""
        nonlocal upto
        upto += size
        began = time.monotonic()
        app.send(Source(1), upto)
        far.send(Source(2), upto)
        world.until(lambda: app.got == far.got == upto, timeout, lambda: f"{upto} bytes both ways ({app!r}, {far!r})")
        return time.monotonic() - began

    def links():
        return [link.rsplit(":", 1)[0] for link in net.client.links()]

    flow()
    world.until(lambda: links() == ["10.1.0.10"], 10, lambda: f"the link to go by eth0 at first: {links()}")
    cproxy.mark()
    if part == "kept":
        net.kill(0)
        net.default(1)
        took = flow()
        world.until(lambda: links() == ["10.3.0.10"], 10, "the link by eth0 to be closed, which may be read for two seconds more")
        world.say(f"true: address kept, route changed: the link goes by eth1, after {took:.1f} s")
        world.check(took < 12, "and that was quick")
    elif part == "gone":
        net.client.run("sh", "-ec", "ip addr del 10.1.0.10/24 dev eth0; ip addr add 10.1.0.66/24 dev eth0;"
                                    " ip route replace default via 10.1.0.1")
        took = flow()
        world.until(lambda: links() == ["10.1.0.66"], 10, lambda: f"one link from the new address: {links()}")
        world.say(f"true: route kept, address gone: the link has the new one, after {took:.1f} s")
        world.check(took < 12, "and that was quick")
    elif part == "both":
        for number in range(3):
            new = f"10.9.0.{30 + number}"
            old = net.server_address if number == 0 else f"10.9.0.{29 + number}"
            net.client.run("sh", "-ec", f"ip link set eth{number % 2} down; ip link set eth{1 - number % 2} up;"
                                        f" ip route replace default via {net.gateways[1 - number % 2]}")
            net.server.run("sh", "-ec", f"ip addr del {old}/24 dev eth0; ip addr add {new}/24 dev eth0; ip route replace default via 10.9.0.1")
            net.client.knows("far.example", new)
            took = flow()
            world.check(took < 10, f"both ends moved at once, {old} -> {new}: the session went on after {took:.1f} s")
    elif part == "flapping":
        spent, began = cproxy.cpu_seconds(), time.monotonic()
        for number in range(20):
            way = (number + 1) % 2
            old, new = ("10.1.0.10/24 dev eth0", "10.3.0.10/24 dev eth1")[1 - way], ("10.1.0.10/24 dev eth0", "10.3.0.10/24 dev eth1")[way]
            if number == 0:
                net.client.ip("addr del", new)
            net.client.run("sh", "-ec", f"ip addr del {old}; ip addr add {new}; ip route replace default via {net.gateways[way]}")
            app.send(Source(1), upto + 10_000 * number)
            world.during_quietly((0.7, 0.05, 0.45, 0.1, 0.6)[number % 5])
        lasted = time.monotonic() - began
        took = flow(size=300_000)
        moves = [line for line in cproxy.since() if "moved" in line]
        world.check(2 <= len(moves) <= 21, f"20 changes in {lasted:.0f} s made {len(moves)} moves; the session went on after {took:.1f} s")
        world.check(cproxy.cpu_seconds() - spent < 0.3 * lasted, f"cproxy used {cproxy.cpu_seconds() - spent:.2f} s of processor time for it")
        cproxy.mark()
        world.during(2, "peace")
        world.same([line for line in cproxy.since() if "moved" in line], [], "and after that nothing moves any more")
    elif part == "oneway":
        net.router.nft("table ip strict { chain f { type filter hook forward priority 0; iif c1 ip saddr != 10.3.0.0/24 drop\n}\n}\n")
        net.default(1)
        upto += 10  # few bytes, so that nothing but the heartbeats of the other side tells
        began = time.monotonic()
        app.send(Source(1), upto)
        world.until(lambda: far.got == upto, 60, "ten bytes to arrive")
        took = time.monotonic() - began
        world.check(took < 10, f"our bytes were lost, the other side's came: it went on after {took:.1f} s")
        far.send(Source(2), upto)
        flow()
        world.until(lambda: links() == ["10.3.0.10"], 10, lambda: f"one link on the other way: {links()}")


harness.main(scenario)
