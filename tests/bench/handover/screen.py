#!/usr/bin/python3
"""Runs inside mosh-server: shows a counter that changes every 20 ms, and another one that keystrokes change.

They stand where mosh's status line, the top one, does not cover them.
"""

import os
import select
import sys
import termios
import time
import tty

DATA_ROW, ECHO_ROW = 5, 8
PERIOD = 0.020  # mosh sends a screen every 20 ms at most


def main():
    tty.setraw(0, termios.TCSANOW)
    count = keys = 0
    due = time.monotonic()
    while True:
        if select.select([0], [], [], max(0.0, due - time.monotonic()))[0]:
            got = os.read(0, 4096)
            if not got:
                return
            keys += len(got)
            sys.stdout.write(f"\x1b[{ECHO_ROW};1H{keys:08}")
        if time.monotonic() >= due:
            count, due = count + 1, max(due + PERIOD, time.monotonic() - PERIOD)
            sys.stdout.write(f"\x1b[{DATA_ROW};1H{count:08}")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
