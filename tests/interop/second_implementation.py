#!/usr/bin/python3
"""docs/PROTOCOL.md, implemented a second time, chapter by chapter, and run against the real programs.

    tests/interop/second_implementation.py [FOLDER OF cproxy AND sproxy]         (default: build/release/apps)

Python's standard library, and OpenSSL from Debian's python3-openssl for the TLS under the links. First it plays cproxy
and talks to sproxy, then it plays sproxy and waits for cproxy; then both again, in the clear (--insecure). Each chapter names the sections it tries. Exit status 0 when both programs do what the document says; otherwise the
first difference is named. It is slow and simple on purpose; do not use it for anything but this.
"""

import datetime
import hashlib
import hmac
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from OpenSSL import SSL, crypto

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "build/release/apps").resolve()
PATIENCE = 15.0  # for anything that should happen at once

HEADER = struct.Struct("!BBHIQQQ")
TYPES = dict(hello=1, welcome=2, heartbeat=3, goodbye=4, open=5, opened=6, resume=7, data=8, ack=9, end=10, reset=11, closed=12)
NAMES = {number: name for name, number in TYPES.items()}
NEW_TUNNEL, RESUME, JOIN = 1, 2, 3
MADE, RESUMED, GONE, LATER, REFUSED, OVERTAKEN, JOINED = range(1, 8)
BULK_LINKS = 1  # a capability
VERSION, PLACE, TUNNELS = range(1, 4)
EARLY, CONNECTED = 1, 2
INSECURE = False


def u64(number):
    return struct.pack("!Q", number)


class Tls:
    """Section 13.1: TLS 1.3 over a connection, with the methods of a socket that are used here."""

    ALPN = b"holdfast/1"

    def __init__(self, connection, key, serves=False):
        self.socket, self.tls = connection, SSL.Connection(self.context(key), None)
        self.tls.set_accept_state() if serves else self.tls.set_connect_state()
        self.socket.settimeout(PATIENCE)
        self.do(self.tls.do_handshake)
        assert self.tls.get_alpn_proto_negotiated() == self.ALPN, "ALPN was not agreed upon"
        assert self.tls.get_protocol_version_name() == "TLSv1.3"
        self.binding = self.tls.export_keying_material(b"EXPORTER-Channel-Binding", 32, b"")

    @classmethod
    def context(cls, key):
        name = x509.Name([])
        days = [datetime.datetime.utcnow() + datetime.timedelta(days) for days in (-1, 1)]
        certificate = (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
                       .serial_number(1).not_valid_before(days[0]).not_valid_after(days[1]).sign(key, None))
        context = SSL.Context(SSL.TLS_METHOD)
        context.set_min_proto_version(SSL.TLS1_3_VERSION)
        context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *_: True)
        context.use_certificate(crypto.X509.from_cryptography(certificate))
        context.use_privatekey(crypto.PKey.from_cryptography_key(key))
        context.set_alpn_protos([cls.ALPN])
        context.set_alpn_select_callback(lambda _, offered: cls.ALPN if cls.ALPN in offered else SSL.NO_OVERLAPPING_PROTOCOLS)
        return context

    def do(self, action, *arguments):
        """What TLS wants to say and to hear for it."""
        while True:
            try:
                return action(*arguments)
            except SSL.WantReadError:
                self.flush()
                more = self.socket.recv(65536)
                if not more:
                    raise ConnectionResetError from None
                self.tls.bio_write(more)
            finally:
                self.flush()

    def flush(self):
        try:
            while True:
                self.socket.sendall(self.tls.bio_read(65536))
        except SSL.WantReadError:
            pass

    def sendall(self, raw):
        self.do(self.tls.sendall, raw)

    def recv(self, most):
        try:
            return self.do(self.tls.recv, most)
        except SSL.ZeroReturnError:
            return b""

    def settimeout(self, seconds):
        self.socket.settimeout(seconds)

    def close(self):
        self.socket.close()


class Frame:
    def __init__(self, header, payload):
        kind, self.flags, _, self.window, self.session, self.sequence, self.acknowledgement = HEADER.unpack(header)
        self.type, self.payload = NAMES[kind], payload

    def __repr__(self):
        return (f"{self.type} {self.session}: sequence {self.sequence}, acknowledgement {self.acknowledgement}, "
                f"window {self.window}, payload {self.payload[:20]!r}")


class Link:
    """Section 3: frames on a TCP connection, under TLS or in the clear."""

    def __init__(self, connection, key, serves=False):
        self.socket, self.bytes = connection if INSECURE else Tls(connection, key, serves), b""
        self.binding = bytes(32) if INSECURE else self.socket.binding
        self.socket.settimeout(PATIENCE)

    def say(self, kind, session=0, sequence=0, acknowledgement=0, window=65536, payload=b"", flags=0, length=None):
        length = len(payload) if length is None else length
        header = HEADER.pack(TYPES.get(kind, kind), flags, length, window, session, sequence, acknowledgement)
        self.socket.sendall(header + payload)

    def frame(self, beats=False):
        """The next frame, heartbeats left out unless asked for; nothing when the link was closed."""
        while True:
            while len(self.bytes) < 32 or len(self.bytes) < 32 + struct.unpack("!H", self.bytes[2:4])[0]:
                try:
                    more = self.socket.recv(65536)
                except ConnectionError:
                    more = b""
                if not more:
                    return None
                self.bytes += more
            size = 32 + struct.unpack("!H", self.bytes[2:4])[0]
            frame, self.bytes = Frame(self.bytes[:32], self.bytes[32:size]), self.bytes[size:]
            if beats or frame.type != "heartbeat":
                return frame

    def expect(self, kind, **fields):
        """The next frame is this one, with at least these fields."""
        frame = self.frame()
        assert frame is not None, f"the link was closed instead of {kind} {fields}"
        for name, value in dict(fields, type=kind).items():
            assert getattr(frame, name) == value, f"expected {kind} {fields}, got {frame}"
        return frame

    def is_dropped(self):
        while self.frame() is not None:
            pass
        return True


# -- section 5: initiation, bytes and proofs ---------------------------------------------------------------------------


def statement(label, link, tunnel, attempt, nonce):
    return b"holdfast 1 " + label + link.binding + tunnel + u64(attempt) + nonce


def digest(key, message):
    return hmac.new(key, message, hashlib.sha256).digest()


def first_secret(link, hello, tunnel, nonce):
    return digest(hello.nonce + nonce, statement(b"secret", link, tunnel, hello.attempt, hello.nonce))


def proof_of_hello(secret, link, hello):
    label = b"join" if hello.purpose == JOIN else b"hello"
    return digest(secret, statement(label, link, hello.tunnel, hello.attempt, hello.nonce)) if secret else bytes(32)


def proof_of_welcome(secret, link, hello, nonce):
    return digest(secret, statement(b"welcome", link, hello.tunnel, hello.attempt, hello.nonce) + nonce)


def next_secret(secret, link, hello, nonce):
    return digest(secret, statement(b"rotate", link, hello.tunnel, hello.attempt, hello.nonce) + nonce)


class Hello:
    def __init__(self, link=None, purpose=NEW_TUNNEL, attempt=1, instance=None, run=None, tunnel=bytes(16), secrets=(None, None),
                 magic=b"HFST", versions=(1, 1), capabilities=0, beat=100_000, more=b""):
        self.purpose, self.attempt, self.tunnel, self.nonce = purpose, attempt, tunnel, os.urandom(32)
        proofs = b"".join(proof_of_hello(secret, link, self) for secret in secrets)
        self.payload = magic + struct.pack("!BBBBIII", *versions, purpose, 0, capabilities, beat, 65536) + (instance or os.urandom(16))
        self.payload += (run or os.urandom(8)) + tunnel + u64(attempt) + self.nonce + proofs
        assert len(self.payload) == 164
        self.payload += more


class HelloRead:
    def __init__(self, payload):
        assert payload[:4] == b"HFST" and len(payload) == 164
        self.version, self.lowest, self.purpose, _, self.capabilities, self.beat, self.window = struct.unpack("!BBBBIII", payload[4:20])
        self.instance, self.run, self.tunnel = payload[20:36], payload[36:44], payload[44:60]
        (self.attempt,) = struct.unpack("!Q", payload[60:68])
        self.nonce, self.proof, self.proof_before = payload[68:100], payload[100:132], payload[132:164]


class Welcome:
    def __init__(self, payload):
        assert payload[:4] == b"HFST" and len(payload) == 112
        self.version, self.answer, self.reason, _ = payload[4:8]
        self.capabilities, self.beat, self.window, self.retry_after = struct.unpack("!IIII", payload[8:24])
        self.tunnel = payload[24:40]
        (self.attempt,) = struct.unpack("!Q", payload[40:48])
        self.nonce, self.proof = payload[48:80], payload[80:112]


def welcome_for(hello, answer, tunnel, nonce, proof=bytes(32), version=1):
    return (b"HFST" + struct.pack("!BBHIIII", version, answer, 0, hello.capabilities & BULK_LINKS, 100_000, 65536, 200) + tunnel + u64(hello.attempt)
            + nonce + proof)


class Client:
    """cproxy, as far as sproxy can tell."""

    def __init__(self, port):
        self.port, self.instance, self.run, self.attempt = port, os.urandom(16), os.urandom(8), 0
        self.key, self.tunnel, self.secrets = Ed25519PrivateKey.generate(), None, (None, None)  # the latest, the one before

    def dial(self, key=None):
        return Link(socket.create_connection(("127.0.0.1", self.port), PATIENCE), key or self.key)

    def greet(self, key=None, early=lambda link: None, **fields):
        link = self.dial(key)
        hello = Hello(link, **{"instance": self.instance, "run": self.run, **fields})
        link.say("hello", window=0, payload=hello.payload)
        early(link)
        return link, hello, Welcome(link.expect("welcome", session=0).payload)

    def new_tunnel(self, **more):
        self.attempt += 1
        link, hello, welcome = self.greet(attempt=self.attempt, **more)
        assert welcome.answer == MADE and welcome.attempt == self.attempt
        self.tunnel = welcome.tunnel
        self.secrets = first_secret(link, hello, welcome.tunnel, welcome.nonce), None
        return link, welcome

    def resume(self, welcome_is_lost=False, **more):
        self.attempt += 1
        link, hello, welcome = self.greet(**more, purpose=RESUME, attempt=self.attempt, tunnel=self.tunnel, secrets=self.secrets)
        assert welcome.answer == RESUMED and welcome.attempt == self.attempt and welcome.tunnel == self.tunnel
        fits = [secret for secret in self.secrets if secret and proof_of_welcome(secret, link, hello, welcome.nonce) == welcome.proof]
        assert fits, "the proof of the welcome is wrong"
        if not welcome_is_lost:
            self.secrets = next_secret(fits[0], link, hello, welcome.nonce), fits[0]
        return link

    def join(self):
        link, hello, welcome = self.greet(purpose=JOIN, attempt=self.attempt, tunnel=self.tunnel, secrets=self.secrets)
        assert welcome.answer == JOINED and welcome.attempt == self.attempt and welcome.tunnel == self.tunnel
        assert welcome.proof in [proof_of_welcome(secret, link, hello, welcome.nonce) for secret in self.secrets if secret]
        return link


# -- what is played against: a target or an app, and the programs --------------------------------------------------------


class Target:
    """Accepts what sproxy connects."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(PATIENCE)
        self.port = self.listener.getsockname()[1]

    def next(self):
        connection, _ = self.listener.accept()
        connection.settimeout(PATIENCE)
        return connection

    def gone(self):
        """Nobody listens there any more, and nobody else will: the port is this socket's."""
        self.listener.close()
        holder = socket.socket()
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as its connections have it
        holder.bind(("127.0.0.1", self.port))
        return holder


def read(connection, text):
    got = b""
    while len(got) < len(text):
        piece = connection.recv(len(text) - len(got))
        assert piece, f"the stream ended after {got!r} instead of {text!r}"
        got += piece
    assert got == text, f"{got!r} instead of {text!r}"


def reset(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def is_reset(connection):
    try:
        return connection.recv(1) is None
    except ConnectionResetError:
        return True


class Program:
    def __init__(self, name, *arguments):
        self.folder = tempfile.TemporaryDirectory()
        folder = Path(self.folder.name)
        options = ["--state-dir", folder / "state", *["--insecure"] * INSECURE]
        # said() opens the log for itself: a descriptor that both had would be one position, and what is written would
        # go to where somebody has just begun to read.
        self.log = folder / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen([BIN / name, *map(str, arguments), *options], stderr=log)

    def port(self):
        """The port that the log says it listens on."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and self.process.poll() is None:
            *lines, _ = self.said().split("\n")  # what follows the last newline is yet to be written
            for line in lines:
                if "listening on" in line:
                    return int(line.split("listening on ")[1].split(",")[0].rpartition(":")[2])
            time.sleep(0.02)
        raise AssertionError(f"it does not listen: {self.said()}")

    def said(self):
        return self.log.read_text()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if kind:
            print(f"--- the program said:\n{self.said()}", file=sys.stderr)
        self.folder.cleanup()


# -- against sproxy ------------------------------------------------------------------------------------------------------


def opened(link, target, word):
    """Session 1 begins, with a word and without waiting for an answer. Returns its socket at the target."""
    link.say("open", 1)
    link.say("data", 1, 0, 0, payload=word)
    far = target.next()
    read(far, word)
    link.expect("opened", session=1)
    link.expect("ack", session=1, acknowledgement=len(word))
    return far


def one_session_and_a_move(client, target):
    """7.1 to 7.4, 8: open without a round trip, data, acknowledgement on delivery, resume and replay."""
    link, welcome = client.new_tunnel()
    assert welcome.version == 1 and welcome.window > 0 and welcome.beat >= 1000
    far = opened(link, target, b"hi")
    far.sendall(b"ok")
    link.expect("data", session=1, sequence=0, acknowledgement=2, payload=b"ok")

    other = client.resume()
    assert link.is_dropped(), "the stale link stays open"
    other.expect("resume", session=1, sequence=0, acknowledgement=2, payload=u64(2), flags=CONNECTED)
    other.say("resume", 1, 2, 0, payload=u64(0))
    other.expect("data", sequence=0, payload=b"ok")
    return other, far


def positions(link, far):
    """7.3, 7.6: what came twice is dropped, and a resume in the middle of a link asks for bytes again."""
    link.say("data", 1, 0, 0, payload=b"hi there")
    read(far, b" there")
    link.expect("ack", acknowledgement=8)
    link.say("resume", 1, 8, 1, payload=u64(1))
    link.expect("data", sequence=1, payload=b"k")


def answers(client):
    """5.3: who is told what."""
    def answer(**fields):
        link, _, welcome = client.greet(**fields)
        link.socket.close()
        return welcome

    mine = dict(purpose=RESUME, tunnel=client.tunnel, secrets=client.secrets)
    assert answer(**mine, attempt=client.attempt).answer == OVERTAKEN
    assert answer(**dict(mine, secrets=(os.urandom(32), None)), attempt=1000).answer == GONE
    assert answer(**dict(mine, secrets=(bytes(32), bytes(32))), attempt=1000).answer == GONE
    if not INSECURE:
        assert answer(**mine, attempt=1000, key=Ed25519PrivateKey.generate()).answer == GONE, "13.2: another identity"
    assert answer(**dict(mine, tunnel=os.urandom(16)), attempt=1000).answer == GONE
    assert answer(attempt=1).answer == OVERTAKEN, "a new tunnel, of the same run, asked for too late"
    stranger = dict(instance=os.urandom(16))
    future = answer(**stranger, versions=(9, 7))
    assert future.answer == REFUSED and future.reason == VERSION and future.version == 1
    assert answer(**stranger, versions=(9, 1), more=b"what a later version adds").version == 1


def secrets(client):
    """5.4: the secret changes with each resume; welcomes may be lost; what is older than the one before is worth nothing."""
    first, session = client.secrets, dict(session=1)
    for _ in range(3):
        client.resume(welcome_is_lost=True)
    assert client.secrets == first
    client.resume().expect("resume", **session)
    for _ in range(2):
        client.resume(welcome_is_lost=True)
    link = client.resume()
    link.expect("resume", **session)
    assert not set(client.secrets) & set(first)
    for claim in (first, client.secrets):
        answer = client.greet(purpose=RESUME, attempt=client.attempt, tunnel=client.tunnel, secrets=claim)[2].answer
        assert answer == (GONE if claim == first else OVERTAKEN), "an old secret is still good"
    before = client.secrets[1]
    link.say("resume", 1, 8, 1, payload=u64(2))  # nobody says that, without the flag, before he was welcomed
    assert not link.say("resume", 77, payload=u64(0)) and link.expect("closed", session=77)  # it has been read
    stolen = dict(purpose=RESUME, attempt=1000, tunnel=client.tunnel, secrets=(before, before))
    assert client.greet(**stolen)[2].answer == GONE, "the secret before is still good"
    return link


def the_first_flight(client, target):
    """5.7, 8.4: positions and bytes behind the hello, and what still comes on the link that is replaced."""
    link, _ = client.new_tunnel()
    far = opened(link, target, b"one")

    def early(other):
        other.say("resume", 1, 3, 0, payload=u64(0), flags=EARLY)
        other.say("data", 1, 3, 0, payload=b"two", flags=EARLY)
        far.sendall(b"meanwhile")

    other = client.resume(early=early)
    frames = [other.expect("resume", session=1)]
    read(far, b"two")
    while frames[-1].type != "data":  # without another word of ours
        frames.append(other.frame())
    assert frames[-1].sequence == 0 and b"meanwhile".startswith(frames[-1].payload)

    link.say("data", 1, 6, 0, payload=b"late")
    read(far, b"late")
    link.say("reset", 1, payload=b"\1")  # means nothing there
    other.say("data", 1, 3, 0, payload=b"twolater")
    read(far, b"r")
    return other


def a_bulk_link(client, target):
    """5.8, 8.5: a second link for data, which is lost without harm. All that is told is told on the first one."""
    link, welcome = client.new_tunnel(capabilities=0x80000000 | BULK_LINKS)
    assert welcome.capabilities == BULK_LINKS
    far = opened(link, target, b"one")
    bulk = client.join()
    bulk.say("data", 1, 3, 0, payload=b"two")
    read(far, b"two")
    link.expect("ack", session=1, acknowledgement=6)
    claim = dict(purpose=JOIN, attempt=client.attempt, tunnel=client.tunnel, secrets=client.secrets)
    for wrong, answer in (dict(secrets=(os.urandom(32), None)), GONE), (dict(attempt=client.attempt + 1), OVERTAKEN):
        assert client.greet(**dict(claim, **wrong))[2].answer == answer
    another = client.join()
    assert bulk.is_dropped(), "there are two bulk links"
    another.say("ack", 1, 6, 0)
    assert another.is_dropped(), "an ack on a bulk link is taken"
    link.say("data", 1, 6, 0, payload=b"three")
    read(far, b"three")
    bulk = client.join()
    client.resume().expect("resume", session=1, sequence=0, acknowledgement=11)  # with the secret of before
    assert bulk.is_dropped(), "it outlives the link that it was for"


def unknown_sessions(link):
    """7.9: answered with closed, or ignored."""
    for kind, payload in (("resume", u64(0)), ("reset", b"\1")):
        link.say(kind, 77, payload=payload)
        link.expect("closed", session=77, sequence=0, acknowledgement=0, window=0)
    link.say("open", 5)
    link.expect("closed", session=5)  # 77 was seen before
    for kind in ("data", "ack", "end", "closed"):
        link.say(kind, 78, 5, 5, payload=b"x" if kind == "data" else b"")
    link.say("resume", 79, payload=u64(0))
    link.expect("closed", session=79)


def heartbeats(link):
    """6: stamps are echoed, the pace is fast while sessions speak; 3.1: unknown flags are ignored."""
    link.say("heartbeat", flags=0xE0, sequence=123_456, window=0)
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:  # those of before may be many, if we stood still
        frame = link.frame(beats=True)
        assert frame.type == "heartbeat" and frame.sequence > 0
        assert frame.flags == 0, "it had a frame of a session within the last minute"
        if frame.acknowledgement == 123_456:
            assert frame.window < 10_000_000, "echo age"
            return
    raise AssertionError("the stamp was never echoed")


def mistakes(client, far):
    """10: each drops the link, and none touches the session."""
    beyond = struct.pack("!Q", 1 << 62)
    for words, frame in {
        "leaves out a byte": ("data", 1, 9, 2, 65536, b"x"),
        "begins before and ends after the end of all windows": ("data", 1, 8, 2, 65536, bytes(16385)),
        "has a type that does not exist": (13,),
        "has a payload where there is none": ("heartbeat", 0, 0, 0, 0, b"x"),
        "is data without data": ("data", 1, 8, 2),
        "is data of the tunnel": ("data", 0, 8, 2, 65536, b"x"),
        "is a heartbeat of a session": ("heartbeat", 3),
        "has an absurd position": ("ack", 1, 0, 1 << 62),
        "acknowledges what was never sent": ("ack", 1, 8, 99),
        "asks for what was never sent": ("resume", 1, 8, 2, 65536, u64(99)),
        "asks for an absurd position": ("resume", 1, 8, 2, 65536, beyond),
        "wants less than it acknowledges": ("resume", 1, 8, 2, 65536, u64(1)),
        "says opened to sproxy": ("opened", 1),
        "greets again": ("hello", 0, 0, 0, 0, Hello().payload),
        "ends before what was sent": ("end", 1, 4, 2),
        "ends beyond what was sent": ("end", 1, 9, 2),
    }.items():
        link = client.resume()
        link.say("resume", 1, 8, 2, payload=u64(2))
        link.say(*frame)
        assert link.is_dropped(), f"a frame that {words} does not drop the link"
    for words, raw in {
        "rubbish": b"GET / HTTP/1.0\r\nHost: example.org\r\n\r\n" + bytes(40),
        "a heartbeat": HEADER.pack(3, 0, 0, 0, 0, 0, 0),
        "too short a hello": HEADER.pack(1, 0, 100, 0, 0, 0, 0) + Hello().payload[:100],
        "another magic": HEADER.pack(1, 0, 164, 0, 0, 0, 0) + Hello(magic=b"HFSX").payload,
        "an unknown purpose": HEADER.pack(1, 0, 164, 0, 0, 0, 0) + Hello(purpose=4).payload,
        "no heartbeat": HEADER.pack(1, 0, 164, 0, 0, 0, 0) + Hello(beat=0).payload,
        "versions upside down": HEADER.pack(1, 0, 164, 0, 0, 0, 0) + Hello(versions=(1, 2)).payload,
    }.items():
        stranger = client.dial()
        stranger.socket.sendall(raw)
        assert stranger.frame() is None, f"somebody who begins with {words} is answered"

    link = client.resume()
    link.expect("resume", session=1, acknowledgement=8)
    link.say("resume", 1, 8, 2, payload=u64(2))
    far.sendall(b"alive")
    link.expect("data", sequence=2, payload=b"alive")
    return link


def ends(link, far):
    """7.7: an end has a position and is acknowledged with it."""
    link.say("end", 1, 8, 7)
    link.expect("ack", acknowledgement=9)
    assert far.recv(1) == b"", "the end is delivered"
    far.close()
    link.expect("end", sequence=7, acknowledgement=9)
    link.say("ack", 1, 9, 8)
    link.say("resume", 1, 9, 8, payload=u64(8))
    link.expect("closed", session=1)


def lost_bytes(link, target):
    """8.2, step 1: the only mistake that costs a session."""
    link.say("open", 80)
    link.say("data", 80, 0, 0, payload=b"abc")
    far = target.next()
    link.expect("opened", session=80)
    link.expect("ack", session=80, acknowledgement=3)
    link.say("resume", 80, 50, 0, payload=u64(0))
    link.expect("reset", session=80, payload=b"\x09")
    link.say("closed", 80)
    read(far, b"abc")
    assert is_reset(far)


def windows(link, target):
    """7.4: a window is kept, and the end needs none."""
    link.say("open", 81, window=4)
    far = target.next()
    link.expect("opened", session=81)
    far.sendall(b"0123456789")
    far.shutdown(socket.SHUT_WR)
    link.expect("data", sequence=0, payload=b"0123")
    link.say("ack", 81, 0, 4, window=4)
    link.expect("data", sequence=4, payload=b"4567")
    link.say("ack", 81, 0, 8, window=2)
    link.expect("data", sequence=8, payload=b"89")
    link.expect("end", sequence=10)
    link.say("reset", 81, payload=b"\xee")  # a reason that nobody knows
    link.expect("closed", session=81)


def resets(client, link, target):
    """7.8: a reset is said again on each link until it is answered."""
    link.say("open", 82)
    far = target.next()
    link.expect("opened", session=82)
    reset(far)
    link.expect("reset", session=82, payload=b"\1")
    other = client.resume()
    other.expect("reset", session=82, payload=b"\1")
    other.say("closed", 82)
    return other


def a_new_run(client, link, target):
    """5.3, 9: a new tunnel of the same client ends the one before; goodbye ends it at once."""
    before = dict(purpose=RESUME, attempt=1000, tunnel=client.tunnel, secrets=client.secrets)
    link.say("open", 90)
    far = target.next()
    client.run = b"\xff" * 8
    new, _ = client.new_tunnel()
    assert link.is_dropped() and is_reset(far)
    assert client.greet(**before)[2].answer == GONE
    new.say("open", 1)
    far = target.next()
    new.expect("opened", session=1)
    new.say("goodbye", window=0, payload=b"\7")
    assert new.is_dropped() and is_reset(far)
    assert client.greet(purpose=RESUME, attempt=1000, tunnel=client.tunnel, secrets=client.secrets)[2].answer == GONE


def refused(client):
    """7.2, 7.8: a target that refuses."""
    link, _ = client.new_tunnel()
    link.say("open", 1)
    link.expect("reset", session=1, payload=b"\2")
    link.say("closed", 1)


def against_sproxy():
    target = Target()
    with Program("sproxy", 0, "--bind", "127.0.0.1", "--target", f"127.0.0.1:{target.port}", "--window", "64KiB") as sproxy:
        client = Client(sproxy.port())
        link, far = one_session_and_a_move(client, target)
        positions(link, far)
        answers(client)
        the_first_flight(Client(sproxy.port()), target)
        a_bulk_link(Client(sproxy.port()), target)
        link = secrets(client)
        unknown_sessions(link)
        heartbeats(link)
        link = mistakes(client, far)
        ends(link, far)
        lost_bytes(link, target)
        windows(link, target)
        link = resets(client, link, target)
        a_new_run(client, link, target)
        with target.gone():
            refused(client)


# -- against cproxy ------------------------------------------------------------------------------------------------------


class Server:
    """sproxy, as far as cproxy can tell."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(PATIENCE)
        self.port = self.listener.getsockname()[1]
        self.key, self.tunnel, self.secrets = Ed25519PrivateKey.generate(), None, (None, None)

    def hello(self):
        """The next link that greets; cproxy may have several under way."""
        while True:
            connection, _ = self.listener.accept()
            try:
                link = Link(connection, self.key, serves=True)
            except ConnectionError:  # another one was faster
                continue
            frame = link.frame()
            if frame is not None:
                assert frame.type == "hello", f"the first frame is {frame}"
                assert (frame.session, frame.sequence, frame.acknowledgement, frame.window) == (0, 0, 0, 0)
                return link, HelloRead(frame.payload)

    def make(self, link, hello):
        nonce, self.tunnel = os.urandom(32), os.urandom(16)
        self.secrets = first_secret(link, hello, self.tunnel, nonce), None
        link.say("welcome", window=0, payload=welcome_for(hello, MADE, self.tunnel, nonce))

    def check(self, link, hello, purpose=RESUME):
        """Which of our secrets it has proved."""
        assert hello.purpose == purpose and hello.tunnel == self.tunnel, "it does not resume its tunnel"
        proofs = hello.proof, hello.proof_before
        fits = [secret for secret in self.secrets if secret and proof_of_hello(secret, link, hello) in proofs]
        assert fits, "its proofs are wrong"
        return fits[0]

    def accept(self, link, hello, false_secret=None, lost=False):
        secret, nonce = self.check(link, hello), os.urandom(32)
        proof = proof_of_welcome(false_secret or secret, link, hello, nonce)
        if not false_secret:
            self.secrets = next_secret(secret, link, hello, nonce), secret
        if not lost:
            link.say("welcome", window=0, payload=welcome_for(hello, RESUMED, self.tunnel, nonce, proof))

    def accept_for_bulk(self, link, hello):
        secret, nonce = self.check(link, hello, JOIN), os.urandom(32)
        proof = proof_of_welcome(secret, link, hello, nonce)
        link.say("welcome", window=0, payload=welcome_for(hello, JOINED, self.tunnel, nonce, proof))


def a_first_session(server, port):
    """5.1, 7.1: the greeting, and data right behind the open."""
    link, hello = server.hello()
    assert (hello.version, hello.lowest, hello.purpose, hello.attempt) == (1, 1, NEW_TUNNEL, 1)
    assert hello.tunnel == bytes(16) and hello.beat == 100_000 and any(hello.instance)
    assert hello.proof == bytes(32) and hello.proof_before == bytes(32) and hello.capabilities == BULK_LINKS
    server.make(link, hello)
    app = socket.create_connection(("127.0.0.1", port), PATIENCE)
    app.sendall(b"hi")
    opened = link.expect("open", sequence=0, acknowledgement=0)
    assert opened.session > 0 and opened.window > 0
    link.expect("data", session=opened.session, sequence=0, payload=b"hi")
    link.say("opened", opened.session)
    link.say("data", opened.session, 0, 2, payload=b"ok")
    read(app, b"ok")
    link.expect("ack", session=opened.session, acknowledgement=2)
    return link, hello, app, opened.session


def its_resume(server, link, hello, app, session):
    """8: silence leads to another link with a higher attempt; both say where they are; bytes are sent again."""
    app.sendall(b"lost")
    link.expect("data", session=session, sequence=2, payload=b"lost")  # and never acknowledged
    other, again = server.hello()  # we are silent, so it dials
    assert again.attempt > hello.attempt and (again.run, again.instance) == (hello.run, hello.instance)
    assert again.nonce != hello.nonce
    server.accept(other, again)
    other.say("resume", session, 0, 2, payload=u64(2))
    other.expect("resume", session=session, sequence=2, acknowledgement=2, payload=u64(2), flags=EARLY)
    other.expect("data", session=session, sequence=2, payload=b"lost", flags=EARLY)  # 5.7
    other.say("data", session, 0, 2, payload=b"ok, more")  # not earlier: its resume would tell of it
    other.expect("data", session=session, sequence=2, payload=b"lost", flags=0)  # for our resume asked for it
    read(app, b", more")
    assert link.is_dropped()
    return other


def a_slow_pace(server, app, link, session):
    """6: who announces that he is slow may be silent for longer; not any more when a session speaks."""
    link.say("heartbeat", flags=7, sequence=1)  # 12.8 s, and three of them
    server.listener.settimeout(13)  # more than a fast peer has, whose kernel acknowledges
    try:
        server.hello()
        raise AssertionError("it dials although we said that we are slow")
    except TimeoutError:
        server.listener.settimeout(PATIENCE)
    app.sendall(b"!")
    while (frame := link.frame()).type == "ack":  # of what came with the move, if it did not ride on data
        assert frame.acknowledgement == 8
    assert (frame.type, frame.session, frame.sequence, frame.payload) == ("data", session, 6, b"!")
    other, again = server.hello()
    server.accept(other, again)
    other.say("resume", session, 8, 7, payload=u64(7))
    other.expect("resume", session=session, sequence=2, acknowledgement=8, payload=u64(8), flags=EARLY)
    other.expect("data", session=session, sequence=2, payload=b"lost!", flags=EARLY)  # 7 is acknowledged only now
    return other


def false_servers(server, app, link):
    """5.5: who cannot prove that he is sproxy is not believed, whatever he says."""
    link.socket.close()
    link, hello = server.hello()
    server.accept(link, hello, os.urandom(32))
    assert link.is_dropped(), "a false proof is believed"
    link, hello = server.hello()
    link.say("welcome", window=0, payload=welcome_for(hello, MADE, os.urandom(16), os.urandom(32)))
    assert link.is_dropped(), "made, in answer to a resume, is believed"
    link, hello = server.hello()
    link.say("welcome", window=0, payload=welcome_for(hello, OVERTAKEN, bytes(16), os.urandom(32)))
    assert link.is_dropped()
    link, hello = server.hello()
    link.say("heartbeat")
    assert link.is_dropped(), "a link that does not begin with welcome is kept"
    link, hello = server.hello()
    server.check(link, hello)
    app.setblocking(False)
    try:
        raise AssertionError(f"the app was told something: {app.recv(10)!r}")
    except BlockingIOError:
        app.settimeout(PATIENCE)
    server.accept(link, hello)
    return link


def welcomes_that_are_lost(server, link):
    """5.4: we have replaced the secret and cproxy has not; then both agree again."""
    for _ in range(2):
        link.socket.close()
        link, hello = server.hello()
        server.accept(link, hello, lost=True)
    link.socket.close()
    link, hello = server.hello()
    server.accept(link, hello)
    while link.frame().type != "resume":  # it was welcomed
        pass
    server.secrets = server.secrets[0], None  # and has what we have
    link.socket.close()
    link, hello = server.hello()
    server.accept(link, hello)
    return link


def an_open_that_was_lost(server, link, port):
    """8.3: a session that the other side may not know is opened again, from 0."""
    app = socket.create_connection(("127.0.0.1", port), PATIENCE)
    app.sendall(b"new")
    opened = link.frame()
    while opened.type != "open":
        opened = link.frame()
    link.socket.close()
    link, hello = server.hello()
    server.accept(link, hello)
    again = link.frame()
    while again.session != opened.session:
        again = link.frame()
    assert again.type == "open", f"{again} instead of open"
    while (frame := link.frame()).type != "data":
        pass
    assert frame.session == opened.session and frame.sequence == 0 and frame.payload == b"new"
    link.say("reset", opened.session, payload=b"\2")
    while (frame := link.frame()).type != "closed":
        pass
    assert frame.session == opened.session and is_reset(app)
    return link


def gone(server, link, app, port):
    """5.5: the one answer that ends a tunnel."""
    link.socket.close()
    link, hello = server.hello()
    server.check(link, hello)
    link.say("welcome", window=0, payload=welcome_for(hello, GONE, bytes(16), os.urandom(32)))
    assert is_reset(app)
    link, hello = server.hello()
    assert hello.purpose == NEW_TUNNEL and hello.tunnel == bytes(16) and hello.proof == hello.proof_before == bytes(32)
    server.make(link, hello)
    app = socket.create_connection(("127.0.0.1", port), PATIENCE)
    opened = link.expect("open")  # so it has taken the link
    link.say("reset", opened.session, payload=b"\2")
    link.expect("closed", session=opened.session)
    assert is_reset(app)
    return link, hello.attempt


def its_bulk_link(server, link, attempt, port):
    """8.5, 5.8: who carries much beside another session gets a second link, and loses nothing with it."""
    def next_frame(kind):
        while (frame := link.frame()).type != kind:
            pass
        return frame

    apps = [socket.create_connection(("127.0.0.1", port), PATIENCE) for _ in range(2)]
    sessions = [link.expect("open").session for _ in apps]
    session, app, piece, said = sessions[1], apps[1], bytes(32768), 0  # one in half a second is much
    while not select.select([server.listener], [], [], 0.05)[0]:
        assert said < 100 * len(piece), "it carries much, and does not join"
        app.sendall(piece)
        said += len(piece)
        while (frame := next_frame("data")).sequence + len(frame.payload) < said:
            assert frame.session == session
        link.say("ack", session, 0, said)
    bulk, hello = server.hello()
    assert hello.attempt == attempt
    server.accept_for_bulk(bulk, hello)
    bulk.say("heartbeat", sequence=123_456, window=0)
    while bulk.frame(beats=True).acknowledgement != 123_456:  # then it has read the welcome, too
        pass
    app.sendall(b"there")
    bulk.expect("data", session=session, sequence=said, payload=b"there")  # all before was acknowledged
    bulk.say("data", session, 0, said, payload=b"and back")
    read(app, b"and back")
    assert next_frame("ack").acknowledgement == 8
    bulk.socket.close()
    again = next_frame("data")
    assert (again.session, again.sequence, again.payload) == (session, said, b"there")
    for session, app in zip(sessions, apps):
        link.say("reset", session, payload=b"\1")
        assert next_frame("closed").session == session and is_reset(app)


def farewell(link, cproxy):
    """9: goodbye is the last frame."""
    cproxy.process.send_signal(signal.SIGTERM)
    link.expect("goodbye", session=0, payload=b"\7")
    assert link.frame(beats=True) is None


def against_cproxy():
    server = Server()
    with Program("cproxy", 0, "127.0.0.1", server.port) as cproxy:
        port = cproxy.port()
        link, hello, app, session = a_first_session(server, port)
        link = its_resume(server, link, hello, app, session)
        if not INSECURE:  # once is enough, since it takes half a minute
            link = a_slow_pace(server, app, link, session)
        link = false_servers(server, app, link)
        link = welcomes_that_are_lost(server, link)
        link = an_open_that_was_lost(server, link, port)
        link, attempt = gone(server, link, app, port)
        its_bulk_link(server, link, attempt, port)
        farewell(link, cproxy)


if __name__ == "__main__":
    for INSECURE in (False, True):
        against_sproxy()
        against_cproxy()
    print("PROTOCOL.md, implemented a second time, agrees with sproxy and cproxy")
