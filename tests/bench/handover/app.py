#!/usr/bin/python3
"""app.py ADDRESS PORT SESSIONS [mptcp] [again] [alone]: a user's programs, which notice when something comes.

The first session asks for a record every 2 ms and types a key every 10 ms; the others ask for one every 250 ms and
only listen. Every record must have the number that follows the last one. `again`: who is cut off connects anew, which
is another session and counted as such. `alone`: nobody asks.

desk.py says how it is asked what came.
"""

import errno
import selectors
import socket
import sys
import time

from desk import Desk
from records import BEGIN, DATA, ECHO, KEY, KEY_PERIOD, RECORD, Arrivals

FIRST_PERIOD_US, OTHER_PERIOD_US = 2000, 250_000


class Session:
    """One connection at a time. `cut` counts how often it ended under us."""

    def __init__(self, crowd, number):
        self.crowd, self.number, self.cut = crowd, number, 0
        self.connect()

    def connect(self):
        self._in, self._next, self.sock = b"", {DATA: 1, ECHO: 1}, None
        self.keys = 0
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, self.crowd.protocol)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(5)
        try:
            sock.connect(self.crowd.address)
            period = OTHER_PERIOD_US if self.number else FIRST_PERIOD_US
            sock.sendall(RECORD.pack(BEGIN, period, time.monotonic()))
        except OSError as trouble:
            sock.close()
            self.crowd.trouble = trouble
            return
        sock.setblocking(False)
        self.sock = sock
        self.crowd.selector.register(sock, selectors.EVENT_READ, self)

    def type_key(self, now):
        if not self.sock:
            return
        try:
            if self.sock.send(RECORD.pack(KEY, self.keys + 1, now)) != RECORD.size:
                raise SystemExit("app: a keystroke was torn in two")
            self.keys += 1
        except BlockingIOError:
            pass  # the kernel's buffer is full: the key is not typed
        except OSError:
            self.lost()

    def readable(self):
        try:
            got = self.sock.recv(262144)
        except BlockingIOError:
            return
        except OSError as trouble:
            if trouble.errno not in (errno.ECONNRESET, errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.EPIPE, errno.ENETUNREACH):
                raise
            got = b""
        if not got:
            return self.lost()
        now = time.monotonic()
        self._in += got
        whole = len(self._in) // RECORD.size * RECORD.size
        for kind, number, written in RECORD.iter_unpack(self._in[:whole]):
            if self._next.get(kind) != number:
                raise SystemExit(f"app: session {self.number}: {kind} {number} instead of {self._next.get(kind)}")
            self._next[kind] += 1
            self.crowd.arrivals.came(now, written, self.number, kind)
        self._in = self._in[whole:]

    def lost(self):
        self.crowd.selector.unregister(self.sock)
        self.sock.close()
        self.sock = None
        self.cut += 1


class Crowd:
    def __init__(self, address, port, sessions, words):
        self.address, self.again = (address, port), "again" in words
        self.protocol = socket.IPPROTO_MPTCP if "mptcp" in words else 0
        self.trouble = None  # why the last connect failed
        self.arrivals, self.selector = Arrivals(), selectors.DefaultSelector()
        self.desk = Desk(self.arrivals, sessions, lambda: sum(session.cut > 0 for session in self.sessions))
        self.sessions = [Session(self, number) for number in range(sessions)]
        if "alone" not in words:
            self.selector.register(0, selectors.EVENT_READ, self.desk)

    def run(self):
        if not all(session.sock for session in self.sessions):
            raise SystemExit(f"app: cannot connect: {self.trouble}")
        print("ready", flush=True)
        next_key = time.monotonic()
        while True:
            for key, _ in self.selector.select(max(0.0, next_key - time.monotonic())):
                key.data.readable()
            now = time.monotonic()
            if now >= next_key:
                next_key = max(next_key + KEY_PERIOD, now)
                self.sessions[0].type_key(now)
                for session in self.sessions if self.again else ():
                    if not session.sock:
                        session.connect()


Crowd(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:]).run()
