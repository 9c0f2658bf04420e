#!/usr/bin/python3
"""
   client                              [router]            server
   peer ═══ link 1 ════════════════════════════════════▶   sproxy -> target
   peer ═══ link 2, 3, 4 ══════════════════════════════▶

Goal of this test: several links of one client meet at sproxy at the same moment. The scenario plays the client, and stops
sproxy meanwhile, so that all that was sent lies before it when it wakes: bytes of the old link and the resume of the new
one, the end of the old one before or after it, several resumes in any order, the same one twice. The latest attempt carries
the session, every byte is there once, also those that still come on the old link, on which nothing else counts; the old links are
closed, and whoever cannot prove anything learns and changes nothing.
"""

import os
import random
import signal
import statistics
import struct
import time

import harness
import wire
from flows import Listener, Source
from peer import Peer

dice = random.Random(25)


class Session:
    """Session 1 of the peer: what it has sent, and the same at the target."""

    def __init__(self, world, net, target):
        self.world = world
        self.peer = Peer(world, net.client, net.server_address, 6000)
        self.link = self.peer.new_tunnel()
        self.source, self.sent = Source(1), 0
        self.link.say(wire.OPEN, 1)
        self.far = target.next().expect(self.source)
        self.more(self.link, 1000)
        self.arrived()

    def more(self, link, size):
        """Data from where we are, whether it arrives or not."""
        link.say(wire.DATA, 1, self.sent, payload=self.source.read(self.sent, size))
        self.sent += size

    def go_on(self, link):
        """On a link that was welcomed: as the resume of sproxy says, and then something new."""
        self.peer.resumed(link)
        _, _, _, delivered, payload = link.expect(wire.RESUME)
        (wanted,) = struct.unpack("!Q", payload)
        ever = self.sent
        if not delivered <= wanted <= ever:
            raise harness.Failure(f"sproxy has {delivered} and wants {wanted}, but only {ever} were ever sent")
        link.say(wire.RESUME, 1, delivered, 0, struct.pack("!Q", 0))
        self.sent, self.link = wanted, link
        self.more(link, ever - wanted + 500)
        self.arrived()

    def arrived(self):
        self.world.until(lambda: self.far.got == self.sent, 10, lambda: f"{self.sent} bytes at the target ({self.far!r})")


def scenario(world):
    net = harness.Routed(world)
    target = Listener(world, net.server, 7000)
    sproxy = world.sproxy(net.server, "--target", "127.0.0.1:7000", 6000)
    session = Session(world, net, target)
    peer = session.peer

    def while_it_stands(what, fresh=1):
        """`what` is done with fresh links while sproxy is stopped, and has arrived in its sockets when it goes on."""
        fresh = [peer.connect(f"link {number}") for number in range(fresh)]
        sproxy.signal(signal.SIGSTOP)
        links = what(*fresh)
        ends = [link.end for link in links]
        world.until(lambda: all(end.sent_all() or end.over for end in ends), 10, "everything to be sent")
        world.during_quietly(0.02)  # through the router, into sproxy's sockets
        sproxy.signal(signal.SIGCONT)
        return links

    def one_link_left():
        world.until(lambda: len(net.server.connections(6000)) == 1, 10, lambda: f"one link at sproxy: {net.server.connections(6000)}")

    # Bytes on the old link and a resume on the new one. Whichever sproxy reads first, its positions are the truth.
    for number in range(20):
        def old_bytes_and_resume(new):
            old = session.link
            steps = [lambda: session.more(old, 700), lambda: new.greet(peer.claim(new))]
            dice.shuffle(steps)
            for step in steps:
                step()
                world.during_quietly(0.01)
            return [old, new]

        old, new = while_it_stands(old_bytes_and_resume)
        world.check_quietly(new.answer() == wire.RESUMED, "the tunnel is resumed")
        # What still comes on the old link: bytes count as ever, and nothing else does.
        session.more(old, 300)
        old.say(wire.RESUME, 1, 0, 0, struct.pack("!Q", session.sent)).say(wire.RESET, 1, payload=b"\x01").say(wire.GOODBYE, payload=b"\x07")
        session.go_on(new)
        if number and not old.end.over:
            old.end.end()  # as cproxy does; else sproxy closes it after two seconds
        world.until(lambda: old.end.over, 10, "sproxy to close the old link")
        old.end.close()
        one_link_left()
    world.say("true: 20 times bytes of the old link met the resume of the next, and each byte arrived once")

    # The end of the old link arrives with the resume of the new one, before it or after it.
    for number in range(20):
        def end_and_resume(new):
            old = session.link
            close = old.end.reset if number % 2 else old.end.close
            steps = [close, lambda: new.greet(peer.claim(new))]
            for step in steps if number % 4 < 2 else reversed(steps):
                step()
                world.during_quietly(0.01)
            return [new]

        (new,) = while_it_stands(end_and_resume)
        session.go_on(new)
        world.during_quietly(0.05)
        world.check_quietly(not new.end.over and not session.far.over, "the late end of the old link does not touch the new one")
        one_link_left()
    world.say("true: 20 times the end of the old link came late, and the new one was left alone")

    # Several resumes at once, in every order: the latest attempt carries on, all others are closed.
    for number in range(12):
        def resumes(*links):
            for link in links:
                link.claim = peer.claim(link)
            said = list(links)
            dice.shuffle(said)
            for link in said:
                link.greet(link.claim)
                world.during_quietly(0.005)
            return links

        *earlier, last = while_it_stands(resumes, fresh=3)
        world.check_quietly(last.answer() == wire.RESUMED, "the latest attempt is resumed")
        for link in earlier:
            world.until(lambda: link.frames(wire.WELCOME) or link.end.over, 10, "an answer to an earlier attempt")
            if link.frames(wire.WELCOME):
                world.check_quietly(link.answer() in (wire.RESUMED, wire.OVERTAKEN), f"an earlier attempt is answered {link.answer()}")
            link.end.close()
        session.go_on(last)
        one_link_left()
    world.say("true: 12 times three resumes raced, and the latest attempt carried the session")

    # The very same hello again, from somebody who read along: its proof was for a secret, and under TLS for a link, of the
    # past. And an attempt of the past with a proof that is right.
    link = session.link
    for name, hello, answer in (("the same hello again", lambda _: link.hello, wire.GONE),
                                ("an earlier attempt", lambda new: peer.claim(new, attempt=peer.attempt - 1), wire.OVERTAKEN)):
        for _ in range(5):
            again = peer.connect(name)
            world.check_quietly(again.greet(hello(again)).answer() == answer, f"{name} is answered {answer}, not {again.answer()}")
            again.end.close()
        session.more(link, 100)
        session.arrived()
        world.check(not link.end.over, f"{name}: refused each time, and the link in use never noticed: nobody flips back")

    # Two resumes in a row with nothing between them.
    peer.resume().end.close()
    link = peer.connect()
    session.go_on(link.greet(peer.claim(link)))
    one_link_left()

    # Unknown, over, and known but not proved: the same answer, soon, and not one byte more.
    over = Peer(world, net.client, net.server_address, 6000)
    over.new_tunnel().say(wire.GOODBYE, payload=b"\x07")
    unknown = Peer(world, net.client, net.server_address, 6000)
    unknown.tunnel, unknown.secret = os.urandom(16), os.urandom(32)
    took, said = {}, {}
    for name, claim in (("unknown", unknown.claim), ("over", over.claim), ("not proved", lambda link: peer.claim(link, 1 << 40, os.urandom(32)))):
        took[name] = []
        for _ in range(15):
            session.link.say(wire.HEARTBEAT)  # or it is dropped on a machine on which all this takes half a minute
            link = peer.connect(name)
            began = time.monotonic()
            link.greet(claim(link))
            answer = link.expect(wire.WELCOME)
            took[name].append(time.monotonic() - began)
            shown = answer[4][:24] + answer[4][24:40] + answer[4][80:]  # but for the attempt, which is ours, and the nonce
            said.setdefault(name, set()).add(shown)
            world.check_quietly(wire.answer_of(answer[4]) == wire.GONE, f"{name}: gone")
            link.say(wire.OPEN, 1).say(wire.RESUME, 1, payload=bytes(8)).say(wire.DATA, 1, 0, payload=b"x")
            world.during_quietly(0.02)
            world.check_quietly(len(link.frames()) == 1, f"{name}: nothing follows the answer: {link.frames()}")
            link.end.close()
    world.same(len(set.union(*said.values())), 1, "unknown, over and not proved are told the same, byte for byte")
    medians = {name: statistics.median(times) for name, times in took.items()}
    world.check(max(medians.values()) < 1, "and soon: " + ", ".join(f"{name} {1000 * t:.1f} ms" for name, t in medians.items()))

    session.more(session.link, 5000)
    session.arrived()
    world.same(session.far.sha256(), Source(1).sha256(session.sent), f"after {peer.attempt} attempts the target has every byte once")


harness.main(scenario)
