#!/usr/bin/python3
"""Goal of this test: a line over the limit is named and not sent, everything else is, and no line costs memory."""

from harness import LIMIT, Client, Server, printed, tell


def a_long_line_is_named_and_the_next_one_is_sent():
    with Server() as server, Client("127.0.0.1", server.port) as client:
        client.type(b"one\n" + b"x" * (LIMIT + 1) + b"\nthree\n" + b"y" * 70000 + b"\nfive\n")
        client.end_input()
        client.ends(3)
        server.prints(printed(b"one", b"three", b"five"))
        assert client.errors().splitlines() == [
            "client: line 2 is longer than 1024 bytes and was not sent",
            "client: line 4 is longer than 1024 bytes and was not sent",
        ]


def a_long_last_line_without_newline_is_named():
    with Server() as server, Client("127.0.0.1", server.port) as client:
        client.type(b"one\n" + b"x" * (LIMIT + 1))
        client.end_input()
        client.ends(3)
        server.prints(printed(b"one"))
        assert client.says("line 2 is longer than 1024 bytes")


def a_long_line_is_named_before_it_ends():
    with Server() as server, Client("127.0.0.1", server.port) as client:
        client.type(b"x" * (LIMIT + 1))
        client.says("line 1 is longer than 1024 bytes")
        client.type(b"x\nnext\n")
        server.prints(printed(b"next"))


def a_line_of_two_gigabytes_does_not_grow_memory():
    block = b"x" * (1 << 20)
    with Server() as server, Client("127.0.0.1", server.port) as client:
        client.type(b"first\n")
        server.prints(printed(b"first"))
        before = client.stat("VmHWM")
        for _ in range(2100):  # more than 2^31 bytes
            client.type(block)
        client.type(b"\nlast\n")
        server.prints(printed(b"first", b"last"))
        grown = client.stat("VmHWM") - before
        assert grown < 4096, f"the client grew by {grown} kB"
        client.end_input()
        client.ends(3)
        assert client.errors().count("\n") == 1


tell(
    a_long_line_is_named_and_the_next_one_is_sent,
    a_long_last_line_without_newline_is_named,
    a_long_line_is_named_before_it_ends,
    a_line_of_two_gigabytes_does_not_grow_memory,
)
