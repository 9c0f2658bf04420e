#!/usr/bin/python3
"""
   client                              [router]            server
   peer ═══ link, never read ══════════════════════════▶   sproxy -> target that sends and sends
   app -> cproxy ══════════════════════════════════════▶          -> target that answers

Goal of this test: a client stops reading its link but keeps it open, while its target has megabytes for it. sproxy waits
for nobody: the session of another client beside it goes on, memory stays bounded, and when the same client comes back on
another link it is let in at once and goes on at its position, however full the old one is.
"""

import struct
import time

import harness
import wire
from flows import Listener, Source, ask, dial
from peer import Peer

SIZE = 60_000_000
SOON = 5  # seconds: who had to wait for the peer would wait for ever, and other tests may run beside this one


def scenario(world):
    net = harness.Routed(world)
    target = Listener(world, net.server, 7000)
    sproxy = world.sproxy(net.server, "--target", "127.0.0.1:7000", 6000)
    world.cproxy(net.client, 5000, net.server_address, 6000)
    talker = dial(world, net.client, "127.0.0.1", 5000, "talker")
    answerer = target.next()

    def slowest_of(questions):
        return max(ask(world, talker, answerer, b"question %d\n" % number, 10) for number in range(questions))

    light = sproxy.memory_kib()
    peer = Peer(world, net.client, net.server_address, 6000)
    link = peer.new_tunnel()
    link.say(wire.OPEN, 1, window=1 << 30)
    far = target.next()
    link.end.pause()
    far.send(Source(1), SIZE, then_end=True)
    before = -1
    while before != far.sent:
        before = far.sent
        world.during(0.5, "the peer does not read")
    world.check(far.sent < SIZE, f"the target is held back after {far.sent} bytes")
    heavy = sproxy.memory_kib() - light
    world.check(heavy < 64 * 1024, f"sproxy holds {heavy} KiB for the peer: its window of 16 MiB and little more")
    slowest = slowest_of(50)
    world.check(slowest < SOON, f"the session beside it answers as always, the slowest in {1000 * slowest:.0f} ms")

    # The same client on another link, while the old one is as full as it can be. All of it is lost: we read nothing.
    began = time.monotonic()
    again = peer.resume()
    _, _, _, _, payload = again.expect(wire.RESUME)
    took = time.monotonic() - began
    world.check(took < SOON, f"the next link of the same client was let in and told where to go on in {1000 * took:.0f} ms")
    world.same(struct.unpack("!Q", payload)[0], 0, "sproxy wants what it never got, from the beginning")
    again.say(wire.RESUME, 1, 0, 0, struct.pack("!Q", 0), window=1 << 16)
    got = bytearray()

    def some_megabytes():
        """Reads frames, and acknowledges now and then."""
        text = again.end.text
        while len(text) >= 32:
            kind, _, length, _, _, sequence, _ = struct.unpack("!BBHIQQQ", text[:32])
            if len(text) < 32 + length:
                break
            if kind == wire.DATA:
                world.check_quietly(sequence == len(got), f"data begins at {sequence}, where {len(got)} should come")
                got.extend(text[32:32 + length])
            del text[:32 + length]
        again.say(wire.ACK, 1, 0, len(got), window=1 << 19)  # with the headers, less than an End keeps as text
        return len(got) > 5_000_000

    world.until(some_megabytes, 30, lambda: f"megabytes on the new link ({len(got)})")
    world.check(bytes(got) == Source(1).read(0, len(got)), f"{len(got)} bytes came again, from the first one on, each once")
    world.check(slowest_of(10) < SOON, "the session beside it still answers as always")
    again.say(wire.GOODBYE, payload=b"\x07")
    world.until(lambda: far.over, 10, "the target of the peer to be told")
    world.until(lambda: sproxy.memory_kib() - light < 40 * 1024, 15, lambda: f"sproxy to give memory back ({sproxy.memory_kib() - light} KiB more)")
    world.say(f"true: when the peer has gone, sproxy has its memory back ({sproxy.memory_kib() - light} KiB more than before)")


harness.main(scenario)
