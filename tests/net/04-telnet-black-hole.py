#!/usr/bin/python3
"""
   client                              [router]                  server
   telnet -> cproxy    eth0 ════ c0   forwards     s0 ════ eth0  sproxy -> telnetd -> sh, ping localhost
                       10.1.0.10     or swallows                 10.9.0.2

Goal of this test: the path swallows everything for a while and nobody is told. When it opens, data flows again
soon (plain TCP would wait up to 23 s more after a hole of 30 s, since its timer doubled), nothing is lost or
doubled, and what was typed into the hole arrives once.

    04-telnet-black-hole.py [SECONDS]
"""

import sys

import harness
from telnet import both

silent = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0


def scenario(world):
    net = harness.Routed(world)
    held, direct = both(world, net)
    direct.terminal.kill()

    net.hole()
    held.type_something()
    world.during(silent / 2, "silence")
    held.type_something()
    world.during(silent / 2, "silence")
    shown = len(held.sequence())
    net.open()
    held.until_typed_arrived(10)
    world.say("what was typed into the hole has come back from the far shell")
    world.check(len(held.sequence()) >= shown + silent / 0.2 * 0.7 - 3, "the pings of the silence are being shown")
    held.until_pings(5)
    held.faultless()
    held.leave()


harness.main(scenario)
