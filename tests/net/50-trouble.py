#!/usr/bin/python3
"""
   client                              [router]            server
   apps -> cproxy      eth0 ═══════════════════════ eth0   sproxy -> targets
           keeper                                          keeper
             worker (in trouble)                             worker (in trouble)

Goal of this test: what goes wrong beside a crash, or on top of it, costs a pause and no session. In each part one session carries bulk
both ways, every byte of it is compared, and in another one words are said.

    upgrade      workers are killed before, during and after an upgrade, and SIGUSR2 comes many times in a row
    both         both sides are killed at once and again, at any moment of their recovery and of the resume
    paused [N]   keeper, worker and both stand still (SIGSTOP) for 5 s, or N: a debugger, a suspended container
    memory       the kernel kills workers because their control group has no memory left
    budget       our own budget (--memory) is full while workers are killed
    descriptors cproxy | sproxy    there are none left, and the worker is killed
    logs         nobody takes the log: a full disk, a pipe, a socket and a terminal that nobody reads, and nothing at all

    50-trouble.py PART
"""

import os
import random
import signal
import sys
from pathlib import Path

import harness
from flows import Listener, Source, dial, greet, pair
from unheard import UNHEARD

part, more = (sys.argv + ["both"])[1], sys.argv[2:]
PIECE = 8_000_000  # bytes each way of one step


class Load:
    """Two sessions through a cproxy: bulk both ways, by pieces, and words."""

    def __init__(self, world, net, target, port=5000):
        self.world, self.due = world, 0
        self.up, self.down = Source(1), Source(2)
        self.app = dial(world, net.client, "127.0.0.1", port, "bulk").expect(self.down)
        self.far = target.next().expect(self.up)
        self.talk = pair(world, net, target, port)

    def begin(self, size=PIECE):
        """A piece each way is under way."""
        begun = self.due + size // 4
        self.due += size
        self.app.send(self.up, self.due)
        self.far.send(self.down, self.due)
        self.world.until(lambda: self.app.got > begun and self.far.got > begun, 60, lambda: f"bulk to begin ({self.app!r}, {self.far!r})")

    def goes_on(self, story, timeout=60):
        self.world.until(lambda: self.app.got == self.far.got == self.due, timeout,
                         lambda: f"bulk to arrive after {story} ({self.app!r}, {self.far!r}, {self.due} due)")
        greet(self.world, *self.talk, b"on", timeout)
        self.world.say(f"true: both sessions go on after {story}")

    def leave(self):
        self.app.send(self.up, self.due, then_end=True)
        self.far.send(self.down, self.due, then_end=True)
        self.world.until(lambda: self.app.ends and self.far.ends, 30, lambda: f"both streams to end ({self.app!r}, {self.far!r})")
        self.world.same((self.far.sha256(), self.app.sha256()), (self.up.sha256(self.due), self.down.sha256(self.due)),
                        f"{self.due} bytes arrived whole, both ways")


def stage(world, before_cproxy=(), before_sproxy=()):
    """The usual chain, and its load."""
    net = harness.Routed(world)
    target = Listener(world, net.server, 7000)
    sproxy = world.sproxy(net.server, "--target", "127.0.0.1:7000", 6000, before=before_sproxy)
    cproxy = world.cproxy(net.client, 5000, net.server_address, 6000, before=before_cproxy)
    return net, target, cproxy, sproxy, Load(world, net, target)


def kill(proxy):
    """Its worker, if it has one just now."""
    worker = proxy.worker
    if worker != proxy.pid:
        try:
            os.kill(worker, signal.SIGKILL)
        except ProcessLookupError:
            pass  # its keeper has just buried it


def there_is_another(world, proxy, worker):
    world.until(lambda: proxy.worker not in (worker, proxy.pid), 30, f"another worker of {proxy.name}")


# ---------------------------------------------------------------- upgrades


def upgrade(world):
    armed = {name: world.folder / f"{name}.fault" for name in ("cproxy", "sproxy")}
    places = {"cproxy": "mended:1", "sproxy": "taken_over:1"}
    before = {name: ["env", f"HOLDFAST_FAULT={places[name]}", f"HOLDFAST_FAULT_ONCE={armed[name]}"] for name in armed}
    _, _, cproxy, sproxy, load = stage(world, before["cproxy"], before["sproxy"])
    dice = random.Random(1)
    library = Path(harness.holdfast("cproxy")).resolve().parent / "libholdfast-cproxy.so"
    if b"HOLDFAST_FAULT" in library.read_bytes():
        for proxy in (cproxy, sproxy):
            load.begin()
            armed[proxy.name].touch()
            proxy.signal(signal.SIGUSR2)
            world.until(lambda: not armed[proxy.name].exists(), 30, f"{proxy.name}'s next program to die at {places[proxy.name]}")
            load.goes_on(f"an upgrade of {proxy.name} to a program that dies in its recovery ({places[proxy.name]})")
    else:
        world.say("this build has no fault points: nobody dies at them (HOLDFAST_FAULTS)")
    for proxy in (cproxy, sproxy):
        for _ in range(4):
            load.begin()
            proxy.signal(signal.SIGUSR2)
            world.during_quietly(dice.uniform(0, 0.04))
            kill(proxy)  # while the next program is asked, or has the worker's place already
            world.during_quietly(dice.uniform(0, 0.04))
            kill(proxy)
            load.goes_on(f"an upgrade of {proxy.name} in which its workers were killed")
        load.begin()
        for _ in range(30):
            proxy.signal(signal.SIGUSR2)
            world.during_quietly(dice.uniform(0, 0.02))
        load.goes_on(f"30 upgrades of {proxy.name} asked for in a row")
        load.begin()
        for _ in range(10):
            cproxy.signal(signal.SIGUSR2)
            sproxy.signal(signal.SIGUSR2)
            world.during_quietly(dice.uniform(0, 0.1))
            kill(dice.choice((cproxy, sproxy)))
        load.goes_on("upgrades of both, with workers killed")
        world.check("upgrade: " in proxy.log(), f"{proxy.name} was upgraded {len(proxy.lines('upgrade: .* takes over'))} times")
    load.leave()


# ---------------------------------------------------------------- both sides


def both(world):
    net, _, cproxy, sproxy, load = stage(world)
    dice = random.Random(2)
    for number in range(6):
        load.begin()
        for proxy in (cproxy, sproxy):
            kill(proxy)
        for _ in range(4):  # a recovery takes some 20 ms, and the resume after it as long
            world.during_quietly(dice.uniform(0, 0.06))
            kill(dice.choice((cproxy, sproxy)))
        if number % 2:
            net.move(net.next_address())
            world.during_quietly(dice.uniform(0, 0.05))
            for proxy in (sproxy, cproxy):
                kill(proxy)
        load.goes_on("the death of both, and of those that recovered" + (", and a move" if number % 2 else ""))
    load.leave()


# ---------------------------------------------------------------- standing still


def paused(world):
    seconds = float(more[0]) if more else 5
    _, _, cproxy, sproxy, load = stage(world)
    keepers, workers = [cproxy.pid, sproxy.pid], [cproxy.worker, sproxy.worker]
    if not more:
        load.begin()
        stand_still(world, workers, seconds, "both workers stand still")
        load.goes_on("a pause of both workers")

        load.begin()
        for keeper in keepers:
            os.kill(keeper, signal.SIGSTOP)
        load.goes_on("nothing: keepers that stand still are not missed")
        load.begin()
        for proxy in (cproxy, sproxy):
            kill(proxy)
        stand_still(world, keepers, seconds, "both keepers stand still, and their workers are dead")
        load.goes_on("a pause without any worker")
        workers = [cproxy.worker, sproxy.worker]
    load.begin()
    stand_still(world, keepers + workers, seconds, "all stand still")
    load.goes_on("a pause of everything")
    load.leave()


def stand_still(world, processes, seconds, story):
    for process in processes:
        os.kill(process, signal.SIGSTOP)
    world.during(seconds, story)
    for process in processes:
        os.kill(process, signal.SIGCONT)


# ---------------------------------------------------------------- memory


def memory(world):
    """Each proxy in a control group of its own, of which the bound is let down to what it has, while it needs more."""
    groups = {name: Group(world, name) for name in ("cproxy", "sproxy")}
    _, _, cproxy, sproxy, load = stage(world, groups["cproxy"].before, groups["sproxy"].before)
    for proxy in (cproxy, sproxy) * 3:
        group = groups[proxy.name]
        load.begin()
        killed = group.kills()
        world.until(lambda: group.squeeze() or group.kills() > killed, 60, f"the kernel to kill {proxy.name}'s worker")
        group.give_back()
        load.goes_on(f"the death of {proxy.name}'s worker for want of memory")
    for proxy in (cproxy, sproxy):
        world.check(proxy.running(), f"{groups[proxy.name].kills()} workers of {proxy.name} were killed by the kernel, and its keeper is there")
    load.leave()


class Group:
    """A control group with a bound of memory. `before` is what stands before a program that is to be in it."""

    def __init__(self, world, name):
        self.folder = self.root() / f"holdfast-{os.getpid()}-{name}"
        self.folder.mkdir(exist_ok=True)  # somebody of our number may have been killed
        self.give_back()
        world.on_close(self.folder.rmdir)
        (self.folder / "memory.oom.group").write_text("0")  # the largest process is killed, and not all
        seen_from_there = f"/proc/{os.getpid()}/root{self.folder}"  # `ip netns exec` has another /sys
        self.before = ["sh", "-c", f'echo $$ >{seen_from_there}/cgroup.procs && exec "$@"', "sh"]

    def squeeze(self):
        """No more than there is in use. To less the kernel would come by one death after the other, in the end the keeper's."""
        (self.folder / "memory.max").write_text((self.folder / "memory.current").read_text())

    def give_back(self):
        (self.folder / "memory.max").write_text("max")

    def kills(self):
        return int(dict(line.split() for line in (self.folder / "memory.events").read_text().splitlines())["oom_kill"])

    @staticmethod
    def root():
        """Where groups with a bound of memory can be made. Nothing is changed that is there: where there is no such place, we skip."""
        mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
        for place in (Path(mount[1]) for mount in mounts if mount[2] == "cgroup2"):
            if os.access(place, os.W_OK) and "memory" in (place / "cgroup.subtree_control").read_text().split():
                return place
        raise harness.Skip("no control groups (v2) with a bound of memory here: the kernel's memory controller is off, or in use by version 1")


def budget(world):
    net = harness.Routed(world)
    for space in (net.client, net.server):
        for which in ("tcp_rmem", "tcp_wmem"):  # small kernel buffers, so that it is the proxies that must hold back
            space.run("sysctl", "-qw", f"net.ipv4.{which}=4096 16384 65536")
    target = Listener(world, net.server, 7000)
    sproxy = world.sproxy(net.server, "--memory", "4MiB", "--target", "127.0.0.1:7000", 6000)
    cproxy = world.cproxy(net.client, "--memory", "4MiB", 5000, net.server_address, 6000)
    apps, fars, size = [], [], 1_000_000
    for number in range(40):
        apps.append(dial(world, net.client, "127.0.0.1", 5000, f"app{number}").expect(Source(2)))
        fars.append(target.next().expect(Source(1)))
        apps[-1].pause(), fars[-1].pause()
        apps[-1].send(Source(1), size, then_end=True)
        fars[-1].send(Source(2), size, then_end=True)
    world.during(1, "nobody reads")
    dice = random.Random(3)
    for _ in range(10):
        kill(dice.choice((cproxy, sproxy)))
        world.during_quietly(dice.uniform(0, 0.3))
    before = sum(end.sent for end in apps + fars)
    world.check(before < 2 * len(apps) * size and not any(end.over for end in apps + fars),
                f"programs are held back and none is ended: {before} bytes are on their way")
    for end in apps + fars:
        end.resume()
    for _ in range(6):
        world.during_quietly(dice.uniform(0, 0.3))
        kill(dice.choice((cproxy, sproxy)))
    world.until(lambda: all(end.ends for end in apps + fars), 90, lambda: f"all to end ({[end for end in apps + fars if not end.ends][:3]})")
    right = Source(2).sha256(size), Source(1).sha256(size)
    world.check(all((app.sha256(), far.sha256()) == right for app, far in zip(apps, fars)), f"{2 * len(apps)} streams arrived whole")


# ---------------------------------------------------------------- descriptors


def descriptors(world):
    limited = ["prlimit", "--nofile=64:64"]
    net = harness.Routed(world)
    target = Listener(world, net.server, 7000)
    poor_one = more[0] if more else "cproxy"
    sproxy = world.sproxy(net.server, "--target", "127.0.0.1:7000", 6000, before=limited if poor_one == "sproxy" else ())
    cproxy = world.cproxy(net.client, 5000, net.server_address, 6000, before=limited if poor_one == "cproxy" else ())
    poor = cproxy if poor_one == "cproxy" else sproxy
    load = Load(world, net, target)
    crowd = [dial(world, net.client, "127.0.0.1", 5000, f"app {number}") for number in range(150)]
    for app in crowd:
        app.write(b"hello")
    world.until(lambda: any("open files" in line for line in poor.lines("cannot")), 15, lambda: f"{poor.name} to say that descriptors have run out")
    for number in range(4):
        # Strangers take what sessions spare for links. Once there was nothing left then that a worker could have started with.
        strangers = [dial(world, net.client, net.server_address, 6000, "stranger") for _ in range(60 * (number % 2))]
        world.during_quietly(0.1)
        load.begin()
        poor.mark()
        deaths = 4 if number > 1 else 1  # what those leave who die one after the other must not add up
        for _ in range(deaths):
            worker = poor.worker
            poor.kill_worker()
            there_is_another(world, poor, worker)
        load.goes_on(f"{deaths} deaths of workers whose descriptors had run out{', by strangers, too' if strangers else ''}")
        world.check(len(poor.since()) < 60 + len(strangers), f"{len(poor.since())} lines of the log tell of it")
        failed = [line for line in poor.since() if "cannot start" in line or "could not take over" in line]
        world.check(not failed, f"each of the next ones could start {failed}")
        for stranger in strangers:
            stranger.close()
    for app in crowd:
        app.close()

    def crowd_is_gone():  # those that still waited are accepted now, and end at once
        for far in target.ends:
            if far not in (load.far, load.talk[1]) and far.over:
                far.close()
        return poor.descriptors() < 30

    world.until(crowd_is_gone, 30, lambda: f"{poor.name} to have few descriptors ({poor.descriptors()})")
    late = dial(world, net.client, "127.0.0.1", 5000, "late")
    late.write(b"late")
    world.until(lambda: crowd_is_gone() and any(bytes(end.text) == b"late" for end in target.ends), 15, "a session after the crowd")
    world.say("true: when the crowd has gone, a new session works")
    load.leave()


# ---------------------------------------------------------------- the log


def logs(world):
    net = harness.Routed(world)
    target = Listener(world, net.server, 7000)
    for number, kind in enumerate(UNHEARD):
        port = 5000 + number
        far, near = kind(world, f"sproxy{number}"), kind(world, f"cproxy{number}")
        sproxy = world.sproxy(net.server, "--target", "127.0.0.1:7000", port + 1000, name=f"sproxy{number}", before=far.before, ready=False)
        world.until(lambda: net.server.listens(port + 1000), 20, "sproxy to listen")
        cproxy = world.cproxy(net.client, "--log-level", "debug", port, net.server_address, port + 1000, name=f"cproxy{number}", before=near.before,
                              ready=False)
        world.until(lambda: net.client.listens(port), 20, "cproxy to listen")
        load = Load(world, net, target, port)
        for _ in range(3):
            load.begin(PIECE // 4)
            for proxy in (cproxy, sproxy):
                kill(proxy)
            load.goes_on(f"deaths with {kind.story}")
        come_and_go(world, net, target, port, 60)  # the log says of each that it was opened and that it ended
        cannot_start(world, cproxy, world.state(cproxy.name) / "client_key", load, kind.story)
        come_and_go(world, net, target, port, 60)
        near.read()
        come_and_go(world, net, target, port, 20, near.read)
        log = near.read()
        if log is not None:
            world.check("lines missing here" in log, "once there is room again, the log says that lines are missing, and goes on")
        load.leave()


def come_and_go(world, net, target, port, count, then=lambda: None):
    for _ in range(count):
        for end in pair(world, net, target, port):
            end.close()
        then()


def cannot_start(world, proxy, key, load, story):
    """A worker that cannot start, and wants to say so, must not wait either: the next one may succeed."""
    load.begin(PIECE // 4)
    right = key.read_bytes()
    key.write_bytes(b"no key")
    kill(proxy)
    world.during_quietly(0.3)
    key.write_bytes(right)
    load.goes_on(f"starts that failed with {story}", 20)


PARTS = {"upgrade": upgrade, "both": both, "paused": paused, "memory": memory, "budget": budget, "descriptors": descriptors, "logs": logs}


def scenario(world):
    PARTS[part](world)


harness.main(scenario)
