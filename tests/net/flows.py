"""Apps and targets of the scenario's own: sockets that send known bytes and check every byte they get.

    End        one end of a TCP connection: what it sent, what it got, how it ended
    Listener   accepts in a namespace and makes an End of each connection
    Source     endless known bytes: byte N of source S is the same for whoever asks, so a receiver can say
               at which position the first wrong byte came
"""

import errno
import functools
import hashlib
import random
import socket
import struct
import time

from harness import Failure

BLOCK = 65536


@functools.lru_cache(maxsize=512)
def _noise(seed):
    return random.Random(seed).randbytes(BLOCK - 8)


class Source:
    """Bytes that never repeat: each block is its number and then the noise of the seed."""

    def __init__(self, seed):
        self.seed = seed

    def read(self, at, size):
        parts = []
        while size > 0:
            number, offset = divmod(at, BLOCK)
            part = (struct.pack("!Q", number) + _noise(self.seed))[offset:offset + size]
            parts.append(part)
            at += len(part)
            size -= len(part)
        return b"".join(parts)

    def sha256(self, size):
        digest = hashlib.sha256()
        for at in range(0, size, BLOCK):
            digest.update(self.read(at, min(BLOCK, size - at)))
        return digest.hexdigest()


class End:
    """One end of a connection. Give it a source to send from and a source to expect; both are optional."""

    def __init__(self, world, sock, name=""):
        self.world, self.sock, self.name = world, sock, name
        sock.setblocking(False)
        self.sent = self.got = 0
        self.digest = hashlib.sha256()
        self.text = bytearray()     # what came, kept only when nothing is expected of it (and at most 1 MiB)
        self.ends = 0               # how often the end of the stream was told: 0 or 1
        self.trouble = None         # errno by which the connection ended
        self.connected = False
        self._source, self._until, self._then_end = None, 0, False
        self._expected = None
        self._raw = b""
        self._paused = False
        self._closed = False
        self._watch()

    # -- what it shall do

    def send(self, source, size, then_end=False):
        """Sends the first `size` bytes of the source, then perhaps the end of the stream."""
        self._source, self._until, self._then_end = source, size, then_end
        self._watch()
        return self

    def expect(self, source):
        """Everything that comes must be the bytes of this source."""
        self._expected = source
        return self

    def write(self, data):
        """Sends these bytes."""
        self._raw += data
        self._watch()

    def end(self):
        """Half-close: no more from here."""
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError as error:
            if error.errno != errno.ENOTCONN:
                raise
            self._fail(OSError(errno.ECONNRESET, "shutdown"))  # which nobody had read yet

    def pause(self):
        """Stops reading, as a program after Ctrl-S."""
        self._paused = True
        self._watch()

    def resume(self):
        self._paused = False
        self._watch()

    def reset(self):
        """Ends the connection with a TCP reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self):
        if not self._closed:
            self._closed = True
            self.world.unwatch(self.sock)
            self.sock.close()

    # -- what became of it

    @property
    def was_reset(self):
        return self.trouble in (errno.ECONNRESET, errno.EPIPE)

    @property
    def over(self):
        return self._closed or self.trouble is not None or self.ends > 0

    def sent_all(self):
        return self.sent == self._until and not self._raw

    def sha256(self):
        return self.digest.hexdigest()

    def __repr__(self):
        return f"{self.name or 'end'}(sent {self.sent}, got {self.got}, ends {self.ends}, trouble {self.trouble})"

    # -- how

    def _watch(self):
        if self._closed or self.trouble is not None:
            return
        sending = not self.connected or self._raw or self.sent < self._until or self._then_end
        reading = not self._paused and self.ends == 0
        self.world.watch(self.sock, self._readable if reading else None, self._writable if sending else None)

    def _fail(self, error):
        self.trouble = error.errno
        self.world.unwatch(self.sock)

    def _writable(self):
        if not self.connected:
            error = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if error:
                return self._fail(OSError(error, "connect"))
            self.connected = True
        try:
            if self._raw:
                done = self.sock.send(self._raw)
                self._raw = self._raw[done:]
                if not self._source:
                    self.sent += done
                    self._until = self.sent
            for _ in range(8):
                if self._raw or self.sent >= self._until:
                    break
                self.sent += self.sock.send(self._source.read(self.sent, min(4 * BLOCK, self._until - self.sent)))
            if self.sent_all() and self._then_end:
                self._then_end = False
                self.end()
        except BlockingIOError:
            pass
        except OSError as error:
            return self._fail(error)
        self._watch()

    def _readable(self):
        try:
            data = self.sock.recv(1 << 20)
        except BlockingIOError:
            return
        except OSError as error:
            return self._fail(error)
        self.connected = True
        if not data:
            self.ends += 1
            return self._watch()
        self._arrived(data)
        self._watch()

    def _arrived(self, data):
        if self._expected:
            right = self._expected.read(self.got, len(data))
            if data != right:
                wrong = next(i for i in range(len(data)) if data[i] != right[i])
                raise Failure(f"{self!r}: wrong byte at position {self.got + wrong}")
        elif len(self.text) < 1 << 20:
            self.text += data
        self.digest.update(data)
        self.got += len(data)


def dial(world, space, address, port, name="", family=socket.AF_INET, end=End):
    """An End (or what `end` makes of a socket) that connects from inside a namespace."""
    sock = space.socket(family)
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    error = sock.connect_ex((address, port))
    made = end(world, sock, name)
    if error not in (0, errno.EINPROGRESS):
        made.trouble = error
        world.unwatch(sock)
    return made


class Listener:
    """A target: accepts in a namespace. `on_accept( end )` may tell each new end, made by `end`, what to do."""

    def __init__(self, world, space, port, address="127.0.0.1", on_accept=None, end=End):
        self.world, self.on_accept, self.end, self.ends = world, on_accept, end, []
        self.sock = space.socket()
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.sock.bind((address, port))
        self.sock.listen(1024)
        self.sock.setblocking(False)
        world.watch(self.sock, self._accept)

    def _accept(self):
        for _ in range(64):
            try:
                sock, _ = self.sock.accept()
            except BlockingIOError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            end = self.end(self.world, sock, f"target{len(self.ends)}")
            self.ends.append(end)
            if self.on_accept:
                self.on_accept(end)

    def next(self, timeout=20):
        """The next connection that has come since the last call."""
        self._seen = getattr(self, "_seen", 0)
        self.world.until(lambda: len(self.ends) > self._seen, timeout, "a connection to arrive at the target")
        self._seen += 1
        return self.ends[self._seen - 1]

    def close(self):
        self.world.unwatch(self.sock)
        self.sock.close()


def greet(world, app, far, word=b"hello", timeout=20):
    """Some bytes each way: this session works."""
    up, down = len(far.text), len(app.text)
    app.write(word)
    far.write(word)
    world.until(lambda: far.text[up:] == word and app.text[down:] == word, timeout, lambda: f"{word} both ways ({app!r}, {far!r})")


def ask(world, app, far, word, timeout=15):
    """A question, and the same word as its answer; returns how long both took."""
    asked, up, down = time.monotonic(), len(far.text), len(app.text)  # the same word may have been the last one before
    app.write(word)
    world.until(lambda: far.text[up:].endswith(word), timeout, lambda: f"{word} to arrive ({app!r}, {far!r})")
    far.write(word)
    world.until(lambda: app.text[down:].endswith(word), timeout, lambda: f"the answer to {word} ({app!r}, {far!r})")
    return time.monotonic() - asked


def pair(world, net, target, port=5000):
    """A session through the cproxy on that port that works: its two ends."""
    app = dial(world, net.client, "127.0.0.1", port, f"app{port}")
    far = target.next()
    greet(world, app, far)
    return app, far


def urgent(end, data):
    """Sends bytes with the urgent mark (the last one is the urgent byte)."""
    end.world.until(end.sent_all, 10, "earlier bytes to be sent")
    end.sock.send(data, socket.MSG_OOB)
