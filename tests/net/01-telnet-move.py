#!/usr/bin/python3
"""
   client                         [switch]                 server
   telnet -> cproxy    eth0 ═══════════════════════ eth0   sproxy -> telnetd -> sh, ping localhost
   telnet (control)    10.0.0.11, then 10.0.0.12    10.0.0.2

Goal of this test: the sentence of the assignment. A real telnet session with a running `ping localhost`
lives through `ip addr del A; ip addr add B`, back to back or with some seconds in between; what is typed
while there is no address arrives once. A direct telnet beside it, the control, must not survive.

    01-telnet-move.py [SECONDS WITHOUT ADDRESS]
"""

import sys

import harness
from telnet import Dead, both

away = float(sys.argv[1]) if len(sys.argv) > 1 else 0.0


def scenario(world):
    net = harness.Lan(world)
    held, direct = both(world, net)

    if away == 0:
        net.move("10.0.0.12")
        held.type_something()
    else:
        net.go_away()
        held.type_something()
        world.during(away, "without any address")
        held.type_something()
        net.come_back("10.0.0.12")

    control = Dead(world, direct)
    held.until_typed_arrived()
    held.until_pings(15)
    control.check()
    held.faultless()
    held.leave()


harness.main(scenario)
