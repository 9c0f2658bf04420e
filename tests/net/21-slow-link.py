#!/usr/bin/python3
"""
   client                              [router]            server
   bulk   -> cproxy    eth0 ═══════════ 1 Mbit/s ══ eth0   sproxy -> its target sends and sends
   talker ->                                                     -> its target answers

Goal of this test: a slow link is not a dead link. Both directions are full, their queues hold up to two seconds of
bytes, so every heartbeat and every answer comes late. Nothing may be taken for a loss: the link stays the same
connection, everything arrives, and the talker beside the bulk gets its answers. What waits in our own kernel, where the
talker's words would have to wait behind it, is no more than the line carries in a blink. And the same if there may be one
link only.

    21-slow-link.py [one-link]
"""

import re
import sys
import time

import harness
from flows import Listener, Source, dial

SIZE = 1_200_000  # ten seconds of this line
one_link = "one-link" in sys.argv[1:]
KNOWN = 3  # seconds until the rate of the line is known on both sides


def unsent(space, port):
    """Bytes of the link that its kernel has not sent yet."""
    shown = space.run("ss", "-tinH", f"sport = :{port} or dport = :{port}").stdout
    return max((int(number) for number in re.findall(r"notsent:(\d+)", shown)), default=0)


def scenario(world):
    net = harness.Routed(world)
    for port in ("c0", "s0"):
        net.router.run("tc", "qdisc", "replace", "dev", port, "root", "tbf", "rate", "1mbit", "burst", "16kb", "latency", "2s")
    target = Listener(world, net.server, 7000)
    world.sproxy(net.server, "--target", "127.0.0.1:7000", 6000)
    cproxy = world.cproxy(net.client, *["--no-bulk-link"] * one_link, 5000, net.server_address, 6000)

    up, down = Source(1), Source(2)
    bulk = dial(world, net.client, "127.0.0.1", 5000, "bulk").expect(down)
    far = target.next().expect(up)
    talker = dial(world, net.client, "127.0.0.1", 5000, "talker")
    answerer = target.next()
    at_first = net.client.one_link()
    began = time.monotonic()
    cproxy.mark()
    bulk.send(up, SIZE, then_end=True)
    far.send(down, SIZE, then_end=True)

    waits, queued = [], []
    while not (bulk.ends and far.ends):
        word = b"word %d\n" % len(waits)
        asked = time.monotonic()
        talker.write(word)
        world.until(lambda: answerer.text.endswith(word), 30, "the talker's word to arrive")
        answerer.write(word)
        world.until(lambda: talker.text.endswith(word), 30, "the answer to arrive")
        waits.append(time.monotonic() - asked)
        if time.monotonic() - began > KNOWN:
            queued += [unsent(net.client, 6000), unsent(net.server, 6000)]
        if time.monotonic() - began > 90:
            raise harness.Failure(f"the bulk should long be there: {bulk!r} {far!r}")
    lasted = time.monotonic() - began
    world.check(lasted > 8, f"the line really was slow: {lasted:.0f} s for {SIZE} bytes each way")
    world.same((bulk.sha256(), far.sha256()), (down.sha256(SIZE), up.sha256(SIZE)), "every byte arrived, both ways")
    world.say(f"{len(waits)} answers, the quickest in {min(waits):.2f} s, the slowest in {max(waits):.2f} s")
    # Now and then a machine that stood still lets a burst through, which looks like a quick line for a moment.
    usual = sorted(queued)[len(queued) * 3 // 4] if queued else None
    world.check(usual is not None and usual <= 16384, f"at most {usual} bytes waited unsent in three of four of {len(queued)} looks, {max(queued)} in all")
    world.check(at_first[0] in net.client.links(), "the link is the same connection as before")
    world.check(not one_link or net.client.links() == at_first, "and the only one, if there may be no second one for bulk")
    world.check(not [line for line in cproxy.since() if "moved" in line], "cproxy did not move for nothing")


harness.main(scenario)
