#!/usr/bin/python3
"""terminal.py PROGRAM...: a person at a terminal who notices when the counters of screen.py change.

Types a key every 20 ms. Answers the same commands as app.py.
"""

import fcntl
import os
import pty
import selectors
import struct
import subprocess
import sys
import termios
import time

from desk import Desk
from records import DATA, ECHO, Arrivals
from screen import DATA_SYMBOLS, ECHO_SYMBOLS

KEY_PERIOD = 0.020


class Terminal:
    def __init__(self, command):
        self.arrivals = Arrivals()
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "setsid", "-c", *command], stdin=slave, stdout=slave, stderr=slave)
        os.close(slave)
        self.seen = b""

    def readable(self):
        try:
            got = os.read(self.master, 65536)
        except OSError:
            got = b""
        if not got:
            raise SystemExit(f"terminal: the program has ended: {self.seen[-300:]!r}")
        self.seen = (self.seen + got)[-1000:]
        now = time.monotonic()
        for kind, symbols in ((DATA, DATA_SYMBOLS), (ECHO, ECHO_SYMBOLS)):
            if any(symbol.encode() in got for symbol in symbols):
                self.arrivals.came(now, 0.0, 0, kind)

    def run(self):
        selector = selectors.DefaultSelector()
        selector.register(self.master, selectors.EVENT_READ, self.readable)
        selector.register(0, selectors.EVENT_READ, Desk(self.arrivals, 1, pid=self.process.pid).readable)
        print("ready", flush=True)
        next_key = time.monotonic()
        try:
            while True:
                for key, _ in selector.select(max(0.0, next_key - time.monotonic())):
                    key.data()
                if time.monotonic() >= next_key:
                    next_key = max(next_key + KEY_PERIOD, time.monotonic())
                    os.write(self.master, b"k")
        finally:
            self.process.kill()


Terminal(sys.argv[1:]).run()
