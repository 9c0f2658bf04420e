#!/usr/bin/python3
"""bulk.py listen|connect ADDRESS PORT: as much as goes, both ways, on one connection; says how much came every second."""

import selectors
import socket
import sys
import time

BLOCK = bytes(65536)


def connection(role, address, port):
    if role == "connect":
        return socket.create_connection((address, port), timeout=60)
    with socket.create_server((address, port)) as listener:
        print("ready", flush=True)
        return listener.accept()[0]


def main():
    sock = connection(sys.argv[1], sys.argv[2], int(sys.argv[3]))
    sock.setblocking(False)
    selector = selectors.DefaultSelector()
    selector.register(sock, selectors.EVENT_READ | selectors.EVENT_WRITE)
    came, due = 0, time.monotonic()
    while True:
        for _, events in selector.select(max(0.0, due - time.monotonic())):
            if events & selectors.EVENT_READ:
                got = len(sock.recv(262144))
                if not got:
                    return
                came += got
            if events & selectors.EVENT_WRITE:
                sock.send(BLOCK)
        if time.monotonic() >= due:
            due += 1
            print(came, flush=True)


main()
