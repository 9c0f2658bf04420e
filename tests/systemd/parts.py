"""What the scenario is made of: units, sessions whose every byte is compared, and a target.

Only modules of python3-minimal, which is what the container has.
"""

import os
import re
import select
import signal
import socket
import subprocess
import threading
import time


class Failure(Exception):
    pass


def say(text):
    print(text, flush=True)


def check(right, what):
    if not right:
        raise Failure(f"not true: {what}")
    say(f"true: {what}")


def same(found, wanted, what):
    if found != wanted:
        raise Failure(f"not true: {what}: {found!r}, not {wanted!r}")
    say(f"true: {what}")


def until(done, what, seconds=20):
    """Waits until it is done, and fails after so many seconds; `what` may be a function."""
    limit = time.monotonic() + seconds
    while not done():
        if time.monotonic() > limit:
            raise Failure(f"waited {seconds} s for {what() if callable(what) else what}")
        time.sleep(0.005)


def run(*words, may_fail=False):
    """What the command says. One that fails is a failure, unless that is expected."""
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", timeout=60)
    if done.returncode != 0 and not may_fail:
        raise Failure(f"{' '.join(words)}: status {done.returncode}: {done.stdout}")
    return done.stdout


class Unit:
    """One of our units, with the options that it has now."""

    def __init__(self, kind, options, memories=1):
        self.kind, self.name = kind, f"{kind}@test.service"
        self.ours = memories + 1  # what is always in the store: the memories, one for each thread, and a socket that listens
        self.set(options)

    def set(self, options):
        self.options = options
        with open(f"/etc/holdfast/{self.kind}-test.conf", "w", encoding="utf-8") as file:
            file.write(f"OPTIONS={options}\n")

    def ctl(self, verb, *more, **how):
        return run("systemctl", verb, self.name, *more, **how)

    def show(self, what):
        return self.ctl("show", "--value", "-p", what).strip()

    @property
    def state(self):
        return self.show("ActiveState")

    @property
    def stored(self):
        return int(self.show("NFileDescriptorStore"))

    def keeps(self, sessions, what):
        count = self.ours + sessions
        until(lambda: self.stored == count, lambda: f"{what}: {self.kind} has {self.stored} in the store, not {count}")
        say(f"true: {what}: {count} descriptors of {self.kind} are in the store")

    @property
    def keeper(self):
        return int(self.show("MainPID"))

    @property
    def worker(self):
        """0: there is none at the moment."""
        try:
            with open(f"/proc/{self.keeper}/task/{self.keeper}/children", encoding="ascii") as file:
                return int((file.read().split() or [0])[0])
        except FileNotFoundError:
            return 0

    def kill(self, *processes):
        for number in processes:
            try:
                os.kill(number, signal.SIGKILL)
            except ProcessLookupError:  # a worker follows its keeper
                pass

    def log(self):
        return run("journalctl", "--no-pager", "-o", "cat", "-u", self.name)

    def running(self):
        until(lambda: self.state == "active" and self.worker, f"{self.name} to be active")


class Target:
    """Sends back what comes, on every connection."""

    def __init__(self, port):
        self.listener = socket.create_server(("127.0.0.1", port), backlog=512)
        self.ends = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            connection, _ = self.listener.accept()
            end = Far(connection)
            self.ends.append(end)
            threading.Thread(target=end.echo, daemon=True).start()


class Far:
    """The target's end of a session: how it ended."""

    def __init__(self, connection):
        self.connection, self.over, self.was_reset = connection, False, False

    def echo(self):
        try:
            while data := self.connection.recv(65536):
                self.connection.sendall(data)
        except ConnectionError:
            self.was_reset = True
        self.over = True
        self.connection.close()


class App:
    """A program that says a number every few milliseconds and hears it back: all of them, in order, once."""

    def __init__(self, port, every=0.002):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.readable = select.poll()  # select(2) ends at 1024 descriptors
        self.readable.register(self.socket, select.POLLIN)
        self.every, self.said, self.heard, self.rest = every, 0, 0, b""
        self.heard_at = time.monotonic()
        self.longest = 0.0      # seconds between two answers, the most since calm()
        self.trouble = None
        self.quiet = threading.Event()
        self.thread = threading.Thread(target=self._talk, daemon=True)
        self.thread.start()

    def _talk(self):
        try:
            while not self.quiet.is_set() or self.heard < self.said:
                if not self.quiet.is_set():
                    self.socket.sendall(b"%d\n" % self.said)
                    self.said += 1
                while self.readable.poll(self.every * 1000):
                    self._hear(self.socket.recv(65536))
        except (OSError, ValueError) as error:
            self.trouble = error

    def _hear(self, data):
        if not data:
            raise ConnectionAbortedError("an end in order")
        now = time.monotonic()
        self.longest, self.heard_at = max(self.longest, now - self.heard_at), now
        *lines, self.rest = (self.rest + data).split(b"\n")
        for line in lines:
            if int(line) != self.heard:
                raise ValueError(f"{line!r} came where {self.heard} should")
            self.heard += 1

    @property
    def was_reset(self):
        return isinstance(self.trouble, (ConnectionResetError, BrokenPipeError))

    def calm(self):
        """From here on the pause is measured."""
        heard = self.heard
        until(lambda: self.trouble or self.heard > heard + 20, "answers")
        self.longest = 0.0

    def goes_on(self, story):
        """What was said until now is heard, and more. Returns the longest pause since calm(), in ms."""
        said = self.said
        until(lambda: self.trouble or self.heard > said + 20, lambda: f"the session to go on after {story}")
        if self.trouble:
            raise Failure(f"the session ended at {story}: {self.trouble!r}")
        say(f"true: the session goes on after {story} (a pause of {self.longest * 1000:.0f} ms)")
        return self.longest * 1000

    def leave(self):
        """Hears the rest, and closes."""
        self.quiet.set()
        self.thread.join(20)
        if self.trouble or self.heard != self.said:
            raise Failure(f"{self.said} were said, {self.heard} were heard: {self.trouble!r}")
        self.socket.close()


def refusals():
    """Lines of the journal in which something was denied to our units: by the sandbox, or for want of a file."""
    words = re.compile(r"denied|not permitted|refused|SIGSYS|status=31|not allowed|read-only|cannot (?!store more)", re.I)
    lines = run("journalctl", "-b", "--no-pager", "-o", "cat", "-u", "sproxy@*", "-u", "cproxy@*").splitlines()
    return [line for line in lines if words.search(line)]


def cpu_of_systemd():
    """Seconds that process 1 has used."""
    with open("/proc/1/stat", encoding="ascii") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def median(numbers):
    return sorted(numbers)[len(numbers) // 2]
