#!/usr/bin/python3
"""Goal of this test: a server that has run out of descriptors says so once, does not turn in circles, serves the clients
that it has, and accepts those that wait as soon as others leave."""

import time

from harness import Server, message, printed, tell


def a_server_out_of_descriptors_waits_quietly():
    with Server(prefix=["prlimit", "--nofile=20"]) as server:
        connections = [server.connect() for _ in range(40)]
        try:
            line = server.says("cannot accept more clients")
            assert "Too many open files" in line, line
            connections[0].sendall(message(b"first"))
            server.prints(printed(b"first"))

            before = server.cpu_seconds()
            time.sleep(3)
            used = server.cpu_seconds() - before
            assert used < 0.3, f"it used {used} s of processor time in 3 s of waiting"

            connections[-1].sendall(message(b"last"))  # it is among those that wait
            time.sleep(0.2)
            assert server.out.bytes == printed(b"first")
            for connection in connections[:-1]:
                connection.close()
            server.prints(printed(b"first", b"last"))
            server.still_serves(b"first", b"last")
            assert server.errors().count("cannot accept") == 1, server.errors()
        finally:
            for connection in connections:
                connection.close()


tell(a_server_out_of_descriptors_waits_quietly)
