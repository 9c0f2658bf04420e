#!/usr/bin/python3
"""Goal of this test: a client that goes in mid-message, or announces too long a message, harms nobody but itself, and
the server says what happened and to whom."""

import random
import socket
import struct

from harness import LIMIT, PATIENCE, Server, address_of, eventually, message, printed, reset, tell


def gone_in_mid_message(host, cut, leave, reason):
    with Server() as server, server.connect() as other:
        connection = server.connect(host)
        name = address_of(connection)
        connection.sendall(message(b"whole") + message(b"cut off")[:cut])
        server.prints(printed(b"whole"))
        leave(connection)
        line = server.says("in the middle of a message")
        assert f"client at {name} in" in line and f"{cut} bytes" in line and reason in line, line
        other.sendall(message(b"other"))
        server.prints(printed(b"whole", b"other"))
        server.still_serves(b"whole", b"other")


def a_client_goes_in_the_middle_of_a_payload():
    gone_in_mid_message("127.0.0.1", 7, socket.socket.close, "it closed the connection")
    gone_in_mid_message("::1", 7, socket.socket.close, "it closed the connection")


def a_client_goes_in_the_middle_of_a_length():
    gone_in_mid_message("127.0.0.1", 2, socket.socket.close, "it closed the connection")


def a_client_is_reset_in_mid_message():
    gone_in_mid_message("::1", 7, reset, "Connection reset by peer")


def a_reset_between_messages_is_said_too():
    with Server() as server:
        connection = server.connect()
        connection.sendall(message(b"whole"))
        server.prints(printed(b"whole"))
        name = address_of(connection)
        reset(connection)
        assert f"client at {name}: Connection reset by peer" in server.says("lost the client")
        server.still_serves(b"whole")


def an_orderly_end_is_not_worth_a_word():
    with Server() as server:
        server.connect().close()
        server.still_serves()
        server.still_serves(b"still here")
        assert server.errors().count("\n") == 1, server.errors()


def a_length_over_the_limit_drops_that_client_alone():
    for host, length in (("127.0.0.1", LIMIT + 1), ("::1", 0x80000000), ("127.0.0.1", 0xFFFFFFFF)):
        with Server() as server, server.connect() as other, server.connect(host) as connection:
            name = address_of(connection)
            connection.sendall(message(b"good") + struct.pack("!I", length) + b"rest" + message(b"never"))
            line = server.says("dropped the client")
            assert name in line and str(length) in line and str(LIMIT) in line, line
            connection.settimeout(PATIENCE)
            try:
                assert connection.recv(1) == b"", "the server should have closed"
            except ConnectionResetError:
                pass
            other.sendall(message(b"x" * LIMIT))
            server.prints(printed(b"good", b"x" * LIMIT))
            server.still_serves(b"good", b"x" * LIMIT)


def rubbish_from_a_hundred_clients_leaves_one_line_each_and_no_memory():
    dice = random.Random(5)
    with Server() as server, server.connect() as other:
        before = server.stat("VmRSS")
        for _ in range(100):
            with server.connect() as connection:
                try:
                    connection.sendall(b"\xff" + dice.randbytes(100000))
                except (BrokenPipeError, ConnectionResetError):
                    pass
        other.sendall(message(b"other"))
        server.prints(printed(b"other"))
        server.still_serves(b"other")
        eventually("a line for each", lambda: server.errors().count("\n") >= 101)
        lines = server.errors().splitlines()
        assert len(lines) == 101 and all("dropped the client" in line for line in lines[1:]), lines[:5]
        grown = server.stat("VmRSS") - before
        assert grown < 8192, f"the server grew by {grown} kB"


tell(
    a_client_goes_in_the_middle_of_a_payload,
    a_client_goes_in_the_middle_of_a_length,
    a_client_is_reset_in_mid_message,
    a_reset_between_messages_is_said_too,
    an_orderly_end_is_not_worth_a_word,
    a_length_over_the_limit_drops_that_client_alone,
    rubbish_from_a_hundred_clients_leaves_one_line_each_and_no_memory,
)
