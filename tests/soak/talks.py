"""Apps and targets that talk through the proxies, each in its own manner, and check every byte they get.

    Stream   what one end says: a head that names the session, then known noise. Byte N is the same for whoever asks.
    Side     one end of one connection: sends its stream as far as it is allowed to, compares what comes
    Talk     one session: two sides and a manner; says when it is over, or that it went wrong
"""

import errno
import socket
import struct
import time

from flows import Source
from harness import Failure

HEAD = struct.Struct("!QQ")  # number of the session, seed of the app's noise
BITE = 1 << 18  # bytes read or written at once


class Stream:
    def __init__(self, seed, head=b""):
        self.head, self.source = head, Source(seed)

    def read(self, at, size):
        if at >= len(self.head):
            return self.source.read(at - len(self.head), size)
        part = self.head[at:at + size]
        return part + self.source.read(0, size - len(part))


class Side:
    def __init__(self, world, sock, saying, name):
        self.world, self.sock, self.name = world, sock, name
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.saying, self.hearing = saying, None  # Streams
        self.sent = self.got = 0
        self.allowed = 0        # so much may be sent by now
        self.ends_at = None     # the stream ends when so much is sent
        self.said_end = self.heard_end = False
        self.trouble = None     # errno by which the connection ended
        self.reads = True
        self.bite = BITE
        self.early = b""        # what came before it was known who calls
        self.closed = False
        self._watched = None
        self.connected = False
        self.watch()

    def __repr__(self):
        due = "" if self.ends_at is None else f" of {self.ends_at}"
        return (f"{self.name}(sent {self.sent}{due}, got {self.got}"
                f"{', heard the end' if self.heard_end else ''}{f', errno {self.trouble}' if self.trouble else ''})")

    def allow(self, upto):
        if upto > self.allowed:
            self.allowed = upto
            self.watch()

    def end_at(self, position):
        self.ends_at = position
        self.watch()

    def read_on(self, reads):
        self.reads = reads
        self.watch()

    def hear(self, stream):
        """From now on it is known what must come; what came already is compared too."""
        self.hearing = stream
        early, self.early, self.got = self.early, b"", 0
        self._compare(early)

    def due(self):
        """How many bytes may be sent now."""
        limit = self.allowed if self.ends_at is None else min(self.allowed, self.ends_at)
        return max(0, limit - self.sent)

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self):
        if not self.closed:
            self.closed = True
            self.world.unwatch(self.sock)
            self.sock.close()

    @property
    def was_reset(self):
        return self.trouble in (errno.ECONNRESET, errno.EPIPE)

    # -- how

    def watch(self):
        if self.closed or self.trouble is not None:
            return
        ending = self.ends_at is not None and self.sent >= self.ends_at and not self.said_end
        writes = not self.connected or self.due() > 0 or ending
        wanted = (self.reads and not self.heard_end, writes)
        if wanted != self._watched:
            self._watched = wanted
            self.world.watch(self.sock, self._readable if wanted[0] else None, self._writable if wanted[1] else None)

    def _failed(self, error):
        self.trouble = error.errno
        self.world.unwatch(self.sock)

    def _writable(self):
        if not self.connected:
            error = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if error:
                return self._failed(OSError(error, "connect"))
            self.connected = True
        try:
            if due := self.due():
                self.sent += self.sock.send(self.saying.read(self.sent, min(due, BITE)))
            if self.ends_at is not None and self.sent >= self.ends_at and not self.said_end:
                self.said_end = True
                self.sock.shutdown(socket.SHUT_WR)
        except BlockingIOError:
            pass
        except OSError as error:
            return self._failed(error)
        self.watch()

    def _readable(self):
        try:
            data = self.sock.recv(self.bite)
        except BlockingIOError:
            return
        except OSError as error:
            return self._failed(error)
        self.connected = True
        if data:
            self._compare(data)
        else:
            self.heard_end = True
        self.watch()

    def _compare(self, data):
        if self.hearing is None:
            self.early += data
            self.got += len(data)
            if self.got > 4 * BITE:
                raise Failure(f"{self!r} gets more and more, and nobody said who it is")
            return
        right = self.hearing.read(self.got, len(data))
        if data != right:
            wrong = next(i for i in range(len(data)) if data[i] != right[i])
            raise Failure(f"{self!r}: wrong byte at position {self.got + wrong}")
        self.got += len(data)


# How a session goes, and how often it does.
MANNERS = {
    "bulk": 3,           # both send much
    "dialogue": 5,       # question, answer, a thought, the next question
    "idle": 2,           # the same with long thoughts
    "half-close": 3,     # the target answers only when the app's stream has ended, or the other way round
    "slow reader": 2,    # one side reads in small bites with pauses
    "app resets": 2,     # in the middle
    "target resets": 2,
    "vanishes": 1,       # the app is gone before it said anything
}
PATIENCE = 90  # seconds without a byte or an end; the longest outage and the longest thought are far shorter


class Talk:
    def __init__(self, world, dice, number, connect, manner=None):
        self.dice, self.number = dice, number
        self.manner = manner or dice.choices([*MANNERS], [*MANNERS.values()])[0]
        seed = dice.getrandbits(60)
        self.head = HEAD.pack(number, seed)
        self.app_says, self.far_says = Stream(seed, self.head), Stream(seed + 1)
        self.far = None
        self.pace = dice.choice([0.3e6, 1e6, 4e6])  # bytes per second each way, at most
        self.born = self.last_tick = self.heard_of = time.monotonic()
        self.seen = None
        self._plan()
        self.app = Side(world, connect(), self.app_says, f"app {number} ({self.manner})")
        if self.manner == "vanishes":
            return
        self.app.hear(self.far_says)
        # Some say much before they know whether anybody is there.
        eager = self.manner not in ("dialogue", "idle") and dice.random() < 0.5
        self.app.allow(len(self.head) + (min(self.up, 100_000) if eager else 0))
        if self.manner == "slow reader":
            self.app.bite = 20_000

    def _plan(self):
        """How many bytes each side is to say in all."""
        dice = self.dice
        size = lambda most: int(most ** dice.random())  # noqa: E731  small ones are as frequent as large ones
        self.up, self.down = size(6e6), size(6e6)
        self.thought, self.next_at = 0, 0.0
        if self.manner in ("dialogue", "idle"):
            many = dice.randint(5, 60) if self.manner == "dialogue" else dice.randint(2, 4)
            self.questions = [dice.randint(1, 2000) for _ in range(many)]
            self.answers = [size(40_000) for _ in range(many)]
            self.thought = 0.3 if self.manner == "dialogue" else 12
            self.asked = 0
            self.up, self.down = sum(self.questions), sum(self.answers)
        elif self.manner == "slow reader":
            self.down = dice.randint(500_000, 3_000_000)
        elif self.manner in ("app resets", "target resets"):
            self.up, self.down = dice.randint(1000, 4_000_000), dice.randint(1000, 4_000_000)
            self.resets_after = dice.uniform(0, 4)
        self.app_first = dice.random() < 0.5

    def met(self, far):
        """Its target has said who called."""
        self.far = far
        far.name = f"target {self.number} ({self.manner})"
        far.saying = self.far_says
        far.hear(self.app_says)
        self.met_at = time.monotonic()
        if self.manner == "slow reader":
            far.bite = 20_000

    def hurry(self):
        """No more thoughts: it shall come to its end."""
        self.thought, self.next_at = 0, 0.0

    # -- a step

    def tick(self, now):
        elapsed, self.last_tick = now - self.last_tick, now
        if self.manner == "vanishes":
            self.app.reset() if self.number % 2 else self.app.close()
            return
        if self.far is None:
            return
        getattr(self, "_" + self.manner.replace(" ", "_").replace("-", "_"))(now, elapsed)

    def _send_on(self, side, elapsed, total):
        """A side that has `total` bytes to say says some more of them, and then ends."""
        if side.ends_at is None:
            side.end_at(total)
        side.allow(min(total, max(side.allowed, side.sent) + int(self.pace * elapsed) + 1))

    @property
    def up_whole(self):
        return len(self.head) + self.up

    def _bulk(self, _, elapsed):
        self._send_on(self.app, elapsed, self.up_whole)
        self._send_on(self.far, elapsed, self.down)

    def _half_close(self, _, elapsed):
        first, second = (self.app, self.far) if self.app_first else (self.far, self.app)
        totals = {self.app: self.up_whole, self.far: self.down}
        self._send_on(first, elapsed, totals[first])
        if second.heard_end:
            self._send_on(second, elapsed, totals[second])

    def _slow_reader(self, now, elapsed):
        slow = self.app if self.app_first else self.far
        slow.read_on(int(now * 8 + self.number) % 3 != 0 or self.far.got < len(self.head))
        self._bulk(now, elapsed)

    def _dialogue(self, now, _):
        asked, answered = sum(self.questions[:self.asked]), sum(self.answers[:self.asked])
        if self.far.got >= len(self.head) + asked:
            self.far.allow(answered)
        if self.app.got < answered or self.far.sent < answered:
            return
        if self.asked == len(self.questions):
            self.app.end_at(self.up_whole)
            self.app.allow(self.up_whole)
            self.far.end_at(self.down)
        elif now >= self.next_at:
            self.asked += 1
            self.app.allow(len(self.head) + sum(self.questions[:self.asked]))
            self.next_at = now + self.dice.uniform(0, self.thought)

    _idle = _dialogue

    def _app_resets(self, now, elapsed):
        self._until_reset(self.app, now, elapsed)

    def _target_resets(self, now, elapsed):
        self._until_reset(self.far, now, elapsed)

    def _until_reset(self, who, now, elapsed):
        if who.closed:
            return
        if now - self.met_at >= self.resets_after:
            who.reset()
            return
        # It goes on for as long as it takes: who ends first would end in order.
        self.app.allow(self.app.allowed + int(self.pace * elapsed))
        self.far.allow(self.far.allowed + int(self.pace * elapsed))

    # -- how it ends

    def over(self, now):
        """Whether it has ended as it should. Raises Failure when it ended otherwise, or does not go on."""
        if self.manner == "vanishes":
            return self.app.closed
        seen = [(side.sent, side.got, side.heard_end, side.closed) if side else None for side in (self.app, self.far)]
        if seen != self.seen:
            self.seen, self.heard_of = seen, now
        elif now - self.heard_of > PATIENCE:
            raise Failure(f"session {self.number} has stood still for {PATIENCE} s: {self.app!r}, {self.far!r}")
        if self.manner in ("app resets", "target resets"):
            return self._over_by_reset()
        for side in (self.app, self.far):
            if side and side.trouble is not None:
                raise Failure(f"session {self.number} was to end in order: {self.app!r}, {self.far!r}")
        if not (self.far and self.app.heard_end and self.far.heard_end):
            return False
        if not (self.app.said_end and self.far.said_end) \
                or (self.app.got, self.far.got) != (self.down, self.up_whole):
            raise Failure(f"session {self.number} ended early: {self.down} and {self.up_whole} bytes were due:"
                          f" {self.app!r}, {self.far!r}")
        return True

    def _over_by_reset(self):
        who, other = (self.app, self.far) if self.manner == "app resets" else (self.far, self.app)
        if other is None or who is None:
            if self.app.trouble is not None or self.app.heard_end:
                raise Failure(f"session {self.number} ended before it met its target: {self.app!r}")
            return False
        if not who.closed and (who.trouble is not None or who.heard_end):
            raise Failure(f"session {self.number} ended before it was reset: {self.app!r}, {self.far!r}")
        if other.heard_end:
            raise Failure(f"session {self.number} was reset, but the other side saw an orderly end: {other!r}")
        return other.was_reset

    def close(self):
        for side in (self.app, self.far):
            if side:
                side.close()

    @property
    def bytes(self):
        return self.app.got + (self.far.got if self.far else 0)
