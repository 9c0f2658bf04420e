#!/usr/bin/python3
"""Goal of this test: SIGINT and SIGTERM end both programs cleanly, between messages and with the status that --help
promises; a stop and a continuation (which interrupt system calls) change nothing."""

import random
import re
import signal
import threading
import time

from harness import Client, Server, eventually, message, printed, tell


def a_signal_ends_the_server_with_status_0():
    for number in (signal.SIGINT, signal.SIGTERM):
        with Server() as server, server.connect() as connection:
            connection.sendall(message(b"one") + message(b"unfinished")[:5])
            server.prints(printed(b"one"))
            server.process.send_signal(number)
            server.ends(0)
            assert server.out.bytes == printed(b"one")


def a_signal_ends_a_waiting_client_and_the_server_sees_an_orderly_end():
    for number in (signal.SIGINT, signal.SIGTERM):
        with Server() as server, Client("127.0.0.1", server.port) as client:
            client.type(b"one\nhalf a line")
            server.prints(printed(b"one"))
            client.process.send_signal(number)
            client.ends(128 + number)
            assert client.errors() == ""
            server.still_serves(b"one")
            assert "lost" not in server.errors()


def a_signal_while_much_is_under_way_cuts_no_message():
    """The server is stopped, so that the client's socket and buffer fill up; then the client gets its signal. What the
    server sees when it goes on must still end between two messages."""
    with Server() as server, Client("127.0.0.1", server.port) as client:
        client.type(b"first\n")
        server.prints(printed(b"first"))
        server.process.send_signal(signal.SIGSTOP)
        def type_on():
            try:
                for i in range(10000):
                    client.type(b"%d" % i * 200 + b"\n")
            except BrokenPipeError:
                pass

        typist = threading.Thread(target=type_on, daemon=True)
        typist.start()
        time.sleep(1)
        assert typist.is_alive(), "the client should be full by now"
        client.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        assert client.process.poll() is None, "it still has messages to deliver"
        server.process.send_signal(signal.SIGCONT)
        client.ends(128 + signal.SIGTERM)
        typist.join()
        server.process.send_signal(signal.SIGTERM)
        server.ends(0)
        assert "lost" not in server.errors(), server.errors()
        lines = server.out.bytes.split(b"\n")
        count = len(lines) // 2 - 1
        assert count > 100
        expected = [b"first"] + [b"%d" % i * 200 for i in range(count)]
        assert server.out.bytes == printed(*expected)


def a_second_signal_ends_a_client_that_cannot_deliver():
    with Server() as server, Client("127.0.0.1", server.port) as client:
        client.type(b"first\n")
        server.prints(printed(b"first"))
        server.process.send_signal(signal.SIGSTOP)
        client.process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        assert client.process.poll() is None, "it waits for the server to confirm"
        eventually("the client has taken the first one", lambda: not pending(client))  # two that wait are one (signal(7))
        client.process.send_signal(signal.SIGINT)
        client.ends(128 + signal.SIGINT, patience=8)  # without it, it would wait for ten seconds


def stops_and_continuations_change_nothing():
    dice = random.Random(7)
    lines = [b"%d" % i * dice.randrange(1, 150) for i in range(20000)]
    with Server() as server, Client("::1", server.port) as client:
        def type_it_all():
            client.type(b"\n".join(lines) + b"\n")

        typist = threading.Thread(target=type_it_all, daemon=True)
        typist.start()
        for _ in range(40):
            for program in (client, server):
                program.process.send_signal(signal.SIGSTOP)
                time.sleep(dice.random() / 100)
                program.process.send_signal(signal.SIGCONT)
        typist.join()
        client.end_input()
        client.ends(0)
        server.prints(printed(*lines))


def a_long_stop_of_the_client_is_not_held_against_the_server():
    """The deadline for the server's answer passes while the client itself is stopped; the answer is there all the same."""
    with Server() as server, Client("127.0.0.1", server.port) as client:
        client.type(b"hello\n")
        server.prints(printed(b"hello"))
        server.process.send_signal(signal.SIGSTOP)
        client.end_input()
        eventually("the client has sent its end", lambda: half_closed(server.port))
        client.process.send_signal(signal.SIGSTOP)
        server.process.send_signal(signal.SIGCONT)
        time.sleep(11)
        client.process.send_signal(signal.SIGCONT)
        client.ends(0)


def pending(program):
    """Whether signals wait for it."""
    with open(f"/proc/{program.process.pid}/status", encoding="ascii") as file:
        return any(int(mask, 16) for mask in re.findall(r"^(?:SigPnd|ShdPnd):\s+(\S+)", file.read(), re.M))


def half_closed(port):
    """Whether a connection of this server has received the end of its stream (CLOSE_WAIT, 08 in /proc/net/tcp)."""
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with open(table, encoding="ascii") as file:
            for line in file.readlines()[1:]:
                fields = line.split()
                if fields[1].endswith(":%04X" % port) and fields[3] == "08":
                    return True
    return False


tell(
    a_signal_ends_the_server_with_status_0,
    a_signal_ends_a_waiting_client_and_the_server_sees_an_orderly_end,
    a_signal_while_much_is_under_way_cuts_no_message,
    a_second_signal_ends_a_client_that_cannot_deliver,
    stops_and_continuations_change_nothing,
    a_long_stop_of_the_client_is_not_held_against_the_server,
)
