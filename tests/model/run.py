#!/usr/bin/env python3
"""Checks resume.pml exhaustively with spin, in several small worlds, and shows that the model can fail.

    run.py [NAME...]            these worlds; without a name all of the chosen bounds, the mistakes and the corners
    run.py --bounds large       larger worlds: minutes and gigabytes
    run.py --work FOLDER        where spin's and the compiler's output goes (default build/model)
    run.py --list               the names

A world is a set of bounds. `all runs` looks at every state for a broken assertion and for a state in which nothing
can happen any more before everything has arrived. `delivery` looks for a run that goes on for ever without everything
having arrived, or stops before. A mistake is a line of the model that is wrong on purpose; spin must find a run that
goes wrong, and the first such run is kept as a story in FOLDER/NAME/story.txt. A corner is a rare situation; spin
must find a run that comes to it.
"""

import argparse
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
PATIENCE = 3600  # seconds for one search; the slowest of the large ones takes minutes
MEGABYTES_MAX = {"small": 4000, "large": 14000}
DEPTH = 10000  # steps of a run; the longest has about a hundred, and running out of them is an error

# name: bounds
SMALL = {
    "moves": "BYTES_C=2 BYTES_S=1 BREAKS=1 SPARE=1",
    "moves-one-way": "BYTES_C=1 BYTES_S=1 BREAKS=1 SPARE=1 ONE_WAY",
    "cproxy-dies": "BYTES_C=2 BYTES_S=1 BREAKS=1 SPARE=0 CRASH_C=1",
    "sproxy-dies": "BYTES_C=2 BYTES_S=1 BREAKS=1 SPARE=0 CRASH_S=1",
    "both-die": "BYTES_C=2 BYTES_S=1 BREAKS=0 SPARE=0 CRASH_C=1 CRASH_S=1",
    "window": "BYTES_C=2 BYTES_S=1 BREAKS=1 SPARE=1 CRASH_S=1 WINDOW=1 ANSWERS",
    "half-close": "BYTES_C=1 BYTES_S=1 BREAKS=1 SPARE=0 CRASH_C=1 SLOW",
}
LARGE = {
    "large-everything": "BYTES_C=1 BYTES_S=1 BREAKS=1 SPARE=1 CRASH_C=1 CRASH_S=1",
    "large-moves": "BYTES_C=1 BYTES_S=1 BREAKS=2 SPARE=1 ONE_WAY",
    "large-streams": "BYTES_C=3 BYTES_S=2 BREAKS=1 SPARE=0 QUEUE=3",
    "large-crashes": "BYTES_C=1 BYTES_S=1 BREAKS=0 SPARE=0 CRASH_C=2 CRASH_S=2",
    "large-half-close": "BYTES_C=2 BYTES_S=1 BREAKS=1 SPARE=0 CRASH_S=1 SLOW ONE_WAY",
}
MISTAKES = {
    "ACK_ON_RECEIPT": "acknowledges what it holds, not what it delivered",
    "FORGET_AT_SEND": "forgets bytes when they are sent",
    "NO_REPLAY": "goes on from where it was, whatever the peer wants",
    "POSITION_RESET": "positions start again with each link",
    "DOUBLES": "does not drop by position what came twice",
    "OLD_LINK": "still takes frames from the link before",
    "END_WITHOUT_POSITION": "the end has no position of its own",
    "RESUME_UNASKED": "says resume, though the peer may never have heard of the session",
    "OPEN_INTRODUCES": "takes an open that is said again for its own resume too (once ours)",
    "TWO_NEW": "asks for a new tunnel while it waits for the answer to asking for one",
    "FORGET_UNINTRODUCED": "forgets a session that it has not named on this link",
    "DELIVERED_LATE": "a crash: the record does not have the byte that the kernel has",
    "END_NOT_KEPT": "a crash: does not remember that the end was delivered",
    "KNOWN_NOT_KEPT": "a crash: does not remember that the peer knows the session",
    "SENT_MOST_NOT_KEPT": "a crash: does not remember how far it had sent",
}
MISTAKE_BOUNDS = "BYTES_C=1 BYTES_S=1 BREAKS=1 SPARE=1 CRASH_C=1"
WINDOW_BOUNDS = "BYTES_C=2 BYTES_S=1 BREAKS=1 SPARE=1 WINDOW=1 ANSWERS"
# Corners that the search must reach, or what it proves is less than it seems; the number stands in the model.
CORNERS = {
    1: "something is said into a half-open link",
    2: "a resume asks for less than all that is not acknowledged, because some is held",
    3: "bytes come twice",
    4: "a part of some data comes twice",
    5: "one stream is over before the other begins",
    6: "a session is opened again on another link",
    7: "a resume or open asks for a session that is forgotten",
    8: "closed ends a session whose last word was lost",
    9: "a crash loses bytes that were held",
    10: "a welcome comes when a later attempt carries the tunnel",
    11: "a hello comes when a later attempt carries the tunnel",
    12: "the tunnel moves while both links live",
}
CORNER_BOUNDS = "BYTES_C=2 BYTES_S=1 BREAKS=1 SPARE=1 CRASH_C=1"


class Failure(Exception):
    pass


def run(command, folder, timeout=PATIENCE):
    done = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=timeout)
    return done.returncode, done.stdout


def defines(bounds):
    return [f"-D{word}" for word in bounds.split()]


def search(folder, bounds, liveness, megabytes, optimise="-O2"):
    """One exhaustive search. Returns spin's report and whether it found nothing wrong."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    shutil.copy(HERE / "resume.pml", folder)
    status, output = run(["spin", *defines(bounds), "-a", "resume.pml"], folder)
    if status != 0 or "Error" in output:
        raise Failure(f"spin does not take the model with {bounds}:\n{output}")
    kind = [] if liveness else ["-DSAFETY", "-DNOCLAIM"]
    # NOREDUCE: nearly every step touches the network that all share, so there is nothing to leave out, and an
    # exhaustive search is easier to trust without. COLLAPSE: less memory for more time.
    pack = ["-DCOLLAPSE"] if megabytes > MEGABYTES_MAX["small"] else []
    status, output = run(["gcc", optimise, "-w", "-DNOREDUCE", f"-DMEMLIM={megabytes}", *kind, *pack, "-o", "pan",
                          "pan.c"], folder)
    if status != 0:
        raise Failure(f"gcc does not take spin's program:\n{output}")
    status, output = run(["./pan", *(["-a"] if liveness else []), f"-m{DEPTH}", "-w22"], folder)
    (folder / "report.txt").write_text(output)
    errors = re.search(r"errors: (\d+)", output)
    if status != 0 or not errors or not re.search(r"([\d.e+]+) states, stored", output):
        raise Failure(f"the search ended with status {status}:\n{output}")
    # A search that was cut short proves nothing, unless it was cut short by what it was looking for.
    short = re.search(r"Search not completed|max search depth too small|out of memory|MEMLIM", output)
    if errors[1] == "0" and short:
        raise Failure(f"the search was not exhaustive:\n{output}")
    return output, errors[1] == "0"


def story(folder, bounds):
    """The run that went wrong, in words."""
    status, output = run(["spin", *defines(bounds), "-t", "-T", "resume.pml"], folder)
    if status != 0:
        raise Failure(f"spin does not replay the trail:\n{output}")
    told = "\n".join(line.strip() for line in output.splitlines() if not line.startswith("ltl"))
    told = told.split("#processes")[0]
    (folder / "story.txt").write_text(told + "\n")
    return told


def numbers(report):
    states = float(re.search(r"([\d.e+]+) states, stored", report)[1])
    depth = re.search(r"depth reached (\d+)", report)[1]
    memory = float(re.search(r"([\d.]+)\s+total actual memory usage", report)[1])
    return int(states), int(depth), memory


def check_world(work, name, bounds, megabytes):
    for kind, liveness in (("all runs", False), ("delivery", True)):
        # The formula must find a stop by itself.
        with_kind = bounds + (" NO_JUDGE" if liveness else "")
        since = time.monotonic()
        folder = work / (name + ("-delivery" if liveness else ""))
        report, right = search(folder, with_kind, liveness, megabytes)
        states, depth, memory = numbers(report)
        print(f"{name:18} {kind:9} {states:>11,} states {depth:>4} deep {memory:>6.0f} MB "
              f"{time.monotonic() - since:>6.1f} s  {'holds' if right else 'FAILS'}", flush=True)
        if not right:
            raise Failure(f"{name}: the protocol does not hold:\n{story(folder, with_kind)}\nbounds: {with_kind}")
        shutil.rmtree(folder)


def check_mistakes(work):
    for name, what in MISTAKES.items():
        bounds = f"{WINDOW_BOUNDS if name == 'OPEN_INTRODUCES' else MISTAKE_BOUNDS} BUG_{name}"
        report, right = search(work / name, bounds, False, MEGABYTES_MAX["small"], "-O0")
        states, _, _ = numbers(report)
        if right:
            raise Failure(f"the mistake {name} ({what}) is not found in {states:,} states: the model is blind to it")
        broken = re.search(r"pan:\d+: assertion violated (.*?) \(at depth", report)[1]
        broken = "stops before all is over" if "!(has[" in broken.replace(" ", "") else broken
        print(f"{name:21} {what:72} found after {states:>7,} states: {broken}", flush=True)
        story(work / name, bounds)
    # And one that the formula must find alone.
    bounds = f"{MISTAKE_BOUNDS} BUG_FORGET_UNINTRODUCED NO_JUDGE"
    _, right = search(work / "formula", bounds, True, MEGABYTES_MAX["small"], "-O0")
    if right:
        raise Failure("the formula <> done does not find that a session stays for ever")
    print("the formula alone finds FORGET_UNINTRODUCED")


def check_corners(work):
    for number, what in CORNERS.items():
        bounds = f"{CORNER_BOUNDS} WITNESS={number}"
        folder = work / f"corner-{number}"
        _, right = search(folder, bounds, False, MEGABYTES_MAX["small"], "-O0")
        if right:
            raise Failure(f"the model never comes to the corner {number}: {what}")
        story(folder, bounds)
        print(f"corner {number:>2} is reached: {what}", flush=True)


def main():
    parser = argparse.ArgumentParser(description="checks the model of the resume protocol")
    parser.add_argument("names", nargs="*", help="worlds to check, 'mistakes', 'corners'")
    parser.add_argument("--bounds", choices=["small", "large"], default="small")
    parser.add_argument("--work", type=Path, default=REPOSITORY / "build" / "model")
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    if options.list:
        print(*SMALL, *LARGE, "mistakes", "corners", sep="\n")
        return
    for program in ("spin", "gcc"):
        if shutil.which(program) is None:
            raise Failure(f"the program {program} is not installed (scripts/deps.sh test installs it)")
    worlds = {**SMALL, **LARGE}
    names = options.names or [*(SMALL if options.bounds == "small" else LARGE), "mistakes", "corners"]
    for name in names:
        if name == "mistakes":
            check_mistakes(options.work.resolve())
        elif name == "corners":
            check_corners(options.work.resolve())
        elif name in worlds:
            size = "large" if name in LARGE else "small"
            check_world(options.work.resolve(), name, worlds[name], MEGABYTES_MAX[size])
        else:
            raise Failure(f"there is no world '{name}' (run.py --list shows them)")


if __name__ == "__main__":
    try:
        main()
    except Failure as reason:
        print(f"FAILED: {reason}")
        sys.exit(1)
    except subprocess.TimeoutExpired as slow:
        print(f"FAILED: {' '.join(slow.cmd)} took longer than {PATIENCE} s")
        sys.exit(1)
