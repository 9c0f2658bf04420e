"""One measure: a peer, started from nothing, meets one scenario, and we wait for what comes of it.

Several measures may be under way side by side, each in a network of its own (a lane). What takes processor time or
must not be disturbed (starting, ending, the moment itself and two seconds behind it) happens while holding `calm`, one
lane at a time; only waiting is shared.
"""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress

import harness
import peers
import scenarios
from topology import Topology, wan_program

SETTLE = 1.5   # seconds of quiet flow before something happens, and four round trips more
CALM = 2.0     # seconds from the moment for which nobody else may disturb
RETURNED = 1.0  # seconds after the old path of an overlap went, in which stalls still count
ASK_EVERY = 0.05


class Stage:
    """A lane: a network that lasts, in which one measure after another is made."""

    def __init__(self, world, lane, calm):
        self.world, self.calm, self.last_words = world, calm, ""
        self.net = Topology(world, wan_program(), lane)

    def pass_time(self, seconds):
        """Called while calm; others may have it meanwhile."""
        end = time.monotonic() + seconds
        if seconds > CALM:
            self.calm.release()
            time.sleep(seconds - 0.3)
            self.calm.acquire()
        if end > time.monotonic():
            time.sleep(end - time.monotonic())

    def measure(self, case, limit):
        """What came of it, in milliseconds: data, echo, all, stall; None: not within `limit` seconds."""
        with self.calm:
            self.net.conditions(case.rtt, case.loss)
            scenario, peer = scenarios.ALL[case.scenario](self), peers.ALL[case.peer](self)
        try:
            with self.calm:
                scenario.prepare()
                app = peer.start(case.sessions)
                self.net.listeners = [peer]
            self._settle(app, case)
            with self.calm:
                app.ask("forget")
                moment = scenario.happen(peer)
                self._wait(app, moment, moment.usable + CALM)
            return self._outcome(app, moment, scenario, case, limit)
        finally:
            with self.calm:
                self._end_programs()

    def _settle(self, app, case):
        everything = lambda: None not in app.since(0, 0, 0).values()  # noqa: E731
        self.world.until(everything, peers.READY, f"every session of {case} to carry data")
        time.sleep(SETTLE + 4 * self.net.rtt)

    def _wait(self, app, moment, end):
        """Until all has come, or nothing can come any more, or it is time."""
        while True:
            got = app.since(moment.usable, moment.quiet, moment.lost)
            if None not in got.values() or got["cut_off"] and not app.again or time.monotonic() >= end:
                return got
            time.sleep(min(ASK_EVERY, max(0.0, end - time.monotonic())))

    def _outcome(self, app, moment, scenario, case, limit):
        got = self._wait(app, moment, moment.usable + limit)
        if got["cut_off"] and not app.again:
            got |= {"data": None, "echo": None, "all": None}  # a session that has ended does not come back
        if case.sessions == 1:
            del got["all"]
        if scenario.stalls:
            got["stall"] = self._stall(app, moment) if got["data"] is not None else None
        return got

    @staticmethod
    def _stall(app, moment):
        time.sleep(RETURNED)
        return app.stall(moment.begin, time.monotonic())["data"]

    def _end_programs(self):
        logged = [program for program in self.world.programs if hasattr(program, "log")]
        self.last_words = "".join(f"---- {program.name}\n{program.log()}" for program in logged)
        for program in reversed(self.world.programs):
            program.kill()
        for path in {program.path for program in logged}:
            path.unlink()  # the next program of this name begins its own
        self.world.programs.clear()
        for space in (self.net.near, self.net.far):
            for pid in harness.run("ip", "netns", "pids", space.name).stdout.split():  # mosh-server, shells of sshd
                with suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
        self.net.reset()


def become_root():
    """Namespaces need root: sudo, if it need not ask or somebody is there to be asked; otherwise the end, as skipped."""
    if os.geteuid() != 0:
        ask = [] if sys.stdin.isatty() else ["-n"]
        if subprocess.run(["sudo", *ask, "true"], check=False).returncode != 0:
            print("SKIPPED: network namespaces need root")
            sys.exit(harness.SKIPPED)
        kept = [f"{name}={os.environ[name]}" for name in ("HOLDFAST_BIN", "HOLDFAST_WAN") if name in os.environ]
        os.execvp("sudo", ["sudo", *ask, *kept, sys.executable, *sys.argv])
    try:
        with harness.World() as world:
            world.namespace("probe")
    except harness.Skip as reason:
        print(f"SKIPPED: {reason}")
        sys.exit(harness.SKIPPED)
