#!/usr/bin/python3
"""Goal of this test: one server serves many clients, one after another and at once, and never mixes their messages."""

import random

from harness import Client, Server, eventually, message, printed, tell


def taken_apart(output):
    """The payloads of what a server printed, read as a person would: a length, then so many bytes."""
    payloads = []
    while output:
        length, rest = output.split(b"\n", 1)
        assert rest[int(length) : int(length) + 1] == b"\n", output[:100]
        payloads.append(rest[: int(length)])
        output = rest[int(length) + 1 :]
    return payloads


def clients_come_one_after_another():
    with Server() as server:
        expected = []
        for i in range(40):
            with Client("127.0.0.1" if i % 2 else "::1", server.port) as client:
                client.type(b"client %d\n" % i)
                client.end_input()
                client.ends(0)
                expected.append(b"client %d" % i)
        server.prints(printed(*expected))


def two_hundred_connections_trickle_at_once():
    """Each sends its own stream in small random pieces, in turn with all others: the order within each one holds."""
    dice = random.Random(4)
    with Server() as server:
        payloads = [[b"%d/%d " % (i, j) * dice.randrange(30) for j in range(10)] for i in range(200)]
        streams = [b"".join(map(message, own)) for own in payloads]
        connections = [server.connect("::1" if i % 3 == 0 else "127.0.0.1") for i in range(200)]
        total = sum(len(printed(*own)) for own in payloads)
        while any(streams):
            for i, connection in enumerate(connections):
                cut = dice.randrange(1, 400)
                connection.sendall(streams[i][:cut])
                streams[i] = streams[i][cut:]
        eventually("all is printed", lambda: len(server.out.bytes) >= total)
        got = taken_apart(server.out.bytes)
        assert sorted(got) == sorted(payload for own in payloads for payload in own)
        for i, own in enumerate(payloads):
            name = b"%d/" % i
            assert [p for p in got if p.startswith(name)] == [p for p in own if p], f"connection {i}"
        for connection in connections:
            connection.close()
        server.still_serves(*got)


def ten_clients_send_much_at_once():
    with Server() as server:
        clients = [Client("127.0.0.1", server.port) for _ in range(10)]
        try:
            for i, client in enumerate(clients):
                client.type(b"".join(b"%d:%d\n" % (i, j) for j in range(5000)))
                client.end_input()
            for client in clients:
                client.ends(0)
            total = sum(len(printed(b"%d:%d" % (i, j))) for i in range(10) for j in range(5000))
            eventually("all is printed", lambda: len(server.out.bytes) >= total)
            got = taken_apart(server.out.bytes)
            for i in range(10):
                assert [p for p in got if p.startswith(b"%d:" % i)] == [b"%d:%d" % (i, j) for j in range(5000)]
        finally:
            for client in clients:
                client.__exit__(None)


def a_silent_client_holds_nobody_up():
    with Server() as server, server.connect():
        server.still_serves()


tell(
    clients_come_one_after_another,
    two_hundred_connections_trickle_at_once,
    ten_clients_send_much_at_once,
    a_silent_client_holds_nobody_up,
)
