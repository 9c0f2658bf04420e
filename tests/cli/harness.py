"""What the scenarios of client and server share: programs with a bounded life, and the wire format seen from outside."""

import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

BIN = os.path.abspath(sys.argv[1]) if len(sys.argv) > 1 else "build/dev/apps"
PATIENCE = 20.0  # for anything that should happen at once; generous, because the machine may be busy
LIMIT = 1024


def message(payload):
    """The wire form of a message, written down a second time on purpose."""
    return struct.pack("!I", len(payload)) + payload


def printed(*payloads):
    """What the server prints for them."""
    return b"".join(b"%d\n%s\n" % (len(payload), payload) for payload in payloads)


def eventually(what, condition, patience=PATIENCE):
    """Waits until condition() holds and returns what it returned; fails by name when it never does."""
    deadline = time.monotonic() + patience
    while True:
        result = condition()
        if result:
            return result
        assert time.monotonic() < deadline, f"did not happen within {patience} s: {what}"
        time.sleep(0.01)


class Collector(threading.Thread):
    """Reads a pipe to its end, so that a program never waits for us."""

    def __init__(self, pipe):
        super().__init__(daemon=True)
        self.pipe, self.bytes = pipe, b""
        self.start()

    def run(self):
        while chunk := os.read(self.pipe.fileno(), 65536):
            self.bytes += chunk


class Program:
    """One of our programs under test. Leaving the `with` ends it, whatever happened."""

    def __init__(self, name, *arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, prefix=()):
        self.process = subprocess.Popen(
            [*prefix, os.path.join(BIN, name), *map(str, arguments)], stdin=stdin, stdout=stdout, stderr=subprocess.PIPE
        )
        self.name = name
        self.out = Collector(self.process.stdout) if stdout == subprocess.PIPE else None
        self.err = Collector(self.process.stderr)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
        self.process.wait(PATIENCE)
        for collector in filter(None, (self.out, self.err)):  # before its pipe is closed, whose number somebody else may get
            collector.join(PATIENCE)
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe and not (pipe is self.process.stdin and pipe.closed):
                try:
                    pipe.close()
                except BrokenPipeError:
                    pass
        if kind:
            print(f"--- {self.name} said on standard error:\n{self.errors()}", file=sys.stderr)
        assert "Sanitizer" not in self.errors() and "runtime error" not in self.errors(), self.errors()

    def type(self, data):
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def end_input(self):
        self.process.stdin.close()

    def errors(self):
        return self.err.bytes.decode(errors="replace")

    def says(self, text):
        """Waits until it said this on standard error, and returns the whole line."""

        def line():
            *lines, _ = self.errors().split("\n")  # what follows the last newline is yet to be written
            return next((line for line in lines if text in line), None)

        return eventually(f"{self.name} says '{text}'; it said: {self.errors()}", line)

    def prints(self, expected):
        """Waits until standard output is exactly this."""
        eventually(
            f"{self.name} prints {expected[:80]!r}; it printed {self.out.bytes[:80]!r} ({len(self.out.bytes)} bytes)",
            lambda: self.out.bytes == expected or len(self.out.bytes) > len(expected),
        )
        assert self.out.bytes == expected, f"printed {self.out.bytes[:200]!r} instead of {expected[:200]!r}"

    def ends(self, status, patience=PATIENCE):
        """Waits until it ended with this status."""
        try:
            ended = self.process.wait(patience)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} did not end within {patience} s") from None
        self.err.join(PATIENCE)
        if self.out:
            self.out.join(PATIENCE)
        assert ended == status, f"{self.name} ended with status {ended} instead of {status}: {self.errors()}"

    def stat(self, field):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as file:
            return int(re.search(rf"^{field}:\s+(\d+)", file.read(), re.M)[1])

    def cpu_seconds(self):
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Server(Program):
    """A server on a port of its own."""

    def __init__(self, **how):
        super().__init__("server", 0, stdin=subprocess.DEVNULL, **how)
        self.port = int(self.says("listening on port").rsplit(" ", 1)[1])

    def connect(self, host="127.0.0.1"):
        return socket.create_connection((host, self.port), PATIENCE)

    def still_serves(self, *before):
        """Another client comes, and is served; `before` is what was printed until now."""
        with self.connect() as connection:
            connection.sendall(message(b"still here"))
            self.prints(printed(*before, b"still here"))


class Client(Program):
    def __init__(self, host, port, **how):
        super().__init__("client", host, port, **how)


def address_of(connection):
    """How the server should name this connection's client."""
    host, port = connection.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


PORTS = iter(10_000 + (os.getpid() * 50 + number) % 22_000 for number in range(1000))  # each process has others


def free_port():
    """For a program that is yet to start. Not one that the kernel chooses by itself (from 32768 on), for a test beside this one."""
    for port in PORTS:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:  # somebody is there
                pass
    raise AssertionError("no port is free")


def reset(connection):
    """Ends a connection with a reset instead of an orderly end."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def tell(*chapters):
    """Runs the chapters of a story, each a function named like what it shows."""
    for chapter in chapters:
        started = time.monotonic()
        print(f"{chapter.__name__.replace('_', ' ')} ...", flush=True)
        chapter()
        print(f"    yes, after {time.monotonic() - started:.2f} s", flush=True)
