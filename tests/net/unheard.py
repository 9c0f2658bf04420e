"""Standard errors of proxies that nobody takes anything from: each has its own way to keep a writer waiting, or to refuse."""

import fcntl
import os
import pty
import socket
import sys
import termios

import harness


class Unheard:
    """A standard error that nobody takes anything from. `before` is what stands before a proxy that has it."""

    def __init__(self, world, name):
        self.path = world.folder / f"{name}.stderr"
        self.heard = ""
        self.before = ["sh", "-c", f'exec "$@" 2>>{self.path}', "sh"]

    def read(self):
        """Makes room, for once, and returns all that came so far; None where nothing ever arrives."""
        return None


class FullDisk(Unheard):
    story = "a full disk"

    def __init__(self, world, name):
        super().__init__(world, name)
        folder = world.folder / f"{name}.disk"
        folder.mkdir()
        harness.run("mount", "-t", "tmpfs", "-o", "size=16k", "none", folder)
        world.on_close(lambda: harness.run("umount", "-l", folder, check=False))
        (folder / "other").write_bytes(bytes(10_000))
        super().__init__(world, f"{name}.disk/log")

    def read(self):
        self.path.with_name("other").unlink(missing_ok=True)
        return self.path.read_text()


class UnreadPipe(Unheard):
    story = "a pipe that nobody reads"

    def __init__(self, world, name):
        super().__init__(world, name)
        os.mkfifo(self.path)
        self.end = os.open(self.path, os.O_RDWR | os.O_NONBLOCK)
        fcntl.fcntl(self.end, fcntl.F_SETPIPE_SZ, 4096)

    def read(self):
        try:
            self.heard += os.read(self.end, 65536).decode()
        except BlockingIOError:
            pass
        return self.heard


class UnreadSocket(UnreadPipe):
    story = "a socket that nobody reads, as journald's"

    def __init__(self, world, name):
        Unheard.__init__(self, world, name)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(self.path))
        listener.listen()
        code = ("import os, socket as s, sys\na = s.socket(s.AF_UNIX)\na.setsockopt(s.SOL_SOCKET, s.SO_SNDBUF, 4096)\n"
                "a.connect(sys.argv[1])\nos.dup2(a.fileno(), 2)\nos.execv(sys.argv[2], sys.argv[2:])")
        self.before = [sys.executable, "-c", code, self.path]
        self.listener = listener
        self.end = None

    def read(self):
        if self.end is None:
            accepted, _ = self.listener.accept()
            accepted.setblocking(False)
            self.end = accepted.detach()
        return super().read()


class StoppedTerminal(UnreadPipe):
    story = "a terminal on which somebody has pressed Ctrl-S"

    def __init__(self, world, name):
        Unheard.__init__(self, world, name)
        self.end, self.slave = pty.openpty()
        os.set_blocking(self.end, False)
        self.before = ["sh", "-c", f'exec "$@" 2>{os.ttyname(self.slave)}', "sh"]
        termios.tcflow(self.slave, termios.TCOOFF)

    def read(self):
        termios.tcflow(self.slave, termios.TCOON)
        return super().read()


class UnreadTerminal(StoppedTerminal):
    story = "a terminal that nobody reads"

    def __init__(self, world, name):
        super().__init__(world, name)
        termios.tcflow(self.slave, termios.TCOON)
        os.set_blocking(self.slave, False)
        try:
            while True:  # to the last byte that it takes, and then a little less
                os.write(self.slave, b"x")
        except BlockingIOError:
            pass


class Closed(Unheard):
    story = "a standard error that is closed"

    def __init__(self, world, name):
        super().__init__(world, name)
        self.before = ["sh", "-c", 'exec "$@" 2>&-', "sh"]


UNHEARD = (FullDisk, UnreadPipe, UnreadSocket, StoppedTerminal, UnreadTerminal, Closed)
