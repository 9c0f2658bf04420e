#!/usr/bin/python3
"""
   client                              [router]                  server
   telnet -> cproxy    eth0 ════ c0  10.1.0.1/24   s0 ════ eth0  sproxy -> telnetd -> sh, ping localhost
   telnet (control)    10.1.0.10     10.2.0.1/24                 10.9.0.2
                  then 10.2.0.20

Goal of this test: the client moves into another network, with another route and another gateway, and back,
and its interface goes down and up. The Holdfast session goes on; the direct one, the control, does not.
"""

import harness
from telnet import Dead, both


def scenario(world):
    net = harness.Routed(world)
    held, direct = both(world, net)

    net.move("10.2.0.20")
    held.type_something()
    held.until_typed_arrived()
    control = Dead(world, direct)
    held.until_pings(5)

    # Not back to where it came from: that would let the direct connection of the control live again.
    net.go_away()
    held.type_something()
    world.during(1, "without address and route")
    net.come_back("10.1.0.11")
    held.until_typed_arrived()
    held.until_pings(5)

    # The interface itself goes down and comes up: the kernel keeps the address, and forgets the route.
    net.client.ip("link set eth0 down")
    held.type_something()
    world.during(1, "the interface is down")
    net.client.run("sh", "-c", "ip link set eth0 up; ip route replace default via 10.1.0.1")
    held.until_typed_arrived()
    held.until_pings(5)

    control.check()
    held.faultless()
    held.leave()


harness.main(scenario)
