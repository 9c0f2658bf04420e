#!/usr/bin/python3
"""
   near                               [switch]              far
   telnet ── cproxy      eth0 ═════════════════════ eth0   sproxy ── telnetd ── ping localhost
   telnet (direct)       10.0.0.11, .12, ...        10.0.0.2         telnetd ── ping localhost

Two real telnet sessions side by side, both with a running `ping localhost`: one direct, one through Holdfast, while
the near machine changes its address several times. On a terminal they are shown as two panes, otherwise line by line.
The verdict at the end is computed from what the two sessions really showed. Exit status 0 only if Holdfast's session
has every icmp_seq exactly once and the direct one did not survive.
"""

import os
import re
import shutil
import signal
import sys
import textwrap
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "net"))
os.environ["HOLDFAST_BIN"] = os.environ.get("HOLDFAST_BIN") or str(ROOT)

import harness  # noqa: E402
from telnet import first_fault, start_telnetd, telnet  # noqa: E402

TITLES = {"direct": "telnet, direct", "holdfast": "telnet, Holdfast"}
LOUD, GOOD, BAD, CALM, PLAIN = "\x1b[1m", "\x1b[1;32m", "\x1b[1;31m", "\x1b[2m", "\x1b[0m"


def clock():
    return time.strftime("%H:%M:%S")


def clean(line):
    """A line as a pane can show it: without control characters."""
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f]", "", line.expandtabs())


def fit(line, width):
    """The line cut to a width; of a ping the beginning goes first, its icmp_seq matters most."""
    if len(line) > width:
        line = line.replace("64 bytes from ", "…")
    return line if len(line) <= width else line[:width - 1] + "…"


class Lines:
    """The show without a terminal: one line for each thing that happens."""

    def __init__(self):
        self.shown = {"direct": 0, "holdfast": 0}

    def tell(self, text, _=PLAIN):
        print(f"{clock()} ==== {text}", flush=True)

    def refresh(self, sessions, _, last=False):
        for name, session in sessions.items():
            lines = session.terminal.text.split("\n")
            whole = len(lines) if last else len(lines) - 1  # the last line is still being written
            for line in lines[self.shown[name]:whole]:
                if clean(line).strip():
                    print(f"{clock()} {name:8} | {clean(line)}", flush=True)
            self.shown[name] = max(self.shown[name], whole)

    def close(self):
        pass


class Panes:
    """The show on a terminal: two panes, below them what happens."""

    STORY = 9

    def __init__(self):
        self.story = []
        self.next = 0.0
        self.now = ""
        sys.stdout.write("\x1b[?1049h\x1b[?25l\x1b[2J")  # another screen, no cursor

    def tell(self, text, colour=PLAIN):
        self.story.append((f"{clock()}  {text}", colour))
        self.next = 0.0

    def refresh(self, sessions, states, last=False):
        if time.monotonic() < self.next and not last:
            return
        self.next = time.monotonic() + 0.08
        columns, rows = shutil.get_terminal_size()
        story = []
        for text, colour in self.story[-self.STORY:]:
            story += [(line, colour) for line in textwrap.wrap(text, columns - 2, subsequent_indent=" " * 10)]
        story = story[-self.STORY:]
        width, height = (columns - 3) // 2, max(4, min(16, rows - 5 - self.STORY))
        panes = [self.pane(name, sessions.get(name), states.get(name, ("", PLAIN)), width, height) for name in TITLES]
        lines = [f"{LOUD} Holdfast{PLAIN}{CALM}  one address disappears, another comes: watch the two sessions{PLAIN}"]
        lines += [f" {left} {right}" for left, right in zip(*panes)]
        lines += [""] + [f" {colour}{line}{PLAIN}" for line, colour in story]
        frame = "".join(f"{line}\x1b[K\r\n" for line in lines[:rows - 1])
        sys.stdout.write(f"\x1b[H{frame}\x1b[J")
        sys.stdout.flush()

    @staticmethod
    def pane(name, session, state, width, height):
        inner = width - 2
        head = f" {TITLES[name]} "
        word, colour = state
        word = f" {word} " if word else ""
        head = head[:inner - len(word)]
        lines = ["┌" + head + "─" * (inner - len(head) - len(word)) + f"{colour}{word}{PLAIN}┐"]
        text = [clean(line) for line in session.terminal.text.split("\n")] if session else []
        shown = [fit(line, inner - 2) for line in text[-height:]]
        lines += [f"│ {line:{inner - 2}} │" for line in shown + [""] * (height - len(shown))]
        return lines + ["└" + "─" * inner + "┘"]

    def close(self):
        sys.stdout.write("\x1b[?25h\x1b[?1049l")
        sys.stdout.flush()


class Demo(harness.World):
    """A world that shows its two sessions while it waits for anything."""

    def __init__(self, view):
        super().__init__()
        self.view, self.sessions, self.moved, self.told = view, {}, None, 0
        self.lasts = {}

    def say(self, text):
        """The harness's own remarks (addresses deleted and added) are told by the story in its own words."""

    def turn(self, at_most):
        super().turn(min(at_most, 0.08))
        self.view.refresh(self.sessions, self.states())

    def states(self):
        """What stands at the top right of each pane: a fact, namely when its last ping came."""
        states, now = {}, time.monotonic()
        for name, session in self.sessions.items():
            count = len(session.sequence())
            if self.lasts.get(name, (0, 0))[0] != count:
                self.lasts[name] = (count, now)
            silent = now - self.lasts.get(name, (0, now))[1]
            if count and silent > 2:
                states[name] = (f"silent for {silent:.0f} s", BAD)
            elif count:
                states[name] = (f"icmp_seq={session.sequence()[-1]}", GOOD)
        return states

    def watch_for(self, seconds):
        self.during(seconds, "")


def play(world):
    tell = world.view.tell
    net = harness.Lan(world)
    start_telnetd(world, net.server)
    world.sproxy(net.server, "--target", "127.0.0.1:23", 6000)
    world.cproxy(net.client, 5000, net.server_address, 6000)
    tell("far machine:  sproxy --target 127.0.0.1:23 6000")
    tell("near machine: cproxy 5000 10.0.0.2 6000")
    calls = {"direct": (net.server_address, 23), "holdfast": ("127.0.0.1", 5000)}
    for name, call in calls.items():
        world.sessions[name] = telnet(world, net.client, *call, f"telnet-{name}")
    for session in world.sessions.values():
        session.shell()
        session.terminal.type("ping localhost\r")
    direct, held = world.sessions["direct"], world.sessions["holdfast"]
    for session in (direct, held):
        session.until_pings(1)
    tell("both telnets are logged in far away and run `ping localhost` there")
    world.watch_for(2.5)

    def settle():
        """After a move: the Holdfast session must show another ping; tells how it went."""
        at = time.monotonic()
        held.until_pings(1, 15, "the Holdfast session to go on")
        tell(f"   Holdfast goes on, next ping after {time.monotonic() - at:.1f} s (one comes every second)", GOOD)
        world.watch_for(2.3)

    first_move = len(direct.sequence())
    for number, address in enumerate(("10.0.0.12", "10.0.0.13")):
        old = net.address
        net.move(address)
        tell(f"moved: {old} -> {address}  (ip addr del, ip addr add)", LOUD)
        if number == 0:
            first_move = len(direct.sequence())
        settle()

    old = net.address
    net.go_away()
    tell(f"no address at all for three seconds  (ip addr del {old})", LOUD)
    world.watch_for(3)
    net.come_back("10.0.0.14")
    tell(f"moved: {old} -> 10.0.0.14  (ip addr add 10.0.0.14)", LOUD)
    before = len(held.sequence())
    held.until_pings(1, 15, "the Holdfast session to go on")
    world.watch_for(0.3)
    tell(f"   Holdfast goes on and shows the {len(held.sequence()) - before} pings of the meantime", GOOD)
    world.watch_for(2)

    tell("three moves in a second: 10.0.0.14 -> .15 -> .16 -> 10.0.0.17", LOUD)
    for last in (15, 16, 17):
        net.move(f"10.0.0.{last}")
        world.watch_for(0.3)
    settle()
    # The 1.5 s of the last settle are enough for the direct session to have spoken, had it been able to.

    tell("Ctrl-C in both: ping sums up, if it still hears us")
    for session in (direct, held):
        session.terminal.type("\x03")
    held.terminal.expect(r"packets transmitted", 10)
    world.watch_for(1.5)
    held.terminal.type("exit\r")
    held.terminal.wait(10)
    world.watch_for(0.5)
    world.view.refresh(world.sessions, world.states(), last=True)
    return verdict(direct, held, first_move)


def verdict(direct, held, first_move):
    """What the two sessions really showed, in words; and whether it is what Holdfast promises."""
    numbers = held.sequence()
    fault = first_fault(numbers)
    summary = re.search(r"\d+ packets transmitted.*", held.terminal.text)
    spoke = len(direct.sequence()) - first_move
    lived = fault is None and len(numbers) > first_move + 5
    died = spoke == 0 and "packets transmitted" not in direct.terminal.text
    lines = [(f"through Holdfast: {len(numbers)} pings, icmp_seq 1 to {numbers[-1]}, "
              + ("none missing, none doubled" if fault is None else f"BROKEN: {fault}"), GOOD if lived else BAD),
             (f"   ping itself says: {summary[0] if summary else 'nothing'}", PLAIN),
             (f"direct: {len(direct.sequence())} pings, "
              + ("nothing after the first change of address, not even for Ctrl-C" if died
                 else f"{spoke} of them after the first change of address"), BAD if died else PLAIN)]
    lines.append(("VERDICT: the direct session died; Holdfast's lived through six changes of address",
                  GOOD) if lived and died else ("VERDICT: this is not what Holdfast promises", BAD))
    return lived and died, lines


def main():
    def stop(number, _):
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGHUP, stop)
    on_terminal = sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"
    columns, rows = shutil.get_terminal_size()
    on_panes = on_terminal and columns >= 76 and rows >= 22
    for program in ("cproxy", "sproxy"):
        if not os.access(Path(os.environ["HOLDFAST_BIN"]) / program, os.X_OK):
            sys.exit(f"demo: {os.environ['HOLDFAST_BIN']}/{program} is not built yet; run `make` first, or `make demo`")
    print("demo: setting up two machines and a switch in network namespaces", flush=True)
    view = Panes() if on_panes else Lines()
    good, lines, trouble = False, [], None
    try:
        with Demo(view) as world:
            try:
                good, lines = play(world)
            finally:
                view.close()
    except harness.Skip as reason:
        trouble = f"demo: {reason}"
    except harness.Failure as reason:
        lines = [(f"VERDICT: this is not what Holdfast promises: {reason}", BAD)]
    except KeyboardInterrupt:
        trouble = "demo: stopped, everything is cleaned up"
    if on_panes:
        # The other screen is gone with the end of the show; the story stays readable on this one.
        for text, colour in view.story:
            print(f"{colour}{text}{PLAIN}")
    for text, colour in lines:
        print(f"{colour}{text}{PLAIN}" if on_terminal else text)
    if trouble:
        print(trouble, file=sys.stderr)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
