#!/usr/bin/python3
"""
   client                              [router]                  server
   telnet -> cproxy    eth0 ════ c0   forwards,    s0 ════ eth0  sproxy -> telnetd -> sh, ping localhost
   telnet (control)    10.1.0.10     or answers                  10.9.0.2
                                     with a reset

Goal of this test: a middlebox resets the link: for cproxy only (sproxy then still believes in the old link), for
sproxy only, and for both. The Holdfast session goes on each time. The direct one, the control, is ended by the
last round, which resets every connection.
"""

import harness
from telnet import Dead, both


def scenario(world):
    net = harness.Routed(world)
    held, direct = both(world, net)

    for who, rule in ( ("cproxy", "tcp dport 6000"), ("sproxy", "tcp sport 6000"), ("everybody", "ip protocol tcp") ):
        net.reset_everything(rule)
        held.type_something()
        if who == "everybody":
            direct.terminal.type("echo x\r")
        world.during(0.7, f"the middlebox resets {who}")
        world.until(lambda: net.resets() > 0, 15, "the middlebox to reset somebody")
        if who == "everybody":
            world.until(lambda: not direct.terminal.running(), 15, "the direct telnet to be ended by a reset")
        world.say(f"the middlebox sent {net.resets()} resets")
        net.stop_resetting()
        if who == "everybody":
            control = Dead(world, direct)
        held.until_typed_arrived(10)
        held.until_pings(5)

    control.check()
    held.faultless()
    held.leave()


harness.main(scenario)
