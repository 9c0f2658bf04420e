#!/usr/bin/python3
"""
   client                              [router]            server
   many apps -> cproxy   eth0 ═══════════════════ eth0   sproxy -> their targets

Goal of this test: nothing wears out. Many apps of many manners (talks.py) come and go for minutes, the link is cut
every few seconds in changing ways, and every byte is compared at both ends. When all apps are gone both proxies must
be where they were after the warm-up: the same descriptors exactly, and the same memory but for a stated tolerance.

    soak.py [--minutes 10] [--apps 50] [--seed N] [--crash-every SECONDS] [--out build/soak]

With --crash-every the workers of both proxies are killed as well, by SIGKILL, about so often and by turns: one, the other, both
at once, and now and then one that is still recovering.

Writes soak.log (one line a second and one for each event), soak.svg (the same as a plot) and the proxies' own logs
into the folder. Exit status 0: all of this is true; 1: one line says what is not; 77: namespaces are not permitted.
"""

import argparse
import os
import random
import re
import signal
import sys
import time
from datetime import datetime
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "net"))

import harness  # noqa: E402
from harness import Failure  # noqa: E402
from plot import draw  # noqa: E402
from talks import HEAD, Side, Stream, Talk  # noqa: E402

APP_PORT, LINK_PORT, TARGET_PORT = 5000, 6000, 7000

# What may remain of memory beyond the baseline. The large caches are full at the baseline: the tide of the warm-up
# leaves in both pools of both proxies the 8 MiB of free chunks that keep their pages (hot_max in src/state/arena.cc).
# The rest is the allocator's: its free lists after some thousand sessions, 0.2 MiB at most where it was measured. It
# is small enough to see a leak of 200 bytes in each of 5,500 sessions, which is what ten minutes have.
TOLERANCE_MIB = 1.0
TIDE = 200  # sessions that hold 64 KiB (the first window) at once in each direction: 12.5 MiB
TIDE_BYTES = 600_000  # each way: more than the sockets between app, proxies and target take beside the windows
SMALL = 4096  # a receive buffer that takes next to nothing
SETTLED = 30  # seconds at most until descriptors and memory are back after the last app


class Soak:
    def __init__(self, world, minutes, apps, seed, crash_every, out):
        self.world, self.minutes, self.apps, self.seed, self.out = world, minutes, apps, seed, out
        self.dice = random.Random(seed)
        self.net = harness.Routed(world)
        self.net.world = Quiet(world)
        self.log = open(out / "soak.log", "w", buffering=1)
        world.on_close(self.log.close)
        self.started, self.began = time.monotonic(), datetime.now()
        self.samples, self.cuts, self.phases = [], [], []
        self.crash_every, self.killed = crash_every, 0
        self.talks, self.strangers = {}, []
        self.opened = self.done = self.bytes = self.unheard = 0
        self.manners = {}
        self.next_sample = self.next_step = 0.0
        self.cutter = self.crasher = None
        self.phase = "start"
        self.small_sockets = False
        self._listen()
        self.sproxy = world.sproxy(self.net.server, "--target", f"127.0.0.1:{TARGET_PORT}", str(LINK_PORT))
        self.cproxy = world.cproxy(self.net.client, str(APP_PORT), self.net.server_address, str(LINK_PORT))
        for proxy in (self.cproxy, self.sproxy):
            proxy.quiet = True  # their logs are kept in the folder

    def note(self, text):
        self.log.write(f"{time.monotonic() - self.started:8.2f} {text}\n")

    # -- apps and targets

    def _listen(self):
        self.listener = self.net.server.socket()
        self.listener.setsockopt(harness.socket.SOL_SOCKET, harness.socket.SO_REUSEADDR, 1)
        self.listener.bind(("127.0.0.1", TARGET_PORT))
        self.usual = self.listener.getsockopt(harness.socket.SOL_SOCKET, harness.socket.SO_RCVBUF)
        self.listener.listen(1024)
        self.listener.setblocking(False)
        self.world.watch(self.listener, self._accept)

    def _accept(self):
        for _ in range(64):
            try:
                sock, _ = self.listener.accept()
            except BlockingIOError:
                return
            side = Side(self.world, sock, Stream(0), "a target whose app said nothing yet")
            self.strangers.append(side)

    def _connect(self):
        sock = self.net.client.socket()
        sock.setblocking(False)
        if self.small_sockets:
            sock.setsockopt(harness.socket.SOL_SOCKET, harness.socket.SO_RCVBUF, SMALL)
        sock.connect_ex(("127.0.0.1", APP_PORT))
        return sock

    def open(self, manner=None):
        talk = Talk(self.world, self.dice, self.opened, self._connect, manner)
        self.talks[self.opened] = talk
        self.opened += 1
        self.manners[talk.manner] = self.manners.get(talk.manner, 0) + 1
        return talk

    def step(self, now):
        """Targets learn who calls, talks go on or end."""
        for side in list(self.strangers):
            if len(side.early) >= HEAD.size:
                number, _ = HEAD.unpack(side.early[:HEAD.size])
                if number not in self.talks or self.talks[number].far is not None:
                    raise Failure(f"a target is called by the app {number}, which is over or has a target already")
                self.talks[number].met(side)
                self.strangers.remove(side)
            elif side.heard_end or side.trouble is not None:
                side.close()
                self.strangers.remove(side)
                self.unheard += 1
        for number, talk in list(self.talks.items()):
            talk.tick(now)
            if talk.over(now):
                talk.close()
                self.bytes += talk.bytes
                self.done += 1
                del self.talks[number]

    # -- time goes by

    def turn(self, until):
        """Everything that is to be done now; waits a little for sockets."""
        now = time.monotonic()
        if now >= self.next_step:
            self.step(now)
            if self.cutter:
                self.cutter.tick(now)
            if self.crasher:
                self.crasher.tick(now)
            self.next_step = time.monotonic() + 0.02
        if now >= self.next_sample:
            self.next_sample = max(self.next_sample + 1, now)
            self.sample(now)
        self.world.turn(max(0.0, min(self.next_step, until) - time.monotonic()))

    def until(self, condition, seconds, what):
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() >= deadline:
                raise Failure(f"waited {seconds} s in vain for {what()}")
            self.turn(deadline)

    def sample(self, now):
        row = {"t": round(now - self.started, 1), "sessions": len(self.talks)}
        for name, proxy in (("cproxy", self.cproxy), ("sproxy", self.sproxy)):
            if not proxy.running():
                raise Failure(f"{name} has ended with status {proxy.process.returncode}")
            row[name] = measure(proxy)
        self.samples.append(row)
        text = "  ".join(f"{name}: {row[name]['rss']:6.1f} MiB ({row[name]['shared']:5.1f} shared),"
                         f" {row[name]['descriptors']:3} descriptors" for name in ("cproxy", "sproxy"))
        self.note(f"{text}  sessions: {row['sessions']:3}, {self.done} over, {self.bytes / 1e6:.0f} MB,"
                  f" {len(self.cuts)} cuts" + (f", {self.killed} workers killed" if self.crash_every else ""))
        if sys.stdout.isatty():
            print(f"\r{self.phase}: {row['t']:.0f} s, {self.done} sessions over, {len(self.cuts)} cuts,"
                  f" cproxy {row['cproxy']['rss']:.0f} MiB, sproxy {row['sproxy']['rss']:.0f} MiB ", end="", flush=True)
        return row

    def begin(self, phase):
        now = round(time.monotonic() - self.started, 1)
        if self.phases:
            self.phases[-1][1] = now
        self.phases.append([now, now, phase])
        self.phase = phase
        self.note(f"---- {phase}")

    # -- the story

    def busy(self, seconds):
        """Apps come and go, links are cut."""
        self.cutter = Cutter(self)
        self.crasher = Crasher(self) if self.crash_every else None
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if len(self.talks) < self.apps:
                self.open()
            self.turn(end)
        self.cutter.mend()
        self.cutter = self.crasher = None

    def tide(self):
        """Many sessions whose programs do not read: everything that may be held is held. Then it goes out."""
        self._sockets_take(SMALL, mtu=1500)
        talks = [self.open("bulk") for _ in range(TIDE)]
        for talk in talks:
            talk.up = talk.down = TIDE_BYTES
            talk.pace = 1e9
            talk.app.read_on(False)
        met = lambda: all(talk.far is not None for talk in talks)  # noqa: E731
        self.until(met, 60, lambda: f"{sum(t.far is None for t in talks)} of {TIDE} targets to be called")
        for talk in talks:
            talk.far.read_on(False)
        still = time.monotonic() + 3
        self.until(lambda: time.monotonic() >= still, 10, lambda: "three seconds")
        for talk in talks:
            talk.app.read_on(True), talk.far.read_on(True)
        self._sockets_take(None, mtu=65536)

    def _sockets_take(self, size, mtu):
        """How much the kernel holds of a session whose program does not read: it should be the proxies that hold it.
        A socket's send buffer begins with twice ten segments (tcp_sndbuf_expand), and on the loopback those have
        64 KiB."""
        self.small_sockets = size is not None
        self.listener.setsockopt(harness.socket.SOL_SOCKET, harness.socket.SO_RCVBUF,  # accepted sockets inherit it
                                 size or self.usual // 2)  # the kernel doubles what it is told (socket(7))
        for space in (self.net.client, self.net.server):
            space.ip(f"link set lo mtu {mtu}")

    def drain(self):
        for talk in self.talks.values():
            talk.hurry()
        self.until(lambda: not self.talks and not self.strangers, 120,
                   lambda: f"{len(self.talks)} sessions and {len(self.strangers)} targets to end:"
                           f" {[(talk.app, talk.far) for talk in list(self.talks.values())[:3]]} {self.strangers[:3]}")
        sockets = lambda: (self.net.client.connections(APP_PORT),  # noqa: E731
                           self.net.server.connections(TARGET_PORT))
        self.until(lambda: not any(sockets()), SETTLED, lambda: f"the sockets of apps and targets to go: {sockets()}")
        self._one_link()

    def _one_link(self):
        """What is compared has one link: the second one, for bulk, stays for ten seconds, if it is there and not lost just now."""
        links = lambda: (self.net.client.links(LINK_PORT), self.net.server.links(LINK_PORT))  # noqa: E731
        self.until(lambda: [len(each) for each in links()] == [1, 1], SETTLED, lambda: f"the second link to go: {links()}")

    def settle(self):
        """The state of both proxies when nothing has happened for a while."""
        end = time.monotonic() + 3
        self.until(lambda: time.monotonic() >= end, 10, lambda: "three seconds")
        self._one_link()  # one that is suspected may have another beside it
        return self.sample(time.monotonic())

    def run(self):
        seconds = self.minutes * 60
        self.begin("warm-up")
        self.busy(max(8, min(60, seconds / 8)))
        self.tide()
        self.drain()
        self.begin("idle")
        base = self.settle()
        self.note(f"baseline: {base['cproxy']} {base['sproxy']}")
        opened, cuts = self.opened, len(self.cuts)
        self.begin("soak")
        self.busy(seconds)
        self.begin("the rest")
        self.drain()
        self.begin("idle")
        self.until(lambda: self._same_descriptors(base), SETTLED,
                   lambda: f"descriptors to be as before: {self._descriptors(base)}")
        end = self.settle()
        self.phases[-1][1] = end["t"]
        return base, end, self.opened - opened, len(self.cuts) - cuts

    def _descriptors(self, base):
        return ", ".join(f"{name} had {base[name]['descriptors']}, has {measure(proxy)['descriptors']}"
                         for name, proxy in (("cproxy", self.cproxy), ("sproxy", self.sproxy)))

    def _same_descriptors(self, base):
        return all(measure(proxy)["descriptors"] == base[name]["descriptors"]
                   for name, proxy in (("cproxy", self.cproxy), ("sproxy", self.sproxy)))

    def keep_logs(self):
        for proxy in (self.cproxy, self.sproxy):
            (self.out / f"{proxy.name}.log").write_text(proxy.log())
        if self.samples:
            killed = f", {self.killed} workers killed" if self.killed else ""
            title = (f"Soak: {self.opened} sessions, {self.bytes / 1e9:.1f} GB, {len(self.cuts)} cuts{killed}"
                     f" in {self.samples[-1]['t'] / 60:.1f} minutes (seed {self.seed})")
            draw(self.out / "soak.svg", title, self.samples, [second for second, _ in self.cuts], self.moves(), self.phases)

    def moves(self):
        """When the tunnel moved, by cproxy's log, which begins with the date and the time."""
        when = [datetime.fromisoformat(line[:23]) for line in self.cproxy.lines(r"moved:")]
        return [(moment - self.began).total_seconds() for moment in when]


def measure(proxy):
    """Memory in MiB and descriptors of a proxy's worker. What is resident counts the pages of the memfd that this worker has touched, what
    is kept all of them: those, too, that a worker before it had."""
    while True:
        pid = proxy.worker
        try:
            status, descriptors = Path(f"/proc/{pid}/status").read_text(), [*Path(f"/proc/{pid}/fd").iterdir()]
            kept = sum(path.stat().st_blocks for path in descriptors if os.readlink(path).startswith("/memfd:")) * 512
        except (FileNotFoundError, ProcessLookupError):
            continue  # it was killed just now
        if "VmRSS" in status:
            break
    of = lambda key: int(re.search(rf"^{key}:\s+(\d+) kB", status, re.M)[1]) / 1024  # noqa: E731
    return {"rss": round(of("VmRSS"), 2), "shared": round(of("RssShmem"), 2),
            "kept": round(kept / 2**20, 2), "descriptors": len(descriptors)}


class Quiet:
    """Stands for the world where its stage would talk: a soak has its own log."""

    def __init__(self, world):
        self.world = world

    def say(self, text):
        pass

    def __getattr__(self, name):
        return getattr(self.world, name)


class Cutter:
    """Cuts the link every few seconds, each time in another way, one after the other."""

    def __init__(self, soak):
        self.soak, self.net, self.dice = soak, soak.net, soak.dice
        self.undo = None
        self.next_at = time.monotonic() + self.dice.uniform(1, 3)
        self.ways = [self.move, self.away, self.hole, self.one_way, self.reset, self.kill, self.unplug,
                     self.stop_cproxy, self.stop_sproxy]
        self.order = []

    def tick(self, now):
        if now < self.next_at:
            return
        if self.undo:
            self.mend()
        else:
            if not self.order:  # every way once before any comes again
                self.order = self.dice.sample(self.ways, len(self.ways))
            way = self.order.pop()
            self.soak.cuts.append((round(now - self.soak.started, 1), way.__name__))
            lasts, self.undo = way()
            self.soak.note(f"cut: {way.__name__.replace('_', ' ')}{f', for {lasts:.1f} s' if lasts else ''}")
            self.next_at = time.monotonic() + lasts
        if not self.undo:
            self.next_at = time.monotonic() + self.dice.uniform(0.5, 4)

    def mend(self):
        undo, self.undo = self.undo, None
        if undo:
            undo()
            self.soak.note("mended")

    def move(self):
        self.net.move(self.net.next_address())
        return 0, None

    def away(self):
        self.net.go_away()
        return self.dice.uniform(0.05, 4), lambda: self.net.come_back(self.net.next_address())

    def hole(self):
        self.net.hole()
        return self.dice.uniform(0.2, 4), self.net.open

    def one_way(self):
        port = self.dice.choice(["dport", "sport"])
        self.net.hole(f"tcp {port} {LINK_PORT}")
        return self.dice.uniform(0.2, 4), self.net.open

    def reset(self):
        self.net.reset_everything(self.dice.choice(["tcp dport 6000", "tcp sport 6000", "ip protocol tcp"]))
        return self.dice.uniform(0.2, 1.5), self.net.stop_resetting

    def kill(self):
        """The kernel of one side ends the socket of the link (where it can: CONFIG_INET_DIAG_DESTROY)."""
        if self.dice.random() < 0.5:
            self.net.client.run("ss", "-K", "dport", "=", f":{LINK_PORT}", check=False)
        else:
            self.net.server.run("ss", "-K", "sport", "=", f":{LINK_PORT}", check=False)
        return 0, None

    def unplug(self):
        self.net.client.ip("link set eth0 down")

        def plug_in():
            self.net.client.ip("link set eth0 up")  # its default route went with it
            self.net.client.ip("route replace default via", re.sub(r"\d+$", "1", self.net.address))

        return self.dice.uniform(0.05, 3), plug_in

    def stop_cproxy(self):
        return self._stop(self.soak.cproxy)

    def stop_sproxy(self):
        return self._stop(self.soak.sproxy)

    def _stop(self, proxy):
        proxy.signal(signal.SIGSTOP)
        return self.dice.uniform(0.1, 1.5), lambda: proxy.signal(signal.SIGCONT)


class Crasher:
    """Kills workers, whatever they are doing."""

    def __init__(self, soak):
        self.soak, self.dice = soak, soak.dice
        self.ways = [[soak.cproxy], [soak.sproxy], [soak.cproxy, soak.sproxy]]
        self.again = None  # who is killed once more as soon as there is another worker, in the middle of its recovery
        self._plan(soak.crash_every)

    def _plan(self, seconds):
        self.next_at = time.monotonic() + self.dice.uniform(0.5, 1.5) * seconds

    def tick(self, now):
        if now < self.next_at:
            return
        if self.again:
            self._kill(self.again)
            self.again = None
        else:
            proxies = self.dice.choice(self.ways)
            for proxy in proxies:
                self._kill(proxy)
            if self.dice.random() < 0.2:
                self.again = self.dice.choice(proxies)
        self._plan(self.dice.uniform(0, 0.06) if self.again else self.soak.crash_every)

    def _kill(self, proxy):
        worker = proxy.worker
        if worker == proxy.pid:
            return  # there is none at this moment: it has not been started again
        try:
            os.kill(worker, signal.SIGKILL)
        except ProcessLookupError:
            return  # its keeper has just buried it
        self.soak.killed += 1
        self.soak.note(f"crash: {proxy.name}, worker {worker}")


def arguments():
    parser = argparse.ArgumentParser(description="many apps, a link that is cut all the time")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--apps", type=int, default=50, help="at the same time")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    parser.add_argument("--crash-every", type=float, default=0, help="seconds, about; 0: never")
    parser.add_argument("--out", type=Path, default=harness.REPOSITORY / "build" / "soak")
    return parser.parse_args()


def scenario(world):
    options = arguments()
    out = options.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    world.say(f"seed {options.seed}; {options.minutes:g} minutes with {options.apps} apps; log and plot in {out}")
    soak = Soak(world, options.minutes, options.apps, options.seed, options.crash_every, out)
    try:
        base, end, sessions, cuts = soak.run()
    except Failure as reason:
        soak.note(f"FAILED: {reason}")
        raise Failure(f"{reason} (seed {options.seed}, log in {out})") from None
    finally:
        if sys.stdout.isatty():
            print()
        soak.keep_logs()
    summary = (f"{sessions} sessions and {cuts} cuts after the warm-up; in all {soak.opened} sessions with"
               f" {soak.bytes / 1e6:.0f} MB, {len(soak.cuts)} cuts, {len(soak.moves())} moves,"
               f" {soak.killed} workers killed;"
               f" {', '.join(f'{count} {manner}' for manner, count in sorted(soak.manners.items()))}")
    soak.note(summary)
    world.say(summary)
    for name in ("cproxy", "sproxy"):
        grown = max(end[name][what] - base[name][what] for what in ("rss", "kept"))
        text = f"{name}: " + ", ".join(f"{at[name]['rss']:.1f} MiB ({at[name]['kept']:.1f} in its memfd) and {at[name]['descriptors']} descriptors {when}"
                                       for at, when in ((base, "before"), (end, "after")))
        soak.note(text)
        if end[name]["descriptors"] != base[name]["descriptors"] or grown > TOLERANCE_MIB:
            raise Failure(f"{text}; at most {TOLERANCE_MIB} MiB more is allowed (seed {options.seed}, log in {out})")
        world.say(f"true: {text}")


if __name__ == "__main__":
    harness.main(scenario)
