#!/usr/bin/python3
"""Goal of this test: messages survive any cutting of the stream, in the server's reads and in the client's writes."""

import random
import socket
import struct
import time
from threading import Thread

from harness import LIMIT, PATIENCE, Client, Server, eventually, message, printed, tell


def a_message_comes_byte_by_byte():
    with Server() as server, server.connect() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in message(b"slow") + message(b"") + message(b"er"):
            connection.sendall(bytes([byte]))
            time.sleep(0.01)
        server.prints(printed(b"slow", b"", b"er"))


def nothing_is_printed_before_the_last_byte():
    with Server() as server, server.connect() as connection:
        connection.sendall(message(b"whole")[:-1])
        time.sleep(0.3)
        assert server.out.bytes == b""
        connection.sendall(b"e")
        server.prints(printed(b"whole"))


def many_messages_come_in_random_pieces():
    dice = random.Random(1)
    payloads = [bytes(dice.choices(range(256), k=dice.choice((0, 1, 7, 900, LIMIT)))) for _ in range(3000)]
    stream = b"".join(map(message, payloads))
    with Server() as server, server.connect("::1") as connection:
        while stream:
            cut = dice.choice((1, 3, 5, 4000, 60000))
            connection.sendall(stream[:cut])
            stream = stream[cut:]
        server.prints(printed(*payloads))


def the_client_waits_for_a_slow_server():
    """A server that reads in drops from a tiny buffer: the client writes in pieces, loses nothing, and stays small."""
    lines = [b"%d" % i * 100 for i in range(20000)]
    lines = [line[:LIMIT] for line in lines]
    expected = b"".join(map(message, lines))
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.settimeout(PATIENCE)
        with Client("127.0.0.1", listener.getsockname()[1]) as client:
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(PATIENCE)
                def type_it_all():
                    client.type(b"\n".join(lines) + b"\n")
                    client.end_input()

                typist = Thread(target=type_it_all, daemon=True)
                typist.start()

                def stands_still():
                    peak = client.stat("VmHWM")
                    time.sleep(0.5)
                    return client.stat("VmHWM") - peak < 1024

                time.sleep(0.5)
                eventually("the client collects nothing that it cannot send", stands_still)
                assert typist.is_alive(), "the client should have stopped reading its input by now"
                assert client.cpu_seconds() < 2, "nor turn in circles"
                got = bytearray()
                while chunk := connection.recv(777 if len(got) < 100000 else 65536):
                    got += chunk
                assert bytes(got) == expected
            typist.join(PATIENCE)
            client.ends(0)


def what_a_server_says_is_dropped():
    """A server has nothing to say. One that talks nevertheless neither disturbs the client nor makes it grow."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE)
        with Client("127.0.0.1", listener.getsockname()[1]) as client:
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(PATIENCE)
                connection.sendall(b"chatter" * 100000)
                client.type(b"hello\n")
                client.end_input()
                got = b""
                while chunk := connection.recv(4096):
                    got += chunk
                assert got == struct.pack("!I", 5) + b"hello"
            client.ends(0)
            assert client.out.bytes == b"" and client.errors() == ""


tell(
    a_message_comes_byte_by_byte,
    nothing_is_printed_before_the_last_byte,
    many_messages_come_in_random_pieces,
    the_client_waits_for_a_slow_server,
    what_a_server_says_is_dropped,
)
