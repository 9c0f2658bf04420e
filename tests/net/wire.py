"""The protocol as a stranger would write it from docs/PROTOCOL.md: just enough to greet, and to be wrong on purpose."""

import os
import struct
import time

HELLO, WELCOME, HEARTBEAT, GOODBYE, OPEN, OPENED, RESUME, DATA, ACK, END, RESET, CLOSED = range(1, 13)
MADE, RESUMED, GONE, LATER, REFUSED, OVERTAKEN, JOINED = range(1, 8)
BULK_LINK = 1  # a capability
MAGIC = b"HFST"


def frame(kind, session=0, sequence=0, acknowledgement=0, payload=b"", window=1 << 20, length=None, flags=0):
    """One frame; `length` may lie."""
    length = len(payload) if length is None else length
    return struct.pack("!BBHIQQQ", kind, flags, length, window, session, sequence, acknowledgement) + payload


def hello(purpose=1, instance=None, tunnel=bytes(16), attempt=1, nonce=None, proof=bytes(32), proof_before=bytes(32),
          beat_us=100_000, magic=MAGIC, version=1, lowest=1, run=None, window=1 << 20,
          capabilities=0):
    payload = magic + struct.pack("!BBBBIII", version, lowest, purpose, 0, capabilities, beat_us, window)
    payload += instance or os.urandom(16)
    payload += struct.pack(">Q", time.monotonic_ns()) if run is None else run  # rises, as that of a client that starts again
    return payload + tunnel + struct.pack("!Q", attempt) + (nonce or os.urandom(32)) + proof + proof_before


def welcome(answer=MADE, tunnel=None, attempt=1, magic=MAGIC, version=1, beat_us=100_000, window=1 << 20):
    return (magic + struct.pack("!BBHIIII", version, answer, 0, 0, beat_us, window, 0) + (tunnel or os.urandom(16))
            + struct.pack("!Q", attempt) + os.urandom(32) + bytes(32))


def greeting(payload):
    return frame(HELLO, payload=payload, window=0)


def parse(data):
    """The whole frames at the beginning of the bytes: a list of (kind, session, sequence, acknowledgement, payload)."""
    frames = []
    while len(data) >= 32:
        kind, _, length, _, session, sequence, acknowledgement = struct.unpack("!BBHIQQQ", data[:32])
        if len(data) < 32 + length:
            break
        frames.append((kind, session, sequence, acknowledgement, bytes(data[32:32 + length])))
        data = data[32 + length:]
    return frames


def answer_of(payload):
    return payload[5]
