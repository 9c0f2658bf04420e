#!/usr/bin/python3
"""What a byte costs, in counts that do not depend on how fast the machine is, against bounds (bounds.json).

    guard.py core  CARRY                    instructions, copies and allocations of the core (valgrind's callgrind)
    guard.py calls PROGRAMS LOAD            system calls of both proxies (strace), in the clear and over TLS

A count beyond its bound fails, and so do instructions below half of it: then the bound guards nothing any more. When a
change is worth its price, or has made something cheaper, --measure prints what there is now. Bounds of the core are a
fifth above that; those of system calls twice as much, because how much is there for one call depends on who is woken when.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
MB = 1e6


def run(*command, **more):
    done = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=240, **more)
    if done.returncode != 0:
        sys.exit(f"guard: {command[0]} failed:\n{done.stdout}{done.stderr}")
    return done


def carried(carry, piece, size):
    """How a run of guard_carry went, with the instructions that callgrind counted."""
    with tempfile.TemporaryDirectory() as folder:
        # The same copying routine on every processor; ERMS, for one, is a single instruction for each byte to callgrind.
        plain = {**os.environ, "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-ERMS,-FSRM,-AVX,-AVX2,-AVX_Fast_Unaligned_Load,-AVX512F,-AVX512VL"}
        done = run("valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/out", "--toggle-collect=*measured*", carry, piece, size,
                   env=plain)
    instructions = int(re.search(r"Collected : (\d+)", done.stderr)[1])
    return json.loads(done.stdout) | {"instructions": instructions}


def core(carry):
    bulk, keys = carried(carry, 262144, 16 << 20), carried(carry, 64, 1 << 20)
    return {
        "core: instructions per KB, bulk": bulk["instructions"] / (bulk["bytes"] / 1e3),
        "core: instructions per frame of 64 bytes": keys["instructions"] / keys["frames"],
        "core: bytes copied per 1000 bytes, bulk": bulk["copied"] / bulk["bytes"] * 1e3,
        "core: allocations per 1000 frames, bulk": bulk["allocations"] / bulk["frames"] * 1e3,
        "core: allocations per 1000 frames of 64 bytes": keys["allocations"] / keys["frames"] * 1e3,
    }


class Traced:
    """A proxy under strace, which counts."""

    def __init__(self, folder, name, *command):
        self.counts, self.log = folder / f"{name}.counts", folder / f"{name}.log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(["strace", "-f", "-c", "-S", "calls", "-U", "calls,name", "-o", self.counts, "--",
                                             *map(str, command)], stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def port(self):
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if found := re.search(r"listening on \S*:(\d+)\D", self.log.read_text()):
                return int(found[1])
            time.sleep(0.05)
        sys.exit(f"guard: it does not listen:\n{self.log.read_text()}")

    def stop(self):
        """How many calls it made, all in all."""
        keeper = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()[0]
        run("kill", keeper)
        self.process.wait(20)
        return int(re.search(r"(\d+) total", self.counts.read_text())[1])


def calls(programs, load, *flags):
    """System calls of both proxies for each MB that goes up and down, the ones at the beginning and the end included."""
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        target = subprocess.Popen([load, "target"], stdout=subprocess.PIPE, text=True)
        try:
            port = target.stdout.readline().rsplit(":", 1)[1].strip()
            common = ["--bind", "127.0.0.1", "--log-level", "info", *flags]
            sproxy = Traced(folder, "sproxy", programs / "sproxy", 0, "--target", f"127.0.0.1:{port}", "--state-dir", folder / "s", *common)
            cproxy = Traced(folder, "cproxy", programs / "cproxy", 0, "127.0.0.1", sproxy.port(), "--state-dir", folder / "c", *common)
            done = run(load, "bulk", "127.0.0.1", cproxy.port(), "--up", "--down", "--seconds", 3)
            return (cproxy.stop() + sproxy.stop()) / (sum(sum(json.loads(done.stdout)[way]) for way in ("up", "down")) / MB)
        finally:
            target.terminate()
            target.wait()


def both_calls(programs, load):
    programs = Path(programs)
    return {"system calls per MB, in the clear": calls(programs, load, "--insecure"), "system calls per MB, TLS": calls(programs, load)}


def judge(counts):
    bounds, bad = json.loads((HERE / "bounds.json").read_text()), 0
    for name, count in counts.items():
        bound = bounds[name]
        least = bound / 2 if name.startswith("core: instructions") else 0
        verdict = "ok" if least <= count <= bound else "TOO MANY" if count > bound else "far below its bound: lower that"
        bad += verdict != "ok"
        print(f"{name}: {count:.1f}, at most {bound}: {verdict}")
    return 1 if bad else 0


def main():
    words = [word for word in sys.argv[1:] if word != "--measure"]
    if len(words) < 2 or words[0] not in ("core", "calls"):
        sys.exit(__doc__)
    tool = "valgrind" if words[0] == "core" else "strace"
    if not shutil.which(tool):
        print(f"skipped: {tool} is not installed")
        return 77
    counts = core(*words[1:]) if words[0] == "core" else both_calls(*words[1:])
    if "--measure" in sys.argv:
        for name, count in counts.items():
            print(f"{name}: {count:.2f}")
        return 0
    return judge(counts)


if __name__ == "__main__":
    sys.exit(main())
