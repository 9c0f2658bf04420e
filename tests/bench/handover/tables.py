"""The results as Markdown."""

import peers
import scenarios
from measuring import table
from outcome import NEVER, aim, outcomes


def number(ms):
    return "never" if ms == NEVER else f"{ms:,.0f}" if ms >= 10 else f"{ms:.1f}"


def cell(outcome, usual):
    """median [smallest, largest], and how many there were where it is not the usual number."""
    if outcome is None:
        return ""
    if outcome.low == outcome.high:
        spread = ""
    else:
        spread = f" [{number(outcome.low)}, {number(outcome.high)}]"
    return number(outcome.median) + spread + (f" (n={outcome.n})" if outcome.n != usual and outcome.median != NEVER else "")


def conditions(rtt, loss, sessions):
    words = [f"{rtt:g} ms round trip", "no loss" if not loss else f"{loss:g} % loss",
             "one session" if sessions == 1 else f"{sessions:,} sessions: the one that waited longest"]
    return ", ".join(words)


def one(found, place, usual, with_aim):
    """The table of one set of conditions."""
    there = [case for case in found if (case.rtt, case.loss, case.sessions) == place]
    columns = [name for name in peers.ALL if any(case.peer == name for case in there)]
    rows = []
    for name, scenario in scenarios.ALL.items():
        cells = {case.peer: (case, found[case]) for case in there if case.scenario == name}
        if cells:
            goal = aim(next(iter(cells.values()))[0])
            rows.append([scenario.title + " (longest stall)" * (scenario.stalls and with_aim), *([number(goal) if goal else ""] if with_aim else []),
                         *(cell(cells[peer][1], usual) if peer in cells else "" for peer in columns)])
    return table(["ms", *(["aim"] if with_aim else []), *(peers.ALL[name].title for name in columns)], rows, left=1)


def whole(kept, found):
    """All tables, and what they depend on."""
    usual = max(len(rounds) for rounds in found.values())
    entries = [kept["cases"][case.key()] for case in found]
    limit = max(entry["limit"] for entry in entries)
    answers = outcomes(found)
    places = sorted({(case.rtt, case.loss, case.sessions) for case in found}, key=lambda place: (place[2], place[1], place[0] != 50, place[0]))
    parts = [f"Milliseconds: median [smallest, largest] of {usual} rounds where nothing else is said; *never*: not within {limit:g} s, "
             "or the session had ended (tried once).", ""]
    parts += [f"Measured {line}  " for line in sorted({entry["machine"] for entry in entries})]
    for place in places:
        parts += ["", f"### {conditions(*place)[0].upper()}{conditions(*place)[1:]}", "", one(answers, place, usual, True)]
        if place == (50, 0, 1):
            typed = {case: rounds for case, rounds in found.items() if case.scenario != "overlap" and "echo" in rounds[0]}
            echoes = outcomes(typed, "echo")
            parts += ["", "The same until the first keystroke is echoed:", "", one(echoes, place, usual, False)]
    return "\n".join(parts) + "\n"


def false_alarms(kept):
    """{impairment: counts} of a file that `false_alarms` wrote."""
    head = ["impairment", "minutes", "suspicions", "links lost", "moves"]
    rows = [[entry["title"], *(f"{entry[what]:g}" for what in head[1:])] for entry in kept.values()]
    machines = sorted({entry["machine"] for entry in kept.values()})
    return "\n".join([*(f"Counted {line}  " for line in machines), "", table(head, rows, left=1), ""])
