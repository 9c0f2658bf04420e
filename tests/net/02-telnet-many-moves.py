#!/usr/bin/python3
"""
   client                         [switch]                 server
   telnet -> cproxy    eth0 ═══════════════════════ eth0   sproxy -> telnetd -> sh, ping localhost
                       10.0.0.x, ever another       10.0.0.2

Goal of this test: twenty moves in a row, at random moments, to random addresses, with random pauses without
any address, some of them so quick that the link of the last move cannot be up yet. Nothing is lost, nothing
is doubled, and something typed in every move arrives once.

    02-telnet-many-moves.py [SEED]
"""

import random
import sys
import time

import harness
from telnet import both

seed = int(sys.argv[1]) if len(sys.argv) > 1 else time.time_ns() % 1_000_000


def scenario(world):
    world.say(f"seed {seed}")
    dice = random.Random(seed)
    net = harness.Lan(world)
    held, direct = both(world, net)
    direct.terminal.kill()

    for _ in range(20):
        address = f"10.0.0.{dice.choice([n for n in range(11, 250) if not net.address.endswith(f'.{n}')])}"
        if dice.random() < 0.5:
            net.move(address)
        else:
            net.go_away()
            world.during(dice.uniform(0.0, 1.0), "without any address")
            net.come_back(address)
        held.type_something()
        world.during(dice.choice([0.0, 0.002, 0.02, 0.2, 0.8]), "left in peace")

    held.until_typed_arrived()
    held.until_pings(10)
    held.faultless()
    held.leave()


harness.main(scenario)
