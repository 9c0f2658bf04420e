"""A cproxy of the scenario's own: it greets, proves and resumes as docs/PROTOCOL.md says, and then does what the scenario
wants, which a good cproxy would not.

    Peer       a client with a tunnel: its key, instance, secrets and attempts
    Link       one of its connections: what it said, what it was told
"""

import hashlib
import hmac
import os

import tls
import wire
from harness import Failure

IN_THE_CLEAR = bytes(32)  # the binding of such a link


def statement(label, binding, tunnel, hello):
    """What both said about the tunnel and the attempt; the hello is its payload."""
    return b"holdfast 1 " + label + binding + tunnel + hello[60:68] + hello[68:100]


def mac(key, message):
    return hmac.new(key, message, hashlib.sha256).digest()


def secret_of(hello, welcome, binding=IN_THE_CLEAR):
    """What both sides make of the greetings (payloads) that made a tunnel; in the clear, whoever reads along can, too."""
    return mac(hello[68:100] + welcome[48:80], statement(b"secret", binding, welcome[24:40], hello))


class Link:
    def __init__(self, world, end):
        self.world, self.end, self.hello = world, end, None

    @property
    def binding(self):
        return IN_THE_CLEAR if self.world.insecure else self.end.binding

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
    def __init__(self, world, space, address, port, identity=None):
        self.world, self.space, self.address, self.port = world, space, address, port
        self.identity = identity or tls.Identity()
        self.instance, self.run, self.attempt = os.urandom(16), os.urandom(8), 0
        self.tunnel = self.secret = self.before = None

    def connect(self, name="peer"):
        """A link on which nothing is said yet."""
        link = Link(self.world, tls.dial_link(self.world, self.space, self.address, self.port, name, self.identity))
        ready = (lambda: link.end.connected) if self.world.insecure else (lambda: link.end.opened or link.end.over)
        self.world.until(ready, 10, "a connection to sproxy")
        return link

    def new_tunnel(self):
        self.attempt += 1
        link = self.connect().greet(wire.hello(instance=self.instance, run=self.run, attempt=self.attempt))
        if link.answer() != wire.MADE:
            raise Failure(f"no tunnel was made: {link.frames()}")
        welcome = link.expect(wire.WELCOME)[4]
        self.tunnel, self.secret, self.before = welcome[24:40], secret_of(link.hello, welcome, link.binding), None
        return link

    def claim(self, link, attempt=None, secret=None):
        """The hello of a resume on this link, with the next attempt and our secrets unless others are given."""
        if attempt is None:
            self.attempt += 1
            attempt = self.attempt
        return self._proved(link, b"hello", 2, attempt, secret)

    def claim_for_bulk(self, link, attempt=None, secret=None):
        """The hello that makes this link the bulk link beside the one that carries the tunnel, of our last attempt."""
        return self._proved(link, b"join", 3, self.attempt if attempt is None else attempt, secret)

    def _proved(self, link, label, purpose, attempt, secret):
        fields = dict(purpose=purpose, instance=self.instance, run=self.run, tunnel=self.tunnel, attempt=attempt, nonce=os.urandom(32))
        stated = statement(label, link.binding, self.tunnel, wire.hello(**fields))
        secrets = [secret] if secret else [self.secret, self.before]
        proofs = [mac(each, stated) if each else bytes(32) for each in secrets]
        return wire.hello(**fields, **dict(zip(("proof", "proof_before"), proofs)))

    def resumed(self, link):
        """The link was welcomed: sproxy proves itself as well, and the next secret takes the place of the latest."""
        if link.answer() != wire.RESUMED:
            raise Failure(f"the tunnel was not resumed: {link.frames()}")
        welcome = link.expect(wire.WELCOME)[4]
        for secret in filter(None, (self.secret, self.before)):
            if mac(secret, statement(b"welcome", link.binding, self.tunnel, link.hello) + welcome[48:80]) == welcome[80:112]:
                self.before = secret
                self.secret = mac(secret, statement(b"rotate", link.binding, self.tunnel, link.hello) + welcome[48:80])
                return link
        raise Failure(f"sproxy proved nothing: {welcome.hex()}")

    def resume(self):
        link = self.connect()
        return self.resumed(link.greet(self.claim(link)))
