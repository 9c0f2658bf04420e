"""What the benches share: programs with their costs, the build, the table."""

import os
import platform
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "net"))

from workers import worker_of  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]


class Trouble(Exception):
    """Something could not be measured; the text says what."""


# ---------------------------------------------------------------- programs


_threaded = set()  # processes that had more than one thread


def children_by(task):
    try:
        return (task / "children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return []  # this thread ended meanwhile


def cpu_of(pid):
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        tick = os.sysconf("SC_CLK_TCK")
        ended = (int(fields[13]) + int(fields[14])) / tick  # children that are no more
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        if not tasks:
            return 0  # as below
        if len(tasks) > 1 or pid in _threaded:
            _threaded.add(pid)  # a thread takes its nanoseconds with it when it ends
            own = (int(fields[11]) + int(fields[12])) / tick
        else:
            own = int((tasks[0] / "schedstat").read_text().split()[0]) / 1e9
        children = [child for task in tasks for child in children_by(task)]
    except (FileNotFoundError, ProcessLookupError):
        return 0  # it ended meanwhile; its parent has its time then
    return ended + own + sum(cpu_of(child) for child in children)


class Process:
    """A program that serves: its log in a file, its port found there, its costs read from /proc."""

    def __init__(self, folder, name, command, **more):
        self.name = name
        self.path = folder / f"{name}.log"
        with open(self.path, "wb") as log:
            self.process = subprocess.Popen([str(word) for word in command],
                                            **{"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log, **more})
        self._worker = None

    @property
    def worker(self):
        """The process that does the work: of a proxy, its keeper's child."""
        self._worker = worker_of(self.process.pid, self._worker)
        return self._worker

    def port(self):
        """The port it says it listens on."""
        return int(self.says(r"listening on \S*:(\d+)")[1])

    def says(self, pattern):
        """Waits until it does."""
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and self.process.poll() is None:
            found = re.search(pattern, self.path.read_text(errors="replace"))
            if found:
                return found
            time.sleep(0.01)
        raise Trouble(f"{self.name} does not say {pattern}:\n{self.path.read_text(errors='replace')}")

    def cpu_seconds(self):
        """User and system time so far of it and of all that it started; in nanosecond grain where there are no threads."""
        return cpu_of(self.process.pid)

    def resident(self):
        """Bytes of memory that are really there (VmRSS; the memory shared with a successor counts)."""
        return int(re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{self.worker}/status").read_text())[1]) * 1024

    def resident_most(self):
        """The most that there ever were (VmHWM)."""
        return int(re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{self.worker}/status").read_text())[1]) * 1024

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Way:
    """How the app reaches the target: a port, and the proxies behind it, if any."""

    def __init__(self, name, port, proxies=()):
        self.name, self.port, self.proxies = name, port, proxies

    def cpu_seconds(self):
        return sum(proxy.cpu_seconds() for proxy in self.proxies)


# ---------------------------------------------------------------- the build


def build(*targets):
    """The proxies and these targets in the release build (its tests are switched on for that); its folder."""
    folder = ROOT / "build" / "release"
    for command in (["cmake", "--preset", "release", "-DHOLDFAST_TESTS=ON"],
                    ["cmake", "--build", str(folder), "--target", "programs", *targets]):
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if done.returncode != 0:
            raise Trouble(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return folder


# ---------------------------------------------------------------- the table


def cell(values, digits):
    if not values:
        return ""
    low, middle, high = (f"{value:,.{digits}f}" for value in (min(values), statistics.median(values), max(values)))
    return f"{middle} ({low} to {high})" if len(values) > 1 else middle


def table(head, rows, left=2):
    """Lines of a Markdown table that also looks well on a screen; the first `left` columns are text."""
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]

    def line(row):
        cells = [text.ljust(width) if i < left else text.rjust(width) for i, (text, width) in enumerate(zip(row, widths))]
        return "| " + " | ".join(cells) + " |"

    rule = "| " + " | ".join("-" * (width - 1) + ("-" if i < left else ":") for i, width in enumerate(widths)) + " |"
    return "\n".join([line(head), rule, *map(line, rows)])


def machine():
    """What the numbers depend on."""
    cpu = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text())
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return (f"{time.strftime('%Y-%m-%d %H:%M %Z')}, Linux {platform.release()}, {os.cpu_count()} processors "
            f"({cpu[1] if cpu else platform.machine()}), load average before: {load}")
