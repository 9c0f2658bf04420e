"""Proxies on 127.0.0.1 and the load between them, for `run` and `builds`."""

import json
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

from measuring import Process, Trouble, Way

HERE = "127.0.0.1"
FLAGS = {"raw": ["--raw"], "clear": ["--insecure"], "tls": []}  # of both proxies


class Bench:
    def __init__(self, programs, load, folder):
        self.programs, self.load, self.folder = programs, load, folder
        self.started = []

    def start(self, name, *command):
        process = Process(self.folder, name, command)
        self.started.append(process)
        return process

    def proxies(self, name, target_port, *flags):
        """A cproxy and an sproxy of their own, from nothing."""
        common = [*flags, "--log-level", "info"]
        sproxy = self.start(f"sproxy-{name}", self.programs / "sproxy", "0", "--bind", HERE,
                            "--target", f"{HERE}:{target_port}", "--state-dir", self.folder / f"{name}-s", *common)
        cproxy = self.start(f"cproxy-{name}", self.programs / "cproxy", "0", HERE, sproxy.port(),
                            "--state-dir", self.folder / f"{name}-c", *common)
        return Way(name, cproxy.port(), (cproxy, sproxy))

    def app(self, *words, patience=60):
        """An app of the load generator to its end; what it measured."""
        done = subprocess.run([str(self.load), *map(str, words)], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=patience)
        if done.returncode != 0:
            raise Trouble(f"bench_load {' '.join(map(str, words))}: {done.stderr.strip()}")
        return json.loads(done.stdout)

    def stop(self):
        for process in reversed(self.started):
            process.stop()


@contextmanager
def bench(programs, load):
    with tempfile.TemporaryDirectory(prefix="holdfast-bench-") as folder:
        it = Bench(programs, load, Path(folder))
        try:
            yield it
        finally:
            it.stop()


def rate(series, slot):
    """Bytes per second without the first slot (slow start, caches) and without the last, which may not be full."""
    counted = series[1:-1] or series
    return sum(counted) / (len(counted) * slot)


def bulk(it, way, seconds, *flags):
    """Throughput in MB/s, both directions added, and CPU seconds of the proxies per GB carried."""
    before = way.cpu_seconds()
    result = it.app("bulk", HERE, way.port, *flags, "--seconds", seconds)
    cpu = way.cpu_seconds() - before
    whole = round(seconds / result["slot"])
    moved = sum(result["up"]) + sum(result["down"])
    measured = sum(rate(result[key][:whole + 1], result["slot"]) for key in ("up", "down") if f"--{key}" in flags)
    return measured / 1e6, cpu / (moved / 1e9)
