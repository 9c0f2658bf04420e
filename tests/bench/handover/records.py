"""What app and target say to each other, and what the app remembers of it.

A record is a kind, a number and a time (CLOCK_MONOTONIC in seconds, the same clock in every namespace of a machine):

    begin   app to target     once: send me a record every `number` microseconds
    data    target to app     numbered from 1; the time is when the target wrote it
    key     app to target     a keystroke, numbered from 1; the time is when the app wrote it
    echo    target to app     the same keystroke back
"""

import bisect
import struct

RECORD = struct.Struct("!cId")
BEGIN, DATA, KEY, ECHO = b"b", b"d", b"k", b"e"
KEY_PERIOD = 0.010  # seconds between keystrokes: the grain of what is said about echoes


class Arrivals:
    """When something came, since the last `forget`: (arrival, written, session, kind), oldest first."""

    def __init__(self):
        self.all = []

    def forget(self):
        self.all = []

    def came(self, now, written, session, kind):
        self.all.append((now, written, session, kind))

    def since(self, usable, quiet, lost, sessions):
        """Milliseconds from the moment the path was usable to the first record that came after `quiet`: of data, of
        an echo, and for the session that had to wait longest. Nothing (None) stands for: not yet.

        What was written before `lost` may have come by the old path and been read late by a busy app, so it does
        not count. A session whose record was written later than the path was usable waited only since then.
        """
        first, waited = {}, {}
        for now, written, session, kind in self.all[bisect.bisect_left(self.all, (quiet,)):]:
            if written < lost:
                continue
            first.setdefault(kind, now)
            if kind == DATA:
                waited.setdefault(session, now - max(usable, written))

        def ms(seconds):
            return None if seconds is None else round(seconds * 1000, 2)

        after = lambda kind: ms(first[kind] - usable) if kind in first else None  # noqa: E731
        return {"data": after(DATA), "echo": after(ECHO),
                "all": ms(max(waited.values())) if len(waited) == sessions else None}

    def stall(self, begin, end):
        """The longest time without data between the two moments, and without an echo, in milliseconds."""
        found = {}
        for name, wanted in (("data", DATA), ("echo", ECHO)):
            last, longest = begin, 0.0
            for now, _, session, kind in self.all:
                if session == 0 and kind == wanted and begin <= now <= end:
                    last, longest = now, max(longest, now - last)
            found[name] = round(max(longest, end - last) * 1000, 2)
        return found
