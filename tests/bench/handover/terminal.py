#!/usr/bin/python3
"""terminal.py typing|watching PROGRAM...: a person at a terminal who notices when the times that screen.py shows change.

Types a key every 20 ms, or nothing. Is asked as app.py is (desk.py).
"""

import fcntl
import os
import pty
import re
import selectors
import struct
import subprocess
import sys
import termios
import time

from desk import Desk
from records import DATA, ECHO, Arrivals
from screen import DATA_ROW, DIGITS, ECHO_ROW

KEY_PERIOD = 0.020


# What mosh-client writes: moves, other control sequences, titles, other escapes, text.
TOKENS = re.compile(rb"\x1b\[(?P<row>\d+)(?:;(?P<column>\d+))?H|\x1b\[(?P<home>H)|\x1b\[[0-9;?>!]*[ -/]*[@-~]"
                    rb"|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[()#].|\x1b[^\[\]()#]|(?P<control>[\x00-\x1a\x1c-\x1f])|(?P<text>[^\x00-\x1f]+)", re.S)


class Screen:
    """As much of a terminal as it takes to read two rows of digits. Rows and columns count from 1."""

    def __init__(self):
        self.rows, self._row, self._column, self._rest = {}, 1, 1, b""

    def shows(self, output):
        output = self._rest + output
        done = 0
        for token in TOKENS.finditer(output):
            if token.start() != done:
                break  # a sequence that has not come whole yet
            done = token.end()
            self._one(token)
        self._rest = output[done:]

    def _one(self, token):
        if token["row"] or token["home"]:
            self._row, self._column = int(token["row"] or 1), int(token["column"] or 1)
        elif token["control"] == b"\r":
            self._column = 1
        elif token["control"] == b"\n":
            self._row += 1
        elif token["control"] == b"\b":
            self._column -= 1
        elif token["text"]:
            before = self.rows.get(self._row, b"").ljust(self._column - 1)
            end = self._column - 1 + len(token["text"])
            self.rows[self._row] = before[:self._column - 1] + token["text"] + before[end:]
            self._column = end + 1


class Terminal:
    def __init__(self, typing, command):
        self.arrivals, self.typing = Arrivals(), typing
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "setsid", "-c", *command], stdin=slave, stdout=slave, stderr=slave)
        os.close(slave)
        self.screen, self.latest = Screen(), {DATA: 0, ECHO: 0}

    def readable(self):
        try:
            got = os.read(self.master, 65536)
        except OSError:
            got = b""
        if not got:
            raise SystemExit(f"terminal: the program has ended: {self.screen.rows}")
        now = time.monotonic()
        self.screen.shows(got)
        for kind, row in ((DATA, DATA_ROW), (ECHO, ECHO_ROW)):
            shown = self.screen.rows.get(row, b"")[:DIGITS]
            if shown.isdigit() and int(shown) > self.latest[kind]:  # a screen that is drawn again shows nothing new
                self.latest[kind] = int(shown)
                self.arrivals.came(now, int(shown) / 1000, 0, kind)

    def run(self):
        selector = selectors.DefaultSelector()
        selector.register(self.master, selectors.EVENT_READ, self.readable)
        selector.register(0, selectors.EVENT_READ, Desk(self.arrivals, 1, pid=self.process.pid, echoes=self.typing).readable)
        print("ready", flush=True)
        next_key = time.monotonic()
        try:
            while True:
                for key, _ in selector.select(max(0.0, next_key - time.monotonic())):
                    key.data()
                if time.monotonic() >= next_key:
                    next_key = max(next_key + KEY_PERIOD, time.monotonic())
                    if self.typing:
                        os.write(self.master, b"k")
        finally:
            self.process.kill()


Terminal(sys.argv[1] == "typing", sys.argv[2:]).run()
