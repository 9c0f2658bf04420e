#!/usr/bin/python3
"""The smallest inetd: accepts on a port and runs a program for each connection, the socket as its 0, 1 and 2.

    inetd.py PORT PROGRAM [ARGUMENT...]

It exists because telnetd wants to be started that way. It ends with SIGTERM; its programs go on.
"""

import os
import signal
import socket
import sys


def main():
    port, program = int(sys.argv[1]), sys.argv[2:]
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the programs, so no zombies
    listener = socket.socket(socket.AF_INET6)
    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("::", port))
    listener.listen(64)
    print(f"inetd: listening on {port}", flush=True)
    while True:
        connection, _ = listener.accept()
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for number in (0, 1, 2):
                os.dup2(connection.fileno(), number)
            os.execv(program[0], program)
        connection.close()


if __name__ == "__main__":
    main()
