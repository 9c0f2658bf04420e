#!/usr/bin/python3
"""target.py ADDRESS PORT [mptcp]: sends numbered records as often as each app asks, and echoes keystrokes."""

import heapq
import random
import selectors
import socket
import sys
import time

from records import BEGIN, DATA, ECHO, KEY, RECORD


class Connection:
    def __init__(self, sock):
        self.sock, self.period, self.number, self.over = sock, 0.0, 0, False
        self._in, self._out = b"", b""

    def say(self, kind, number, when):
        self._out += RECORD.pack(kind, number, when)
        try:
            self._out = self._out[self.sock.send(self._out):]
        except BlockingIOError:
            pass  # it waits for the next record
        except OSError:
            self.over = True

    def heard(self):
        """Echoes what came; true when the app has said how often it wants to hear of us."""
        try:
            got = self.sock.recv(65536)
        except OSError:
            got = b""
        self.over = self.over or not got
        self._in += got
        whole = len(self._in) // RECORD.size * RECORD.size
        begun = False
        for kind, number, when in RECORD.iter_unpack(self._in[:whole]):
            if kind == BEGIN:
                self.period, begun = number / 1e6, True
            elif kind == KEY:
                self.say(ECHO, number, when)
        self._in = self._in[whole:]
        return begun


def main():
    address, port = sys.argv[1], int(sys.argv[2])
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_MPTCP if "mptcp" in sys.argv else 0)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((address, port))
    listener.listen(1024)
    listener.setblocking(False)
    selector = selectors.DefaultSelector()
    selector.register(listener, selectors.EVENT_READ)
    due = []  # (when, a number that decides between equals, connection)
    print("ready", flush=True)
    while True:
        wait = max(0.0, due[0][0] - time.monotonic()) if due else None
        for key, _ in selector.select(wait):
            if key.fileobj is listener:
                sock, _ = listener.accept()
                sock.setblocking(False)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                selector.register(sock, selectors.EVENT_READ, Connection(sock))
            elif key.data.heard():
                first = time.monotonic() + random.random() * key.data.period  # sessions do not speak in chorus
                heapq.heappush(due, (first, key.fd, key.data))
            if key.data and key.data.over:
                selector.unregister(key.fileobj)
                key.fileobj.close()
        now = time.monotonic()
        while due and due[0][0] <= now:
            when, number, connection = heapq.heappop(due)
            if connection.over:
                continue
            connection.number += 1
            connection.say(DATA, connection.number, now)
            heapq.heappush(due, (max(when + connection.period, now - 0.1), number, connection))


main()
