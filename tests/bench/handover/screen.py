#!/usr/bin/python3
"""Runs inside mosh-server: shows the time in milliseconds (CLOCK_MONOTONIC, the machine's only one) every 20 ms, and in
another row that of the last keystroke.

They stand where mosh's status line, the top one, does not cover them.
"""

import os
import select
import sys
import termios
import time
import tty

DATA_ROW, ECHO_ROW, DIGITS = 5, 8, 12
PERIOD = 0.020  # mosh sends a screen every 20 ms at most


def now():
    return int(time.monotonic() * 1000)


def main():
    tty.setraw(0, termios.TCSANOW)
    due = time.monotonic()
    while True:
        if select.select([0], [], [], max(0.0, due - time.monotonic()))[0]:
            got = os.read(0, 4096)
            if not got:
                return
            sys.stdout.write(f"\x1b[{ECHO_ROW};1H{now():0{DIGITS}}")
        if time.monotonic() >= due:
            due = max(due + PERIOD, time.monotonic() - PERIOD)
            sys.stdout.write(f"\x1b[{DATA_ROW};1H{now():0{DIGITS}}")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
