"""Whom an attacker wants to hurt: real sessions that run all the time, whose every byte and every pause are measured.

    Victim     sproxy, cproxy and two sessions: one carries bulk both ways, in one somebody types and reads the echo
    Flood      strangers in a process of their own, so that their work is not taken for a stall of the victim
    Relay      a machine on the way: passes bytes on, and can do other things with them
"""

import errno
import hashlib
import multiprocessing
import re
import signal
import time
from pathlib import Path

import harness
from flows import End, Listener, Source, dial

PACE = 0.05       # seconds from key to key, and from one piece of the bulk to the next
PIECE = 100_000   # bytes of the bulk, both ways
LINES = 25        # of the log in a second, on average, that a flood may cause: 20 of each thread and what the victim itself causes


class Victim:
    def __init__(self, world, net, *options, through=None):
        self.world, self.net = world, net
        self.target = Listener(world, net.server, 7000)
        self.sproxy = world.sproxy(net.server, *options, "--target", "127.0.0.1:7000", 6000)
        # One link: descriptors and memory are compared exactly, and a second link comes and goes (54-bulk-link).
        self.cproxy = world.cproxy(net.client, "--no-bulk-link", 5000, through or net.server_address, 6000)
        self.app = dial(world, net.client, "127.0.0.1", 5000, "bulk").expect(Source(2))
        self.far = self.target.next(30).expect(Source(1))
        self.keys = dial(world, net.client, "127.0.0.1", 5000, "keys")
        self.echo = self.target.next()
        self.upto, self.resting, self.typed, self.pressed, self.echoed, self.repeated = 0, False, bytearray(), [], 0, 0
        self.ending = self.left = False
        self.worst, self.peak, self.moves, self._next, self._next_look = 0.0, 0, [], 0.0, 0.0
        turn = world.turn

        def turn_and_tick(at_most):
            turn(min(at_most, 0.01))
            if not self.left:
                self._tick(time.monotonic())

        world.turn = turn_and_tick
        world.during_quietly(0.5)
        self.sanitized = "libasan" in Path(f"/proc/{self.sproxy.worker}/maps").read_text()

    def _tick(self, now):
        hurt = [end for end in (self.app, self.far, self.keys, self.echo) if end.over and not self.ending]
        if hurt:
            raise harness.Failure(f"the victim is hurt: {hurt}")
        self.echo.write(bytes(self.echo.text[self.repeated:]))
        self.repeated = len(self.echo.text)
        while self.echoed < len(self.keys.text):
            self.worst = max(self.worst, now - self.pressed[self.echoed])
            self.echoed += 1
        if now >= self._next_look:
            self.peak, self._next_look = max(self.peak, self.memory()), now + 0.1
        if now < self._next or self.resting:
            return
        self._next = now + PACE
        key = bytes([len(self.typed) * 7 % 251])
        self.typed += key
        self.pressed.append(now)
        self.keys.write(key)
        if self._quiet():
            self.upto += PIECE
            self.app.send(Source(1), self.upto)
            self.far.send(Source(2), self.upto)

    def _quiet(self):
        return self.app.got == self.far.got == self.upto

    def __repr__(self):
        return f"the victim ({self.app!r}, {self.far!r}, {len(self.typed)} keys, {self.echoed} echoes)"

    def memory(self):
        """KiB of sproxy's own: neither its program nor its libraries. Nothing in the moment in which its worker was killed."""
        try:
            status = Path(f"/proc/{self.sproxy.worker}/status").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return 0
        return sum(int(size) for size in re.findall(r"Rss(?:Anon|Shmem):\s+(\d+)", status))

    def links(self):
        """The victim's own ends of its links."""
        shown = self.net.client.run("ss", "-Htnp", "dport = :6000").stdout.splitlines()
        return [line.split()[3] for line in shown if line.startswith("ESTAB") and '"cproxy"' in line]

    def goes_on(self, most=15):
        """From now on, until keys and bulk have come through; returns how long that took."""
        began, keys, app, far = time.monotonic(), len(self.typed), self.app.got, self.far.got
        self.world.until(lambda: self.echoed > keys and self.app.got > app + PIECE and self.far.got > far + PIECE, most,
                         lambda: f"{self!r} to go on")
        return time.monotonic() - began

    def move(self, most=40):
        """Its machine gets another address, and its sessions go on."""
        self.net.move(self.net.next_address())
        self.moves.append(self.goes_on(most))
        self.world.say(f"true: the victim moved, and goes on after {self.moves[-1]:.2f} s")

    def baseline(self):
        """From here on is measured. Whatever warms up has done so."""
        self.before = self._weight()
        self.worst, self.peak, self.moves, self.began, self.cpu = 0.0, 0, [], time.monotonic(), self.sproxy.cpu_seconds()
        self.sproxy.mark(), self.cproxy.mark()

    def _rest(self):
        self.resting = True
        self.world.until(lambda: self._quiet() and self.echoed == len(self.typed), 20, f"{self!r} to rest")

    def at_rest(self, work):
        """What takes the scenario so long that it would look like a stall of the victim's."""
        self._rest()
        done = work()
        self.resting = False
        return done

    def _weight(self):
        self._rest()

        def steady():  # somebody may just have left, or a link was suspected and there is another one beside it
            seen = self.sproxy.descriptors()
            self.world.during_quietly(0.5)
            return seen if seen == self.sproxy.descriptors() and len(self.links()) == 1 else None

        weight = self.world.until(steady, 40, lambda: f"sproxy to hold the same for a moment, by one link: {self.links()}"), self.memory()
        self.resting = False
        return weight

    def said(self, pattern):
        """How many lines of sproxy since the baseline."""
        return sum(bool(re.search(pattern, line)) for line in self.sproxy.since())

    def accounted(self, attacks):
        """Each of so many has a line, or was counted in one."""
        self.world.during_quietly(1.1)  # those that were too many in a second are told at the beginning of another
        last = dial(self.world, self.net.router, self.net.server_address, 6000, "last")
        last.write(b"GET / HTTP/1.1\r\n\r\n")
        self.world.until(lambda: last.over, 10, "sproxy to end the last one")
        last.close()

        def told():
            more = sum(int(number) for number in re.findall(r"(\d+) more links that led to nothing", "\n".join(self.sproxy.since())))
            return self.said("(info|warning): link from "), more

        self.world.until(lambda: sum(told()) >= attacks, 10, lambda: f"{attacks} attacks to have a line each: {told()}")
        self.world.say("true: %d attacks: %d lines, and %d that were counted in others" % (attacks, *told()))

    def logged(self, pattern, least=1, most=None):
        """Each kind of attack has left its lines, and not more."""
        self.world.until(lambda: self.said(pattern) >= least, 10, lambda: f"{least} lines with {pattern!r}: {self.sproxy.since()[-30:]}")
        self.world.check(most is None or self.said(pattern) <= most, f"{self.said(pattern)} lines with {pattern!r}")

    def unharmed(self, margin, stall=10):
        """The end of each part: sproxy is as light as it was but for so many KiB, and the victim's bytes are all there."""
        world, sproxy, lasted = self.world, self.sproxy, time.monotonic() - self.began
        cpu = sproxy.cpu_seconds() - self.cpu
        self.goes_on()
        # A stranger's network may have gone in the middle of his word; sproxy gives up a link after 30 s of silence.
        world.until(lambda: sproxy.descriptors() <= self.before[0], 60,
                    lambda: f"sproxy to have its {self.before[0]} descriptors again, not {sproxy.descriptors()}")
        descriptors, memory = self._weight()
        world.same(descriptors, self.before[0], "sproxy has the descriptors that it had")
        sizes = f"{self.before[1]} KiB before, {self.peak} at the most, {memory} after"
        if self.sanitized:
            world.say(f"sproxy runs under AddressSanitizer, its memory says nothing ({sizes})")
        else:
            world.check(memory - self.before[1] < margin, f"sproxy's memory: {sizes}; less than {margin} more")
        # What an admitted client's tunnel does is always told.
        lines = len([line for line in sproxy.since() if not re.search(r": tunnel [0-9a-f]{8}: ", line)])
        world.check(lines < LINES * (1 + harness.MORE_THREADS) * (lasted + 1), f"{lines} lines about strangers in sproxy's log in {lasted:.0f} s")
        self._rest()
        self.ending = True
        for end in (self.app, self.far, self.keys, self.echo):
            end.end()
        world.until(lambda: all(end.over for end in (self.app, self.far, self.keys, self.echo)), 15, f"{self!r} to end")
        self.left = True
        for end in (self.app, self.far, self.keys, self.echo):
            world.check_quietly(end.ends == 1 and end.trouble is None, f"{end!r} has ended orderly")
        world.same((self.far.sha256(), self.app.sha256()), (Source(1).sha256(self.upto), Source(2).sha256(self.upto)),
                   f"{self.upto} bytes each way, every one of them right")
        world.same((self.keys.sha256(), self.echo.sha256()), (hashlib.sha256(self.typed).hexdigest(),) * 2, f"{len(self.typed)} keys and echoes")
        world.check(self.moves, "it moved: " + ", ".join(f"{gap:.2f} s" for gap in self.moves))
        world.check(self.worst < stall, f"its longest stall was {self.worst:.2f} s")
        world.say(f"sproxy had {cpu:.2f} s of processor time in {lasted:.1f} s")


# ---------------------------------------------------------------- many strangers


class Flood:
    """`work( stop, count )` in a process of its own inside a namespace, until `stop` is set; it counts up what it has done."""

    def __init__(self, world, space, work, *arguments):
        self.world, self.space = world, space
        fork = multiprocessing.get_context("fork")
        self._stop, self._count = fork.Event(), fork.Array("q", 8)
        self._process = fork.Process(target=self._run, args=(work, arguments), daemon=True)
        with space.inside():
            self._process.start()
        world.on_close(self.stop)

    def _run(self, work, arguments):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        harness.LIBC.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: not longer than the scenario
        work(self._stop.is_set, self._count, *arguments)

    def __getitem__(self, number):
        return self._count[number]

    def reached(self, number, least, timeout):
        self.world.until(lambda: self[number] >= least or not self._process.is_alive(), timeout,
                         lambda: f"{least} strangers, not {self[number]}")
        self.world.check_quietly(self[number] >= least, f"the strangers go on: {list(self._count)}")

    def stop(self):
        self._stop.set()
        self._process.join(20)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        return self._process.exitcode


# ---------------------------------------------------------------- on the way


class Hop(End):
    """One half of a connection through a relay. Hears all, passes on what `change` makes of it, ends with the other half."""

    def __init__(self, world, sock, name=""):
        self.heard, self.other, self.change = bytearray(), None, None
        super().__init__(world, sock, name)

    def joined(self, other):
        self.other, other.other = other, self
        return self

    def _arrived(self, data):
        at = len(self.heard)
        self.heard += data
        if self.other and not self.other.over:
            self.other.write(self.change(at, data) if self.change else data)

    def _fail(self, error):
        super()._fail(error)
        self._gone()

    def _readable(self):
        if not self._closed:  # by the other half, in this very turn
            super()._readable()
        if self.ends:
            self._gone()

    def _gone(self):
        other = self.other
        if other and self.trouble is None and not other.over:  # what is still on its way to the other half arrives
            other._then_end = True
            return other._watch()
        for end in filter(None, (self, other)):
            end.other = None
            if not end._closed:
                end.reset()

    def cut(self):
        self.trouble = self.trouble or errno.ECONNABORTED
        self._gone()


class Relay:
    """Listens between the two; `honest`, or what `evil( connection )` says, which may be of another kind than Hop."""

    def __init__(self, world, net):
        self.world, self.net, self.address = world, net, "10.9.0.1"
        self.ends, self.evil, self.kind = [], None, Hop
        self._listener = Listener(world, net.router, 6000, self.address, on_accept=self._accepted, end=lambda *words: self.kind(*words))

    def _accepted(self, end):
        self.ends.append(end)
        (self.evil or self.pass_on)(end)

    def pass_on(self, end):
        end.joined(dial(self.world, self.net.router, self.net.server_address, 6000, "onwards", end=Hop))

    def become(self, evil=None, kind=Hop):
        """From now on; whoever is connected must come again."""
        self.evil, self.kind, ends = evil, kind, self.ends
        self.ends = []
        for end in ends:
            if isinstance(end, Hop):
                end.cut()
            else:
                end.reset()
        return self
