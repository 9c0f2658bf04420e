#!/usr/bin/python3
"""
   client                              [router]            server
   app -> cproxy       eth0 ═══════════════════════ eth0   sproxy -> target
          far.example       10.1.0.10            10.9.0.2, later 10.9.0.3
          fd00:9::2         fd00:1::10           fd00:9::2

Goal of this test: the far side may be given as a name, as an IPv4 or as an IPv6 literal. A name is resolved again at
each dial, so the server, too, may move; one dead address of several does not hold us up; and over IPv6 the client moves
as it does over IPv4.
"""

import time

import harness
from flows import Listener, Source, dial

SIZE = 1_000_000


def scenario(world):
    net = harness.Routed(world)
    net.router.run("sysctl", "-qw", "net.ipv6.conf.all.forwarding=1")
    net.router.ip("addr add fd00:1::1/64 dev c0 nodad")
    net.router.ip("addr add fd00:9::1/64 dev s0 nodad")
    net.server.ip("addr add fd00:9::2/64 dev eth0 nodad")
    net.server.ip("route add default via fd00:9::1")
    net.client.ip("addr add fd00:1::10/64 dev eth0 nodad")
    net.client.ip("route add default via fd00:1::1")
    net.client.knows("far.example", "10.9.0.2")

    target = Listener(world, net.server, 7000)
    world.sproxy(net.server, "--target", "127.0.0.1:7000", 6000)
    world.cproxy(net.client, 5000, "far.example", 6000, name="cproxy-name")
    world.cproxy(net.client, 5001, "fd00:9::2", 6000, name="cproxy-ipv6")

    def pair(port):
        app = dial(world, net.client, "127.0.0.1", port, f"app{port}").expect(Source(1))
        return app, target.next().expect(Source(2))

    def transfer(app, far, upto):
        app.send(Source(2), upto)
        far.send(Source(1), upto)
        world.until(lambda: app.got == far.got == upto, 30, lambda: f"{upto} bytes both ways ({app!r}, {far!r})")

    by_name, by_ipv6 = pair(5000), pair(5001)
    transfer(*by_name, SIZE)
    transfer(*by_ipv6, SIZE)
    ends = net.client.links(far_ends=True)
    world.check(any(end.startswith("[fd00:9::2]") for end in ends), f"one link goes over IPv6 {ends}")

    net.client.run("sh", "-c", "ip addr del fd00:1::10/64 dev eth0; ip addr add fd00:1::11/64 dev eth0 nodad;"
                               " ip route replace default via fd00:1::1")
    transfer(*by_ipv6, 2 * SIZE)
    world.say("true: the session over IPv6 goes on after fd00:1::10 -> fd00:1::11")

    net.client.knows("far.example", "10.9.0.3")
    net.server.run("sh", "-c", "ip addr del 10.9.0.2/24 dev eth0; ip addr add 10.9.0.3/24 dev eth0;"
                               " ip route replace default via 10.9.0.1")
    transfer(*by_name, 2 * SIZE)
    world.say("true: the session by name goes on after the SERVER moved 10.9.0.2 -> 10.9.0.3 and its name with it")

    # A name with two addresses, of which the first is a black hole: that may not cost long.
    net.client.knows("far.example", "10.9.0.99", "10.9.0.3")
    net.move("10.2.0.20")
    moved = time.monotonic()
    transfer(*by_name, 3 * SIZE)
    world.check(time.monotonic() - moved < 20, f"one of two addresses is dead: it went on after {time.monotonic() - moved:.1f} s")


harness.main(scenario)
