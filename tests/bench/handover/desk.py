"""Where the one who measures asks an app: one command a line on standard input, one line of JSON for each.

    forget                    what came until now does not count
    since USABLE QUIET LOST   see Arrivals.since; cut_off: how many sessions have ended under the app
    stall BEGIN END           see Arrivals.stall
    pid                       of the program on the terminal, if there is one
"""

import json
import os
import sys


class Desk:
    def __init__(self, arrivals, sessions, cut_off=lambda: 0, pid=None, echoes=True):
        self.arrivals, self.sessions, self.cut_off, self.program, self.echoes = arrivals, sessions, cut_off, pid, echoes
        self._line = b""

    def readable(self):
        got = os.read(0, 65536)
        if not got:
            sys.exit(0)  # the one who measures has gone
        self._line += got
        while b"\n" in self._line:
            line, self._line = self._line.split(b"\n", 1)
            word, *numbers = line.decode().split()
            print(json.dumps(getattr(self, word)(*map(float, numbers))), flush=True)

    def forget(self):
        self.arrivals.forget()
        return {}

    def since(self, usable, quiet, lost):
        got = self.arrivals.since(usable, quiet, lost, self.sessions) | {"cut_off": self.cut_off()}
        if not self.echoes:
            del got["echo"]
        return got

    def stall(self, begin, end):
        return self.arrivals.stall(begin, end)

    def pid(self):
        return {"pid": self.program}
