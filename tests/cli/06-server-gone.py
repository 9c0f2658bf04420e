#!/usr/bin/python3
"""Goal of this test: a client whose server goes, is not there or does not answer says so in one line, ends promptly even
while it waits at its input, and with a status that is not 0."""

import signal
import socket
import time

from harness import PATIENCE, Client, Server, printed, reset, tell


def the_client_notices_while_it_waits_at_its_input():
    for how in (signal.SIGTERM, signal.SIGKILL):
        for host, name in (("127.0.0.1", "127.0.0.1"), ("::1", "[::1]")):
            with Server() as server, Client(host, server.port) as client:
                client.type(b"hello\n")
                server.prints(printed(b"hello"))
                server.process.send_signal(how)
                started = time.monotonic()
                client.ends(1)
                assert time.monotonic() - started < 5
                assert client.errors() == (
                    f"client: lost the connection to {name}:{server.port}: the server closed the connection\n"
                ), client.errors()


def the_client_notices_a_reset():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE)
        port = listener.getsockname()[1]
        with Client("127.0.0.1", port) as client:
            client.type(b"hello\n")
            connection, _ = listener.accept()
            connection.recv(1)  # so the client is past connecting
            reset(connection)
            client.ends(1)
            assert client.errors() == f"client: lost the connection to 127.0.0.1:{port}: Connection reset by peer\n"


def the_client_notices_while_it_sends():
    with Server() as server, Client("127.0.0.1", server.port) as client:
        client.type(b"first\n")
        server.prints(printed(b"first"))
        server.process.kill()
        try:
            for _ in range(1000):
                client.type(b"and on and on\n" * 1000)
        except BrokenPipeError:
            pass
        client.ends(1)
        assert client.errors().startswith(f"client: lost the connection to 127.0.0.1:{server.port}: ")
        assert client.errors().count("\n") == 1


def nobody_listens():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # ours, but nobody listens
        port = unused.getsockname()[1]
        with Client("127.0.0.1", port) as client:
            client.ends(1)
            assert client.errors() == f"client: cannot connect to 127.0.0.1:{port}: Connection refused\n"


def a_name_that_does_not_exist():
    with Client("no..name", 5000) as client:  # two dots in a row: the resolver knows without asking the network
        client.ends(1)
        line = client.errors()
        assert line.startswith("client: cannot find the address of 'no..name': ") and line.count("\n") == 1, line


def a_server_that_never_closes_is_not_waited_for_forever():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE)
        with Client("127.0.0.1", listener.getsockname()[1]) as client:
            connection, _ = listener.accept()
            with connection:
                client.type(b"hello\n")
                client.end_input()
                client.ends(1)
                assert "within 10 s" in client.errors()


tell(
    the_client_notices_while_it_waits_at_its_input,
    the_client_notices_a_reset,
    the_client_notices_while_it_sends,
    nobody_listens,
    a_name_that_does_not_exist,
    a_server_that_never_closes_is_not_waited_for_forever,
)
