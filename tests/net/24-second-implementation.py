#!/usr/bin/python3
"""
   client                              [router]            server
   this scenario       eth0 ═══════════════════════ eth0   sproxy -> target
   speaks the protocol
   itself (wire.py)

Goal of this test: docs/PROTOCOL.md is enough to write a client of one's own. This one is written from it: it makes a
tunnel, opens a session, loses its link in the middle of everything, proves that the tunnel is its own, says which bytes
it has and which it wants, says some bytes twice, and both streams come out exact. Late and false claims change nothing.
"""

import os
import struct

import harness
import wire
from flows import Listener, Source, dial

UP, DOWN = Source(1), Source(2)
INSTANCE, RUN = os.urandom(16), os.urandom(8)


class Link:
    """One link of the client: what arrived on it, frame by frame."""

    def __init__(self, world, net, hello):
        self.world, self.hello, self.read = world, hello, 0
        self.end = dial(world, net.client, net.server_address, 6000, "link")
        self.end.write(wire.greeting(hello))
        kind, _, _, _, self.welcome = self.next((wire.WELCOME,))
        world.check(kind == wire.WELCOME and self.welcome[:4] == wire.MAGIC, f"sproxy welcomes us: answer {self.answer}")

    @property
    def answer(self):
        return wire.answer_of(self.welcome)

    def say(self, *arguments, **more):
        self.end.write(wire.frame(*arguments, **more))

    def next(self, kinds):
        """The next frame of one of these kinds; others, heartbeats above all, are passed over."""
        def look():
            while frames := wire.parse(self.end.text[self.read:]):
                self.read += 32 + len(frames[0][4])
                if frames[0][0] in kinds:
                    return frames[0]
            return None
        return self.world.until(look, 10, f"a frame of kind {kinds}")


def scenario(world):
    net = harness.Routed(world)
    target = Listener(world, net.server, 7000)
    sproxy = world.sproxy(net.server, "--target", "127.0.0.1:7000", 6000)

    # A tunnel, a session, bytes behind the open without waiting for anything.
    first = Link(world, net, wire.hello(instance=INSTANCE, run=RUN))
    world.same(first.answer, wire.MADE, "a new tunnel is made")
    tunnel, secret = first.welcome[24:40], wire.secret(first.hello, first.welcome)
    first.say(wire.OPEN, 1, window=1 << 20)
    first.say(wire.DATA, 1, 0, 0, UP.read(0, 10_000))
    far = target.next().expect(UP)
    world.until(lambda: far.got == 10_000, 10, "the bytes behind the open to arrive")
    first.next((wire.OPENED,))
    world.say("true: the target has what came behind the open, and we are told that it is connected")

    # The target sends; we take note of what we got and acknowledge less.
    far.send(DOWN, 50_000)
    got = bytearray()
    while len(got) < 50_000:
        _, session, position, _, payload = first.next((wire.DATA,))
        if (session, position) != (1, len(got)):
            raise harness.Failure(f"data of session {session} from {position}, where session 1 from {len(got)} was due")
        got += payload
    world.check(bytes(got) == DOWN.read(0, 50_000), "we got what the target sent")
    first.say(wire.ACK, 1, 10_000, 20_000, window=1 << 20)

    # The link dies with bytes on it in both directions. Say we got 30,000 bytes, and the rest was lost with the link.
    first.say(wire.DATA, 1, 10_000, 20_000, UP.read(10_000, 5_000))
    far.send(DOWN, 80_000)
    world.until(lambda: far.got == 15_000, 10, "the last bytes on the old link to arrive")
    first.end.reset()
    del got[30_000:]

    def claim(attempt, key=secret):
        unproved = wire.hello(purpose=2, instance=INSTANCE, run=RUN, tunnel=tunnel, attempt=attempt)
        return Link(world, net, wire.with_proof(key, unproved))

    world.same(claim(9, os.urandom(32)).answer, wire.GONE, "a claim with a false proof is answered as if there were no tunnel")
    second = claim(5)
    world.same(second.answer, wire.RESUMED, "the tunnel is resumed by its proof")
    world.check(second.welcome[80:112] == wire.prove_welcome(secret, second.hello, second.welcome), "sproxy, too, proves that it is the one")

    # Positions: both say what they have; we say again 1,000 bytes more than needed, which must be dropped by position.
    _, session, kept, delivered, payload = second.next((wire.RESUME,))
    wanted = struct.unpack("!Q", payload)[0]
    world.same((session, delivered, wanted), (1, 15_000, 15_000), "sproxy says how far it has delivered our stream")
    world.check(20_000 <= kept <= 30_000, f"and that it still has its own from {kept} on")
    second.say(wire.RESUME, 1, 10_000, len(got), struct.pack("!Q", len(got)), window=1 << 20)
    second.say(wire.DATA, 1, 14_000, len(got), UP.read(14_000, 6_000))
    second.say(wire.DATA, 1, 12_000, len(got), UP.read(12_000, 4_000))
    while len(got) < 80_000:
        _, session, position, _, payload = second.next((wire.DATA,))
        if (session, position) != (1, len(got)):
            raise harness.Failure(f"data of session {session} from {position}, where session 1 from {len(got)} was due")
        got += payload
    world.check(bytes(got) == DOWN.read(0, 80_000), "the stream of the target goes on exactly where we said")
    world.until(lambda: far.got == 20_000, 10, "our stream to go on")
    world.say("true: the target got our stream exactly, although some bytes were said twice or three times")

    # Claims that come late or false do not touch the link that carries the tunnel.
    world.same(claim(4).answer, wire.OVERTAKEN, "an earlier attempt that comes late is told that it was overtaken")
    world.same(claim(6, os.urandom(32)).answer, wire.GONE, "a false one is told nothing")
    second.say(wire.DATA, 1, 20_000, 80_000, UP.read(20_000, 100))
    world.until(lambda: far.got == 20_100, 10, "the living link to carry on")

    # The ends: ours first, then the target's; then the session is over, and resuming it is answered `closed`.
    second.say(wire.END, 1, 20_100, 80_000)
    world.until(lambda: far.ends == 1, 10, "the target to see our end")
    far.send(DOWN, 80_500, then_end=True)
    while len(got) < 80_500:
        got += second.next((wire.DATA,))[4]
    _, _, end_at, acknowledged, _ = second.next((wire.END,))
    world.same((end_at, bytes(got) == DOWN.read(0, 80_500)), (80_500, True), "the target's end stands at its place")
    second.say(wire.ACK, 1, 20_101, 80_501, window=1 << 20)

    def over():
        """Asked about a session that is over, sproxy says `closed`; asked a moment too early, it says nothing."""
        second.say(wire.RESUME, 1, 20_101, 80_501, struct.pack("!Q", 80_501), window=1 << 20)
        return any(frame[:2] == (wire.CLOSED, 1) for frame in wire.parse(second.end.text[second.read:]))

    world.until(over, 10, "sproxy to have forgotten the session")
    world.say("true: the session is over on both sides")

    second.say(wire.OPEN, 2, window=1 << 20)
    another = target.next()
    second.say(wire.GOODBYE, payload=b"\x07")
    world.until(lambda: another.over, 10, "the target of a session to see the goodbye")
    world.check(another.was_reset, "after a goodbye the sessions of the tunnel are reset")
    world.check(sproxy.running(), "sproxy is well")


harness.main(scenario)
