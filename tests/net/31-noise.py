#!/usr/bin/python3
"""
   client                              [router]            server
   app -> cproxy       eth0 ═══════════════════════ eth0   sproxy -> target
          noise0..9, more addresses, more routes

Goal of this test: a machine on which interfaces, addresses and routes come and go all the time (containers, temporary
IPv6 addresses, VPNs), none of which the link uses. The link stays the same connection, nothing is dialled, and the
proxies spend no processor time on it.

Then the opposite: an idle link with nothing under way dies without a sign. It must be noticed, another one be found with
one move, and after that nothing more be dialled.
"""

import time

import harness
from flows import Listener, ask, dial


def noise(net, number):
    """Some of what happens on such a machine; nothing is left of it."""
    name = f"noise{number % 10}"
    net.client.run("sh", "-ec", f"""
        ip link add {name} type veth peer name {name}p
        ip link set {name} up
        ip addr add 172.20.{number}.1/24 dev {name}
        ip addr add fd00:20:{number}::1/64 dev {name} nodad
        ip addr add fd00:1::{number + 100:x}/64 dev eth0 nodad
        ip addr add 10.1.0.{100 + number}/24 dev eth0
        ip route add 192.168.{number}.0/24 dev {name}
        ip rule add from 172.20.{number}.1 lookup main
        ip rule del from 172.20.{number}.1 lookup main
        ip addr del 10.1.0.{100 + number}/24 dev eth0
        ip addr del fd00:1::{number + 100:x}/64 dev eth0
        ip link set {name} down
        ip link del {name}""")


def scenario(world):
    net = harness.Routed(world)
    target = Listener(world, net.server, 7000)
    sproxy = world.sproxy(net.server, "--target", "127.0.0.1:7000", 6000)
    # Patient, so that a busy machine is not taken for a dead link.
    cproxy = world.cproxy(net.client, "--misses", "15", 5000, net.server_address, 6000)
    app = dial(world, net.client, "127.0.0.1", 5000, "app")
    far = target.next()

    def links():
        return [line.split()[3] for line in net.client.connections(6000)]

    ask(world, app, far, b"before")
    world.during(1, "at rest, to see what rest costs")
    quiet = cproxy.cpu_seconds(), time.monotonic()
    world.during(2, "at rest")
    at_rest = (cproxy.cpu_seconds() - quiet[0]) / (time.monotonic() - quiet[1])
    link = links()
    cproxy.mark(), sproxy.mark()
    spent, began = cproxy.cpu_seconds(), time.monotonic()
    for number in range(60):
        noise(net, number)
        world.turn(0)
        if number % 10 == 9:
            ask(world, app, far, b"word %d" % number)
    lasted = time.monotonic() - began
    share = (cproxy.cpu_seconds() - spent) / lasted
    world.same(links(), link, "the link is the same connection")
    world.same((cproxy.since(), sproxy.since()), ([], []), f"not a word about 60 interfaces and 240 addresses in {lasted:.0f} s")
    world.check(share < at_rest + 0.05, f"cproxy used {100 * share:.1f} % of a processor ({100 * at_rest:.1f} % at rest)")

    # An idle link dies without a sign; what is on the wire from now on is heartbeats only.
    world.during(1, "nobody says anything")
    began = time.monotonic()
    net.hole()
    world.until(lambda: any("nothing heard" in line for line in cproxy.since()), 20, "cproxy to notice that an idle link is dead")
    noticed = time.monotonic() - began
    world.check(noticed < 10, f"an idle link that died is noticed after {1000 * noticed:.0f} ms")
    world.during(1, "still dead")
    net.move(net.next_address())
    net.open()
    ask(world, app, far, b"after")
    world.until(lambda: not set(links()) & set(link), 10, "the link of before to be gone")
    world.say("true: the session goes on, on another link")
    world.until(lambda: len(links()) == len(net.server.connections(6000)) == 1, 10, "one link to be left")
    moves = [line for line in cproxy.since() if "moved" in line]
    suspicions = [line for line in cproxy.since() if "nothing heard" in line]
    world.check(1 <= len(moves) <= 2 and len(suspicions) == 1, f"one suspicion and one move, or two if the first welcome was late: {len(moves)}")
    cproxy.mark(), sproxy.mark()
    world.during(4, "to see whether anything more is dialled")
    world.same((cproxy.since(), sproxy.since()), ([], []), "and then peace")
    world.same((len(links()), len(net.server.connections(6000))), (1, 1), "one link at each end; the old one is closed")


harness.main(scenario)
