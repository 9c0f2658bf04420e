#!/usr/bin/python3
"""Runs inside mosh-server: shows a counter that changes every 20 ms, and another one that keystrokes change.

Both are written with characters that mosh's own messages never contain, so that whoever sees one of them on the
screen has seen something new. They stand where mosh's status line, the top one, does not cover them.
"""

import os
import select
import sys
import termios
import time
import tty

DATA_SYMBOLS, ECHO_SYMBOLS = "#%&*+@$~", "<{}|_`\"\\"
PERIOD = 0.020  # mosh sends a screen every 20 ms at most


def spell(number, symbols):
    return "".join(symbols[number >> shift & 7] for shift in (9, 6, 3, 0))


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
            sys.stdout.write(f"\x1b[8;1H{spell(keys, ECHO_SYMBOLS)}")
        if time.monotonic() >= due:
            count, due = count + 1, max(due + PERIOD, time.monotonic() - PERIOD)
            sys.stdout.write(f"\x1b[5;1H{spell(count, DATA_SYMBOLS)}")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
