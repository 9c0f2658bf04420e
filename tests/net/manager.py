"""A stand-in for systemd: hears a program (sd_notify(3)), keeps the descriptors that it sends, and gives them to the next one.

    Manager        listens at NOTIFY_SOCKET, in the world's loop
    manager.py     is started by it before the program, fetches what is kept and becomes the program: as systemd
                   does it between fork and exec, but from inside of the program's namespace
"""

import array
import fcntl
import os
import resource
import signal
import socket
import sys

FIRST = 3            # where given descriptors begin (sd_listen_fds(3))
AT_ONCE = 250        # descriptors in one message; the kernel takes 253


class Manager:
    """One service: what it said, and what is kept for it, as (name, descriptor)."""

    def __init__(self, world, name):
        self.world, self.said, self.kept = world, [], []
        self.polled = 0    # stored without FDPOLL=0
        self.heard = self._socket(world.folder / f"{name}.notify", socket.SOCK_DGRAM)
        self.door = self._socket(world.folder / f"{name}.give", socket.SOCK_STREAM)
        self.door.listen()
        self.listen(True)
        world.watch(self.door, self._give)
        world.on_close(self.empty)

    def _socket(self, path, kind):
        made = socket.socket(socket.AF_UNIX, kind)
        made.bind(str(path))
        made.setblocking(False)
        return made

    def before(self):
        """What stands before the program, see World.cproxy()."""
        return [sys.executable, __file__, self.door.getsockname(), self.heard.getsockname()]

    def listen(self, does):
        """A busy service manager does not."""
        self.world.watch(self.heard, self._hear if does else None)

    def names(self):
        return [name for name, _ in self.kept]

    def empty(self):
        """As when the unit has ended for good."""
        for _, number in self.kept:
            os.close(number)
        self.kept = []

    def lose_last(self):
        """As when there was no room for it."""
        os.close(self.kept.pop()[1])

    def _hear(self):
        for _ in range(64):
            try:
                text, numbers, flags, _ = socket.recv_fds(self.heard, 4096, AT_ONCE)
            except BlockingIOError:
                return
            assert not flags & socket.MSG_CTRUNC
            lines = text.decode().split("\n")
            told = dict(line.split("=", 1) for line in lines)
            if "FDSTORE" in told:
                self.polled += told.get("FDPOLL") != "0"
                for number in numbers:
                    self._keep(told["FDNAME"], number)
            elif "FDSTOREREMOVE" in told:
                for name, number in self.kept:
                    if name == told["FDNAME"]:
                        os.close(number)
                self.kept = [entry for entry in self.kept if entry[0] != told["FDNAME"]]
            else:
                self.said += lines

    def _keep(self, name, number):
        assert ":" not in name and len(name) < 256
        same = [other for _, other in self.kept if os.path.sameopenfile(other, number)]
        if same:
            os.close(number)
        else:
            self.kept.append((name, number))

    def _give(self):
        starter, _ = self.door.accept()
        with starter:
            starter.sendall(b"%d\n%s\n" % (len(self.kept), ":".join(self.names()).encode()))
            numbers = [number for _, number in self.kept]
            for at in range(0, len(numbers), AT_ONCE):
                socket.send_fds(starter, [b"."], numbers[at:at + AT_ONCE])


def kill_all(proxy):
    """What `systemctl restart` does with RestartKillSignal=SIGKILL: every process of the unit."""
    worker = proxy.worker
    proxy.process.send_signal(signal.SIGKILL)
    try:
        os.kill(worker, signal.SIGKILL)
    except ProcessLookupError:  # the kernel was faster: its keeper had died
        pass
    proxy.kill()


def become(door, heard, command):
    """In the place of systemd's child: LISTEN_PID is us, and so is the program."""
    with socket.socket(socket.AF_UNIX) as source:
        source.connect(door)
        stream = source.makefile("rb", buffering=0)
        count, names = int(stream.readline()), stream.readline().decode().strip()
        numbers = []
        while len(numbers) < count:
            room = socket.CMSG_SPACE(AT_ONCE * 4)
            text, parts, _, _ = source.recvmsg(1, room)
            assert text
            for _, _, data in parts:
                got = array.array("i")
                got.frombytes(data)
                numbers += got
    # First out of the way of where they shall be.
    behind = FIRST + count
    high = [fcntl.fcntl(number, fcntl.F_DUPFD, behind) for number in numbers]
    for place, number in enumerate(high):
        os.dup2(number, FIRST + place, inheritable=True)
    os.closerange(behind, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    os.environ["NOTIFY_SOCKET"] = heard
    if count:
        os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(count), LISTEN_FDNAMES=names)
    os.execvp(command[0], command)


if __name__ == "__main__":
    become(sys.argv[1], sys.argv[2], sys.argv[3:])
