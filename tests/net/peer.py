"""A cproxy of the scenario's own: it greets, proves and resumes as docs/PROTOCOL.md says, and then does what the scenario
wants, which a good cproxy would not.

    Peer       a client with a tunnel: its instance, secret and attempts
    Link       one of its connections: what it said, what it was told
"""

import hashlib
import hmac
import os
import struct

import wire
from flows import dial
from harness import Failure

BINDING = bytes(32)  # of a link in the clear


def statement(label, tunnel, attempt, nonce):
    return b"holdfast 1 " + label + BINDING + tunnel + struct.pack("!Q", attempt) + nonce


def mac(key, message):
    return hmac.new(key, message, hashlib.sha256).digest()


def secret_of(hello, welcome):
    """What both sides make of the greetings (payloads) that made a tunnel; whoever reads along can, too."""
    nonces = hello[68:100] + welcome[48:80]
    return mac(nonces, statement(b"secret", welcome[24:40], struct.unpack("!Q", hello[60:68])[0], hello[68:100]))


class Link:
    def __init__(self, world, end):
        self.world, self.end, self.hello = world, end, None

    def greet(self, hello):
        self.hello = hello
        self.end.write(wire.greeting(hello))
        return self

    def say(self, kind, session=0, sequence=0, acknowledgement=0, payload=b"", window=1 << 20):
        self.end.write(wire.frame(kind, session, sequence, acknowledgement, payload, window))
        return self

    def frames(self, kind=None):
        """What sproxy has said until now, heartbeats left out: (kind, session, sequence, acknowledgement, payload)."""
        return [frame for frame in wire.parse(self.end.text) if (frame[0] == kind if kind else frame[0] != wire.HEARTBEAT)]

    def expect(self, kind, timeout=15):
        """The first frame of this kind."""
        self.world.until(lambda: self.frames(kind) or self.end.over, timeout, lambda: f"a frame of type {kind}, not {self.frames()} {self.end!r}")
        if not self.frames(kind):
            raise Failure(f"the link ended before a frame of type {kind} came: {self.frames()} {self.end!r}")
        return self.frames(kind)[0]

    def answer(self, timeout=15):
        return wire.answer_of(self.expect(wire.WELCOME, timeout)[4])


class Peer:
    def __init__(self, world, space, address, port):
        self.world, self.space, self.address, self.port = world, space, address, port
        self.instance, self.run, self.attempt = os.urandom(16), os.urandom(8), 0
        self.tunnel = self.secret = None

    def connect(self, name="peer"):
        """A link on which nothing is said yet."""
        link = Link(self.world, dial(self.world, self.space, self.address, self.port, name))
        self.world.until(lambda: link.end.connected, 10, "a connection to sproxy")
        return link

    def new_tunnel(self):
        self.attempt += 1
        link = self.connect().greet(wire.hello(instance=self.instance, run=self.run, attempt=self.attempt))
        if link.answer() != wire.MADE:
            raise Failure(f"no tunnel was made: {link.frames()}")
        welcome = link.expect(wire.WELCOME)[4]
        self.tunnel, self.secret = welcome[24:40], secret_of(link.hello, welcome)
        return link

    def claim(self, attempt=None, secret=None):
        """The hello of a resume, with the next attempt unless another one is given."""
        if attempt is None:
            self.attempt += 1
            attempt = self.attempt
        nonce = os.urandom(32)
        proof = mac(secret or self.secret, statement(b"hello", self.tunnel, attempt, nonce))
        return wire.hello(purpose=2, instance=self.instance, run=self.run, tunnel=self.tunnel, attempt=attempt, nonce=nonce, proof=proof)

    def resume(self, link=None):
        link = (link or self.connect()).greet(self.claim())
        if link.answer() != wire.RESUMED:
            raise Failure(f"the tunnel was not resumed: {link.frames()}")
        return link
