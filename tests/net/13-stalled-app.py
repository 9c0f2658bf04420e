#!/usr/bin/python3
"""
   client                              [router]            server
   sleeper -> cproxy   eth0 ═══════ the link ══════ eth0   sproxy -> its target sends and sends
   talker  ->               ─ and one for bulk ────               -> its target answers each line
   pusher  ->                                                     -> its target does not read

Goal of this test: an app that stops reading for 30 s (Ctrl-S, Ctrl-Z), and a target that does, stall nobody but
themselves. The talker beside them gets each answer quickly, the link stays the same connection all the time, memory
stays bounded, and in the end the sleepers find every byte.
"""

import time

import harness
from flows import Listener, Source, ask, dial

SIZE, SILENCE = 150_000_000, 30


def scenario(world):
    net = harness.Routed(world)
    target = Listener(world, net.server, 7000)
    sproxy = world.sproxy(net.server, "--target", "127.0.0.1:7000", 6000)
    cproxy = world.cproxy(net.client, 5000, net.server_address, 6000)

    talker = dial(world, net.client, "127.0.0.1", 5000, "talker")
    answerer = target.next()
    at_first = net.client.one_link()
    down, up = Source(1), Source(2)
    sleeper = dial(world, net.client, "127.0.0.1", 5000, "sleeper").expect(down)
    target.next().send(down, SIZE, then_end=True)
    pusher = dial(world, net.client, "127.0.0.1", 5000, "pusher").send(up, SIZE, then_end=True)
    drowsy = target.next().expect(up)
    world.until(lambda: sleeper.got > 1_000_000 and drowsy.got > 1_000_000, 20, "both streams to flow")
    sleeper.pause()
    drowsy.pause()
    world.say("the sleeper and the target of the pusher stop reading")

    slowest, turns, end = 0.0, 0, time.monotonic() + SILENCE
    while time.monotonic() < end:
        turns += 1
        asked = time.monotonic()
        slowest = max(slowest, ask(world, talker, answerer, b"question %d\n" % turns, 10))
        world.until(lambda: time.monotonic() > asked + 0.1, 1, "the next question")
    world.check(slowest < 6, f"{turns} questions were answered, the slowest in {1000 * slowest:.0f} ms")
    world.check(at_first[0] in net.client.links(), "the link is the same connection as before")
    world.check(sleeper.got < SIZE and drowsy.got < SIZE, "the sleepers were asleep in the middle of their streams")
    held = max(cproxy.memory_kib(), sproxy.memory_kib())
    world.check(held < 400_000, f"memory is bounded: cproxy {cproxy.memory_kib()} KiB, sproxy {sproxy.memory_kib()} KiB")

    sleeper.resume()
    drowsy.resume()
    world.until(lambda: sleeper.ends and drowsy.ends, 60, lambda: f"both streams to end ({sleeper!r}, {drowsy!r})")
    world.same((sleeper.sha256(), drowsy.sha256()), (down.sha256(SIZE), up.sha256(SIZE)), "every byte has arrived")
    world.check(at_first[0] in net.client.links(), "the link is still the same connection")


harness.main(scenario)
