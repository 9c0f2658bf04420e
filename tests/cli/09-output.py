#!/usr/bin/python3
"""Goal of this test: a server whose standard output goes, fails or is slow says so or waits, keeps its memory bounded and
can always be ended."""

import fcntl
import os
import signal
import socket
import subprocess
import sys
import termios
import time

from harness import Client, Program, Server, eventually, message, printed, reset, tell


def a_pipe():
    reading, writing = os.pipe()
    return os.fdopen(reading, "rb", buffering=0), os.fdopen(writing, "wb", buffering=0)


def an_idle_server_notices_that_its_reader_has_gone():
    reading, writing = a_pipe()
    with reading, Server(stdout=writing) as server:
        writing.close()
        reading.close()
        server.ends(1)
        assert server.errors().splitlines()[1:] == ["server: cannot write to standard output: Broken pipe"]


def a_busy_server_notices_it_too():
    reading, writing = a_pipe()
    with reading, Server(stdout=writing) as server, Client("127.0.0.1", server.port) as client:
        writing.close()
        client.type(b"one\n")
        assert reading.read(64) == printed(b"one")
        client.type(b"two\n" * 10000)
        reading.close()
        server.ends(1)
        assert server.errors().splitlines()[1:] == ["server: cannot write to standard output: Broken pipe"]
        client.ends(1)


def a_full_disk_is_named():
    with open("/dev/full", "wb") as full, Server(stdout=full) as server, server.connect() as connection:
        connection.sendall(message(b"one"))
        server.ends(1)
        assert server.errors().splitlines()[1:] == ["server: cannot write to standard output: No space left on device"]


def a_closed_standard_output_is_named():
    command = ["sh", "-c", 'exec "$0" "$@" >&-']
    with Program("server", 0, prefix=command, stdin=subprocess.DEVNULL) as server:
        server.ends(1)
        assert server.errors() == "server: cannot write to standard output: Bad file descriptor\n"


def a_closed_standard_input_of_the_client_is_named():
    command = ["sh", "-c", 'exec "$0" "$@" <&-']
    with Server() as server, Client("127.0.0.1", server.port, prefix=command) as client:
        client.ends(1)
        assert client.errors() == "client: cannot read standard input: Bad file descriptor\n"


def a_closed_standard_error_gets_nobody_elses_bytes():
    """The server's sockets must not become descriptor 2, or its messages would go to a client."""
    command = ["sh", "-c", 'exec "$0" "$@" 2>&-']
    with Server() as server, Client("127.0.0.1", server.port, prefix=command) as client:
        client.type(b"x" * 2000 + b"\nnext\n")
        client.end_input()
        client.ends(3)
        server.prints(printed(b"next"))


def a_slow_reader_holds_the_clients_back():
    """Nobody reads the server's output. It takes what fits, then TCP holds the clients back: no memory, no turning in
    circles, even for a client that is reset meanwhile. When the reader goes on, everything is there."""
    reading, writing = a_pipe()
    with reading, Server(stdout=writing) as server:
        writing.close()
        before = server.stat("VmRSS")
        stream = b"".join(message(b"%d" % i * 100) for i in range(100000))
        with server.connect() as connection, server.connect("::1") as other:
            connection.setblocking(False)
            sent, deadline = 0, time.monotonic() + 2
            while sent < len(stream) and time.monotonic() < deadline:
                try:
                    sent += connection.send(stream[sent : sent + 65536])
                except BlockingIOError:
                    time.sleep(0.02)
            assert sent < len(stream), "the server should have stopped reading"
            grown = server.stat("VmRSS") - before
            assert grown < 4096, f"the server grew by {grown} kB"
            reset(other)
            used = server.cpu_seconds()
            time.sleep(2)
            assert server.cpu_seconds() - used < 0.3, "the server turns in circles"

            whole = 0  # the messages that were sent whole
            while whole < sent:
                length = 4 + int.from_bytes(stream[whole : whole + 4], "big")
                if whole + length > sent:
                    break
                whole += length
            count, at = 0, 0
            while at < whole:
                at += 4 + int.from_bytes(stream[at : at + 4], "big")
                count += 1
            expected = printed(*(b"%d" % i * 100 for i in range(count)))
            got = bytearray()
            while len(got) < len(expected):
                got += reading.read(65536)
            assert bytes(got) == expected
            assert "Connection reset" in server.says("lost the client")


def ended_by(signals):
    """How long a server that cannot print lives on after these signals."""
    reading, writing = a_pipe()
    with reading, Server(stdout=writing) as server, server.connect() as connection:
        writing.close()
        connection.sendall(b"".join(message(b"x" * 1000) for _ in range(200)))
        eventually("the pipe is full", lambda: waiting_in(reading) > 32_000)
        time.sleep(0.2)
        started = time.monotonic()
        for number in signals:
            server.process.send_signal(number)
        server.ends(1)
        assert "bytes of messages not printed" in server.errors()
        return time.monotonic() - started


def waiting_in(pipe):
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)


def a_server_that_cannot_print_can_be_ended():
    assert ended_by([signal.SIGTERM]) > 1.5, "the first signal waits"
    quickest = min(ended_by([signal.SIGTERM, signal.SIGINT]) for _ in range(3))  # on a busy machine one may look as if it waited
    assert quickest < 1.5, "the second signal does not wait"


def a_server_that_is_to_end_prints_what_it_has():
    """It is told to end while its reader pauses; the reader goes on, slowly, and gets everything."""
    reading, writing = a_pipe()
    payloads = [b"%d" % i * 100 for i in range(800)]  # fits in pipe and buffer
    with reading, Server(stdout=writing) as server:
        writing.close()
        with server.connect() as connection:
            connection.sendall(b"".join(map(message, payloads)))
            connection.shutdown(socket.SHUT_WR)
            assert connection.recv(1) == b""  # it has read all and closed
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        got = bytearray()
        while chunk := reading.read(16384):
            got += chunk
            time.sleep(0.05)
        server.ends(0)
        assert bytes(got) == printed(*payloads)


tell(
    an_idle_server_notices_that_its_reader_has_gone,
    a_busy_server_notices_it_too,
    a_full_disk_is_named,
    a_closed_standard_output_is_named,
    a_closed_standard_input_of_the_client_is_named,
    a_closed_standard_error_gets_nobody_elses_bytes,
    a_slow_reader_holds_the_clients_back,
    a_server_that_cannot_print_can_be_ended,
    a_server_that_is_to_end_prints_what_it_has,
)
