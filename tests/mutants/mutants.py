#!/usr/bin/env python3
"""Plants the mistakes of planted.txt into the core, one at a time, and shows what catches each: simulation, unit tests.

The tree is not touched: of a planted .cc a private copy is compiled and linked in front of the library; of a planted
header, everything that includes it. Prints the table for docs/testing.md. Exit status: 0 all were caught, 1 somebody
survived, 2 the run means nothing: a mistake does not fit the code any more, or does not compile, or tests fail
without any.
"""

import argparse
import concurrent.futures
import json
import pathlib
import re
import resource
import shlex
import shutil
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
CORE = ROOT / "src" / "core"

# Worlds of each level that a mistake has to live through. Worlds of the core level are small and fast.
LEVELS = [("core", 4000), ("tunnel", 500), ("process", 500)]
LEVEL_SECONDS = 90  # no more worlds are begun after that; a slow machine then sees fewer of them
BATCH_MAX = {"core": 500, "tunnel": 50, "process": 50}
HANG_SECONDS = 25  # for worlds that take a second or two when all is well
UNIT_SECONDS = 60  # they take two
ADDRESS_SPACE = 8 << 30  # a mistake may eat memory; not the machine's
LIBRARIES = ["-lgtest_main", "-lgmock", "-lgtest", "-lcrypto", "-pthread"]


class Nonsense(Exception):
    """The run would mean nothing."""


class Mutant:
    def __init__(self, file, what, number):
        self.file, self.what, self.number = file, what, number
        self.hunk = []  # (' ', '-' or '+', the line without its indentation)
        self.sim = self.unit = None

    def __str__(self):
        return f"{self.file}: {self.what}"

    def planted(self, text):
        """The text with the mistake. What it replaces must be there exactly once."""
        lines = text.split("\n")
        stripped = [line.strip() for line in lines]
        old = [line for sign, line in self.hunk if sign != "+"]
        places = [i for i in range(len(lines)) if stripped[i : i + len(old)] == old]
        if len(places) != 1:
            raise Nonsense(f"planted.txt:{self.number}: {self}: its lines are in the file {len(places)} times, not once")
        new = [line for sign, line in self.hunk if sign != "-"]
        return "\n".join(lines[: places[0]] + new + lines[places[0] + len(old) :])


def read_planted():
    mutants = []
    for number, line in enumerate((HERE / "planted.txt").read_text().splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        if line[:2] in ("- ", "+ ", "  ") or line in ("-", "+"):
            mutants[-1].hunk.append((line[0], line[1:].strip()))
        else:
            file, what = line.split(": ", 1)
            mutants.append(Mutant(file, what, number))
    return mutants


def check(mutants):
    """Every mistake fits the code. Returns complaints."""
    complaints = []
    for mutant in mutants:
        try:
            text = (CORE / mutant.file).read_text()
            if mutant.planted(text) == text:
                complaints.append(f"planted.txt:{mutant.number}: {mutant}: changes nothing")
        except (Nonsense, OSError) as trouble:
            complaints.append(str(trouble))
    return complaints


def run(command, seconds):
    """(exit status or None if it did not end in time, stdout, stderr)"""

    def limit():
        resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    process = subprocess.Popen(
        [str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=limit
    )
    status = None
    try:
        out, err = process.communicate(timeout=seconds)
        status = process.returncode
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
    return status, out.decode(errors="replace"), err.decode(errors="replace")


class Build:
    """The release build without a mistake, and how its parts are compiled."""

    def __init__(self, folder):
        self.folder = folder
        # Somebody may be at work in the tree while we run; what counts is how the core was when we began.
        self.core = folder / "snapshot" / "core"
        shutil.rmtree(self.core, ignore_errors=True)
        shutil.copytree(CORE, self.core)
        quiet = {"check": True, "cwd": ROOT, "stdout": subprocess.DEVNULL}
        subprocess.run(["cmake", "--preset", "release", "-B", folder], **quiet)
        subprocess.run(["cmake", "--build", folder, "-j1", "--target", "unit_core", "sim"], **quiet)
        self.commands = {}  # source, relative to the root: (its object, how to compile it)
        for entry in json.loads((folder / "compile_commands.json").read_text()):
            words = shlex.split(entry["command"])
            source = pathlib.Path(entry["file"]).relative_to(ROOT)
            at = words.index("-o")
            self.commands[source] = (folder / words[at + 1], words)
        self.library = folder / "src" / "core" / "libholdfast_core.a"
        self.includes = self.read_deps()
        self.tests = {}  # all objects of a program as one, without what a debugger wants: links in no time
        for name in ("tests/sim", "tests/unit/core"):
            self.tests[name] = folder / f"{name.replace('/', '_')}.o"
            run(["g++", "-r", "-nostdlib", "-Wl,-S", "-o", self.tests[name], *self.objects(name)], 300)

    def read_deps(self):
        """object: the files of the core that it was compiled from"""
        deps, target = {}, None
        listing = subprocess.run(
            ["ninja", "-C", self.folder, "-t", "deps"], check=True, stdout=subprocess.PIPE, text=True
        ).stdout
        for line in listing.splitlines():
            if line and not line.startswith(" "):
                target = self.folder / line.split(":")[0]
            elif "/core/" in line:
                deps.setdefault(target, set()).add(pathlib.Path(line.strip()).name)
        return deps

    def sources(self, folder):
        return sorted(s for s in self.commands if s.parent == pathlib.Path(folder))

    def objects(self, folder):
        return [self.commands[s][0] for s in self.sources(folder)]

    def compile(self, source, work, instead=None):
        """Compiles a source, or `instead` of it another one, with the core's files in `work` before all others."""
        target, words = self.commands[source]
        of_core = source.parent == CORE.relative_to(ROOT)
        place = work / "core" / (instead or source.name) if of_core else ROOT / source
        made = work / target.name
        changed = [words[0], f"-I{work}", f"-I{self.core.parent}"]
        for word in words[1:]:
            if word in (str(target.relative_to(self.folder)), str(ROOT / source)):
                continue
            if word in ("-o", "-c") or word.startswith("-W"):
                continue
            changed.append(word)
        changed += ["-w", "-g0", "-O1", "-c", place, "-o", made]
        status, _, err = run(changed, 600)
        if status != 0:
            raise Nonsense(f"does not compile: {err[:2000]}")
        return made

    def link(self, program, objects):
        status, _, err = run(["g++", "-Wl,-S", "-o", program, *objects, self.library, *LIBRARIES], 300)
        if status != 0:
            raise Nonsense(f"does not link: {err[:2000]}")
        return program


# -- what catches it ---------------------------------------------------------------------------------------------------


def one_batch(program, level, first, count, seconds):
    """None if all went well, or (seed or None, what happened)."""
    status, out, err = run([program, "--level", level, "--seeds", count, "--first", first], seconds)
    if status == 0:
        return None
    said = re.search(r"seed (\d+): (.*)", err)
    if status == 1 and said:
        return int(said.group(1)), ""
    if status == 2:
        raise Nonsense(f"sim: {err.strip()}")
    return None if status == 0 else (first if count == 1 else None, "hangs" if status is None else "dies")


def simulate(program):
    """'core 17', 'tunnel 3, dies', or None if it lived through all worlds; and how many worlds of each level there were."""
    worlds = {}
    for level, count in LEVELS:
        start, first, batch = time.monotonic(), 1, 1
        while first <= count and time.monotonic() - start < LEVEL_SECONDS:
            batch = min(batch, count + 1 - first)
            caught = one_batch(program, level, first, batch, HANG_SECONDS)
            if caught and caught[0] is None:  # which of them?
                singly = (one_batch(program, level, seed, 1, HANG_SECONDS) for seed in range(first, first + batch))
                caught = next((c for c in singly if c), (f"{first}-{first + batch - 1}", caught[1]))
            if caught:
                return f"{level} {caught[0]}" + (f", {caught[1]}" if caught[1] else ""), worlds
            first += batch
            batch = min(batch * 2, BATCH_MAX[level])
        worlds[level] = first - 1
    return None, worlds


def unit_tests(program):
    """The first test that fails, or None."""
    status, out, _ = run([program, "--gtest_fail_fast"], UNIT_SECONDS)
    if status == 0:
        return None
    failed = re.search(r"^\[  FAILED  \] ([\w./]+)", out, re.M)
    if failed:
        return failed.group(1)
    begun = re.findall(r"^\[ RUN      \] ([\w./]+)", out, re.M)
    return (begun[-1] if begun else "?") + (", hangs" if status is None else ", dies")


def judge(build, mutant, scratch):
    work = pathlib.Path(tempfile.mkdtemp(dir=scratch))
    try:
        private = work / "core"
        private.mkdir()
        text = mutant.planted((build.core / mutant.file).read_text())
        if mutant.file.endswith(".cc"):
            (private / mutant.file).write_text(text)
            made = [build.compile(CORE.relative_to(ROOT) / mutant.file, work)]
            program = build.link(work / "sim", made + [build.tests["tests/sim"]])
            mutant.sim, _ = simulate(program)
            program = build.link(work / "unit_core", made + [build.tests["tests/unit/core"]])
            mutant.unit = unit_tests(program)
        else:
            for source in build.core.iterdir():
                shutil.copy(source, private)
            (private / mutant.file).write_text(text)
            judge_header(build, mutant, work)
    except Nonsense as trouble:
        raise Nonsense(f"{mutant}: {trouble}") from None
    finally:
        shutil.rmtree(work)
    return mutant


def judge_header(build, mutant, work):
    def concerned(source):
        return mutant.file in build.includes[build.commands[source][0]]

    def again(folder, wanted=lambda source: True):
        return [
            build.compile(source, work) if concerned(source) and wanted(source) else build.commands[source][0]
            for source in build.sources(folder)
        ]

    # The core in one piece: its headers are most of the work.
    core = build.sources("src/core")
    (work / "core" / "all.cc").write_text("".join(f'#include "core/{s.name}"\n' for s in core if concerned(s)))
    made = [build.compile(core[0], work, "all.cc")] if any(map(concerned, core)) else []
    mutant.sim, _ = simulate(build.link(work / "sim", made + again("tests/sim")))
    # First the module's own tests; all of them take minutes to compile.
    own = mutant.file.replace(".hh", "_test.cc")
    mutant.unit = unit_tests(build.link(work / "unit_core", made + again("tests/unit/core", lambda s: s.name == own)))
    if mutant.unit is None:
        mutant.unit = unit_tests(build.link(work / "unit_core", made + again("tests/unit/core")))


# -- all of it ---------------------------------------------------------------------------------------------------------


def baseline(build):
    caught, worlds = simulate(build.folder / "tests" / "sim" / "sim")
    if caught:
        raise Nonsense(f"without any mistake, simulation fails: {caught}")
    failed = unit_tests(build.folder / "tests" / "unit" / "core" / "unit_core")
    if failed:
        raise Nonsense(f"without any mistake, a unit test fails: {failed}")
    return worlds


def row(mutant):
    code = f"`{mutant.unit.split(',')[0]}`{mutant.unit[len(mutant.unit.split(',')[0]):]}" if mutant.unit else "no"
    if not mutant.unit and not mutant.sim:
        code = "no: **survives**"
    return f"| `{mutant.file}` | {mutant.what} | {mutant.sim or 'no'} | {code} |"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build" / "mutants")
    parser.add_argument("--only", default="", help="mistakes whose file and description match this expression")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--check", action="store_true", help="only see whether the mistakes fit the code")
    options = parser.parse_args()

    mutants = read_planted()
    complaints = check(mutants)
    if complaints:
        print("\n".join(complaints), file=sys.stderr)
        return 2
    if options.check:
        return 0
    mutants = [m for m in mutants if re.search(options.only, str(m))]
    build = Build(options.build.resolve())
    worlds = baseline(build)
    print("without any mistake all is well: " + ", ".join(f"{n} worlds of {w}" for w, n in worlds.items()), file=sys.stderr)
    with tempfile.TemporaryDirectory(dir=build.folder) as scratch:
        with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
            running = [pool.submit(judge, build, mutant, scratch) for mutant in mutants]
            troubles = []
            for number, done in enumerate(concurrent.futures.as_completed(running), 1):
                if done.exception():
                    troubles.append(str(done.exception()))
                said = row(done.result()) if not done.exception() else troubles[-1]
                print(f"{number}/{len(mutants)} {said}", file=sys.stderr, flush=True)
    if troubles:
        raise Nonsense("\n".join(troubles))

    print("| file | the mistake | simulation: the first seed | unit tests: the first that fails |")
    print("| --- | --- | --- | --- |")
    for mutant in mutants:
        print(row(mutant))
    survivors = [m for m in mutants if not m.sim and not m.unit]
    print(
        f"\n{len(mutants)} mistakes: {sum(1 for m in mutants if m.sim)} caught by simulation, "
        f"{sum(1 for m in mutants if m.unit)} by unit tests, {len(survivors)} by neither."
    )
    return 1 if survivors else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (Nonsense, subprocess.CalledProcessError) as trouble:
        print(f"mutants: {trouble}", file=sys.stderr)
        sys.exit(2)
