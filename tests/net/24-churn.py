#!/usr/bin/python3
"""
   client                              [router]            server
   apps come and go -> cproxy  eth0 ═══════════════ eth0   sproxy -> targets that answer, end or reset

Goal of this test: coming and going meets moving. Apps open, talk, half-close, close and reset at random moments, some
while there is no link, some at once after they came, while the client moves all the time. Each session that ends in order was exact to its last byte
in both directions; each that was reset by one side was reset for the other; and when all is over nothing is left:
no socket, no descriptor.

    24-churn.py [SEED]
"""

import random
import struct
import sys
import time

import harness
from flows import Listener, Source, dial

seed = int(sys.argv[1]) if len(sys.argv) > 1 else time.time_ns() % 1_000_000
LASTS = 20


class Talk:
    """One session. The app's first 16 bytes tell its target who it is and what to do."""

    def __init__(self, world, net, dice, number):
        self.number, self.born = number, time.monotonic()
        self.up = dice.choice([0, 1, 1000, 100_000, 700_000])
        self.down = dice.choice([0, 1, 1000, 100_000, 700_000])
        self.fate = dice.choices(["order", "app resets", "target resets"], [6, 1, 1])[0]
        self.app = dial(world, net.client, "127.0.0.1", 5000, f"app{number}")
        self.app.write(struct.pack("!QQ", number, self.up))
        self.far = None
        self.begun = False

    def begin(self):
        """The target has read who calls: now both send what they have, and end."""
        self.begun = True
        self.far.got = self.app.got = 0
        self.app.expect(Source(2 * self.number)), self.far.expect(Source(2 * self.number + 1))
        if self.fate == "app resets":
            self.app.reset()
        elif self.fate == "target resets":
            self.far.reset()
        else:
            self.app.sent = 0
            self.app.send(Source(2 * self.number + 1), self.up, then_end=True)
            self.far.send(Source(2 * self.number), self.down, then_end=True)

    def over(self):
        """True when it has ended as it should; a Failure when it ended otherwise."""
        if not self.begun:
            return False
        if self.fate != "order":
            other = self.far if self.fate == "app resets" else self.app
            if other.ends:
                raise harness.Failure(f"session {self.number}: {self.fate}, but the other side saw an orderly end: {other!r}")
            return other.was_reset
        for end in (self.app, self.far):
            if end.trouble is not None:
                raise harness.Failure(f"session {self.number} was to end in order: {self.app!r} {self.far!r}")
        if not (self.app.ends and self.far.ends):
            return False
        if (self.app.got, self.far.got) != (self.down, self.up):
            raise harness.Failure(f"session {self.number}: {self.down} and {self.up} bytes were due: {self.app!r} {self.far!r}")
        return True

    def close(self):
        for end in (self.app, self.far):
            if end:
                end.close()


def scenario(world):
    world.say(f"seed {seed}")
    dice = random.Random(seed)
    net = harness.Routed(world)
    target = Listener(world, net.server, 7000)
    sproxy = world.sproxy(net.server, "--target", "127.0.0.1:7000", 6000)
    cproxy = world.cproxy(net.client, 5000, net.server_address, 6000)
    talks, callers, done, moves, opened = [], [], 0, 0, 0

    def step():
        """Greets new targets, looks for sessions that are over. Returns whether none is left."""
        nonlocal done
        while target.ends:
            callers.append(target.ends.pop())
        for caller in list(callers):
            number = struct.unpack("!QQ", caller.text[:16])[0] if len(caller.text) >= 16 else None
            if number in talks_by_number:
                talk = talks_by_number[number]
                talk.far = caller
                callers.remove(caller)
                talk.begin()
            elif caller.over:  # its app had vanished at once
                caller.close()
                callers.remove(caller)
        for talk in [talk for talk in talks if talk.over()]:
            talk.close()
            talks.remove(talk)
            done += 1
        return not talks and not callers

    talks_by_number = {}
    descriptors = None
    end = time.monotonic() + LASTS
    away = None
    while time.monotonic() < end:
        if len(talks) < 40:
            talk = Talk(world, net, dice, opened)
            talks.append(talk)
            talks_by_number[opened] = talk
            opened += 1
        if dice.random() < 0.1:
            vanishing = dial(world, net.client, "127.0.0.1", 5000, "vanishing")
            world.turn(0)
            vanishing.reset() if dice.random() < 0.5 else vanishing.close()
        lot = dice.random()
        if away:
            if lot < 0.1:
                net.come_back(net.next_address())
                away = None
        elif lot < 0.03:
            net.move(net.next_address())
            moves += 1
        elif lot < 0.05:
            net.go_away()
            away = True
            moves += 1
        world.turn(0.01)
        step()
        pause = time.monotonic() + dice.uniform(0, 0.03)
        while time.monotonic() < pause:
            world.turn(0.01)
    if away:
        net.come_back(net.next_address())
    world.until(step, 40, lambda: f"the last {len(talks)} sessions to end: {[(t.number, t.fate, t.app, t.far) for t in talks[:4]]},"
                                    f" and {len(callers)} targets whose app had vanished: {callers[:4]}")
    world.check(done == opened and done > 100, f"{done} sessions ended as they should, in {moves} moves")
    world.until(lambda: not net.client.connections(5000) and not net.server.connections(7000), 15, "the last sockets to go")
    for proxy in (cproxy, sproxy):
        few = 20 + 4 * harness.MORE_THREADS
        world.until(lambda: proxy.descriptors() < few, 15, lambda: f"{proxy.name} to have few descriptors, it has {proxy.descriptors()}")
    world.say("true: nothing is left of them")


harness.main(scenario)
