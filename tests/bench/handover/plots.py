"""The results as two plots, SVG written by hand: every scenario at one round trip, and some over the round trip."""

import math

import scenarios
from outcome import NEVER, aim
from peers import ALL as PEERS

COLOURS = {"holdfast": "#c8553d", "direct": "#777777", "ssh": "#b08d2f", "autossh": "#8a5fa8", "mosh": "#1b6ca8", "mosh-watched": "#7db4dc",
           "mptcp": "#4d7c3a"}
MOST = 60_000  # ms, the end of the axis
TICKS = ((1, "1 ms"), (10, "10"), (100, "100"), (1000, "1 s"), (10_000, "10 s"), (60_000, "60 s"))
STYLE = ("<style>.g{stroke:#e2e2e2}.n{fill:#555}.h{fill:#999;font-size:11px}.v{font-weight:bold;fill:#c8553d;stroke:#fff;stroke-width:4px;paint-order:stroke}"
         "polyline{fill:none;stroke-width:2}</style>")


def part(ms):
    """Where a time lies between 1 ms (0) and 60 s (1), on a logarithmic axis."""
    return math.log(min(max(ms, 1), MOST)) / math.log(MOST)


def short(ms):
    return f"{ms:.1f} ms" if ms < 10 else f"{ms:,.0f} ms" if ms < 10_000 else f"{ms / 1000:.1f} s"


def canvas(width, height, title, under):
    return [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">{STYLE}'
            f'<rect width="{width}" height="{height}" fill="#fff"/><text x="16" y="24" font-size="16">{title}</text>'
            f'<text x="16" y="42" class="n">{under}</text>']


def legend(parts, names, x, y):
    for name in names:
        parts.append(f'<circle cx="{x}" cy="{y - 4}" r="4.5" fill="{COLOURS[name]}"/><text x="{x + 9}" y="{y}">{PEERS[name].title}</text>')
        x += 32 + 7 * len(PEERS[name].title)
    parts.append(f'<path d="M{x} {y - 11}v14" stroke="#111" stroke-width="2"/><text x="{x + 7}" y="{y}">aim</text>')


def scenarios_plot(found, rtt):
    """`found`: {case: Outcome}. One row a scenario, one lane a peer; who never came back stands at the right edge."""
    there = {case: outcome for case, outcome in found.items() if (case.rtt, case.loss, case.sessions) == (rtt, 0, 1)}
    names = [name for name in PEERS if any(case.peer == name for case in there)]
    rows = [name for name in scenarios.ALL if any(case.scenario == name for case in there)]
    lane, left, right, top = 9, 230, 90, 78
    width, row = 960, lane * len(names) + 12
    height = top + row * len(rows) + 34
    at = lambda ms: round(left + (width - left - right) * part(ms), 1)  # noqa: E731
    parts = canvas(width, height, f"How long nothing comes, at {rtt:g} ms round trip",
                   "From the new path being usable to the first new byte (both networks up: the longest stall). Logarithmic; dot: median, line: smallest to largest")
    legend(parts, names, 24, 64)
    for ms, text in TICKS:
        parts.append(f'<path d="M{at(ms)} {top}V{height - 30}" class="g"/><text x="{at(ms)}" y="{height - 12}" text-anchor="middle" class="n">{text}</text>')
    never = width - right / 2 + 6
    parts.append(f'<text x="{never}" y="{height - 12}" text-anchor="middle" class="n">never</text>')
    for number, name in enumerate(rows):
        y0 = top + number * row
        parts.append(f'<path d="M16 {y0}H{width - 16}" class="g"/><text x="16" y="{y0 + row / 2 + 4}">{scenarios.ALL[name].title}</text>')
        goal = aim(next(case for case in there if case.scenario == name))
        if goal:
            parts.append(f'<path d="M{at(goal)} {y0 + 3}v{row - 6}" stroke="#111" stroke-width="2"/>')
        for case, outcome in there.items():
            if case.scenario == name:
                y = y0 + 6 + lane * (names.index(case.peer) + 0.5)
                dot(parts, outcome, y, at, never, COLOURS[case.peer], case.peer == "holdfast")
    return "\n".join(parts) + "\n</svg>\n"


def dot(parts, outcome, y, at, never, colour, told):
    if outcome.median == NEVER:
        parts.append(f'<path d="M{never - 4} {y - 3.5}l8 7m0 -7l-8 7" stroke="{colour}" stroke-width="2"/>')
        return
    high = never if outcome.high == NEVER else at(outcome.high)
    parts.append(f'<path d="M{at(outcome.low)} {y}H{high}" stroke="{colour}" stroke-width="2"/>'
                 f'<circle cx="{at(outcome.median)}" cy="{y}" r="{4.5 if told else 4}" fill="{colour}"/>')
    if told:
        parts.append(f'<text x="{high + 8}" y="{y + 4}" class="v">{short(outcome.median)}</text>')


def rtt_plot(found):
    """Some scenarios over the round trip: one panel each."""
    there = {case: outcome for case, outcome in found.items() if (case.loss, case.sessions) == (0, 1)}
    names = [name for name in scenarios.ALL if len({case.rtt for case in there if case.scenario == name}) > 2]
    rtts = sorted({case.rtt for case in there if case.scenario in names})
    shown = [name for name in PEERS if any(case.peer == name and case.scenario in names and case.rtt != 50 for case in there)]
    wide, high, left, top, gap = 196, 250, 58, 112, 34
    width, height = left + len(names) * (wide + gap), top + high + 60
    parts = canvas(width, height, "The same over the round trip", "Medians. Dashed: the aim. On the top line: never")
    legend_without_aim(parts, shown, 24, 66)
    for number, name in enumerate(names):
        x0 = left + number * (wide + gap)
        x = lambda rtt: round(x0 + 14 + (wide - 28) * rtts.index(rtt) / max(1, len(rtts) - 1), 1)  # noqa: E731,B023
        y = lambda ms: round(top + 18 + (high - 18) * (1 - part(ms)), 1) if ms != NEVER else top  # noqa: E731
        parts.append(f'<text x="{x0}" y="{top - 14}" font-size="11" font-weight="bold">{scenarios.ALL[name].title}</text>')
        for ms, text in TICKS:
            parts.append(f'<path d="M{x0} {y(ms)}h{wide}" class="g"/>')
            if number == 0:
                parts.append(f'<text x="{x0 - 6}" y="{y(ms) + 4}" text-anchor="end" class="n">{text}</text>')
        parts.append(f'<path d="M{x0} {top}h{wide}" class="g" stroke-dasharray="2 3"/>')
        if number == 0:
            parts.append(f'<text x="{x0 - 6}" y="{top + 4}" text-anchor="end" class="n">never</text>')
        for rtt in rtts:
            parts.append(f'<text x="{x(rtt)}" y="{top + high + 18}" text-anchor="middle" class="n">{rtt:g}</text>')
        parts.append(f'<text x="{x0 + wide / 2}" y="{top + high + 38}" text-anchor="middle" class="n">round trip, ms</text>')
        goals = [(case.rtt, aim(case)) for case in sorted(there) if case.scenario == name and case.peer == "holdfast"]
        line = " ".join(f"{x(rtt)},{y(goal)}" for rtt, goal in goals)
        parts.append(f'<polyline points="{line}" stroke="#111" stroke-dasharray="5 4"/>')
        for peer in shown[::-1]:
            points = [(x(case.rtt), y(there[case].median)) for case in sorted(there) if (case.scenario, case.peer) == (name, peer)]
            parts.append(f'<polyline points="{" ".join(f"{a},{b}" for a, b in points)}" stroke="{COLOURS[peer]}"/>')
            parts += [f'<circle cx="{a}" cy="{b}" r="4" fill="{COLOURS[peer]}"/>' for a, b in points]
    return "\n".join(parts) + "\n</svg>\n"


def legend_without_aim(parts, names, x, y):
    legend(parts, names, x, y)
    parts.pop()
