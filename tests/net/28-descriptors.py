#!/usr/bin/python3
"""
   client                              [router]            server
   app, and many apps -> cproxy ═══════════════════ eth0   sproxy -> target
                         at most 64 descriptors            at most 64 descriptors (part `sproxy`)

Goal of this test: a proxy that has run out of descriptors says so, does not turn in circles and does not end. The session
that was there goes on and even moves; whoever cannot be accepted waits or is told, and comes in when others have gone.

    28-descriptors.py cproxy | sproxy
"""

import sys
import time

import harness
from flows import Listener, ask, dial

part = sys.argv[1] if len(sys.argv) > 1 else "cproxy"
LIMITED = ["prlimit", "--nofile=64:64"]


def scenario(world):
    net = harness.Routed(world)
    target = Listener(world, net.server, 7000)
    if part == "sproxy":
        poor = world.sproxy(net.server, "--target", "127.0.0.1:7000", 6000, before=LIMITED)
        world.cproxy(net.client, 5000, net.server_address, 6000)
    else:
        world.sproxy(net.server, "--target", "127.0.0.1:7000", 6000)
        poor = world.cproxy(net.client, 5000, net.server_address, 6000, before=LIMITED)
    talker = dial(world, net.client, "127.0.0.1", 5000, "talker")
    answerer = target.next()
    words = 0

    def answers(timeout=10):
        nonlocal words
        words += 1
        ask(world, talker, answerer, b"word %d\n" % words, timeout)

    answers()
    poor.mark()
    crowd = [dial(world, net.client, "127.0.0.1", 5000, f"app {number}") for number in range(150)]
    for app in crowd:
        app.write(b"hello")
    world.until(lambda: any("open files" in line for line in poor.since()), 15, lambda: f"{poor.name} to say that descriptors have run out")
    spent, began = poor.cpu_seconds(), time.monotonic()
    for _ in range(30):
        answers()
        world.during_quietly(0.1)
    lasted = time.monotonic() - began
    world.check(poor.cpu_seconds() - spent < 0.3 * lasted, f"{poor.name} does not turn in circles: {poor.cpu_seconds() - spent:.2f} s of"
                f" processor time in {lasted:.1f} s")
    served = [app for app in crowd if not app.over]
    world.check(len(poor.since()) < 200, f"the session that was there goes on; {len(crowd) - len(served)} of 150 apps were told,"
                f" the others wait or work; {len(poor.since())} lines say so")

    # Once sessions had every descriptor, and the next link none: cproxy found one after 30 s, sproxy never.
    moved = time.monotonic()
    net.move(net.next_address())
    answers(40)
    world.check(time.monotonic() - moved < 20, f"it moves, too, in {time.monotonic() - moved:.1f} s")

    for app in crowd:
        app.close()

    def crowd_is_gone():  # those that still waited are accepted now, and end at once
        for far in target.ends:
            if far is not answerer and far.over:
                far.close()
        return poor.descriptors() < 20

    world.until(crowd_is_gone, 30, lambda: f"{poor.name} to have few descriptors ({poor.descriptors()})")
    late = dial(world, net.client, "127.0.0.1", 5000, "late")
    late.write(b"late")
    world.until(lambda: crowd_is_gone() and any(bytes(end.text) == b"late" for end in target.ends), 15, "a session after the crowd")
    answers()
    world.say("true: when the crowd has gone, a new session works")


harness.main(scenario)
