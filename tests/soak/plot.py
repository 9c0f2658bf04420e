"""The plot of a soak: memory, descriptors, sessions and cuts over time, as an SVG written by hand."""

WIDTH, LEFT, RIGHT = 960, 70, 20
HEIGHTS, GAP, TOP, BOTTOM = (190, 150, 150), 46, 54, 40
POINTS_MAX = 400  # of one line: more would not be seen
COLOURS = {"cproxy": "#1b6ca8", "sproxy": "#c8553d", "sessions": "#4d7c3a", "cut": "#777777", "move": "#8a5fa8"}


def nice(most):
    """A round number a little above, and a round step."""
    step = 1
    while most / step > 5:
        step *= 2 if str(step)[0] in "15" else 2.5
        step = int(step)
    top = -(-most // step) * step or step
    return top, step


class Panel:
    def __init__(self, parts, top, height, title, seconds, most):
        self.parts, self.y0, self.height, self.seconds = parts, top, height, seconds
        self.most, step = nice(most)
        parts.append(f'<text x="{LEFT}" y="{top - 8}" class="t">{title}</text>')
        for value in range(0, int(self.most) + 1, step):
            y = self.y(value)
            parts.append(f'<path d="M{LEFT} {y}H{WIDTH - RIGHT}" class="g"/>'
                         f'<text x="{LEFT - 8}" y="{y + 4}" class="n">{value}</text>')

    def x(self, second):
        return round(LEFT + (WIDTH - LEFT - RIGHT) * second / self.seconds, 1)

    def y(self, value):
        return round(self.y0 + self.height * (1 - value / self.most), 1)

    def line(self, points, colour, dashed=False):
        every = -(-len(points) // POINTS_MAX)
        points = [points[i] for i in range(0, len(points), every)] + [points[-1]]
        path = " ".join(f"{self.x(second):g},{self.y(value):g}" for second, value in points)
        dashes = ' stroke-dasharray="4 3"' if dashed else ""
        self.parts.append(f'<polyline points="{path}" stroke="{colour}"{dashes}/>')

    def marks(self, seconds, colour, y):
        ticks = "".join(f"M{self.x(second):g} {y}v8" for second in seconds)
        self.parts.append(f'<path d="{ticks}" stroke="{colour}"/>')

    def span(self, begin, end, text, shaded):
        if shaded:
            self.parts.append(f'<path d="M{self.x(begin):g} {self.y0}H{self.x(end):g}V{self.y0 + self.height}'
                              f'H{self.x(begin):g}z" class="s"/>')
        if self.x(end) - self.x(begin) > 7 * len(text):
            self.parts.append(f'<text x="{self.x(begin) + 3:g}" y="{self.y0 + 12}" class="h">{text}</text>')


def draw(path, title, samples, cuts, moves, phases):
    """`samples`: dicts with t, sessions and for each proxy (rss, shared in MiB, descriptors); `cuts` and `moves`: when;
    `phases`: (begin, end, name)."""
    seconds = max(sample["t"] for sample in samples)
    total = TOP + sum(HEIGHTS) + GAP * (len(HEIGHTS) - 1) + BOTTOM
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {total}" font-family="sans-serif"'
             f' font-size="12"><style>.g{{stroke:#ddd}}.t{{font-weight:bold}}.n{{text-anchor:end;fill:#555}}'
             f'.s{{fill:#e8dcb8;fill-opacity:.35;stroke:none}}.h{{font-size:10px;fill:#876}}'
             f'polyline{{fill:none;stroke-width:1.4}}</style><rect width="{WIDTH}" height="{total}" fill="#fff"/>'
             f'<text x="{LEFT}" y="20" font-size="15">{title}</text>']
    of = lambda name, what: [(s["t"], s[name][what]) for s in samples]  # noqa: E731
    most = lambda what: max(max(s["cproxy"][what], s["sproxy"][what]) for s in samples)  # noqa: E731

    panels, top = [], TOP
    for title, height, limit in zip(
            ("Memory, MiB: resident, and dashed the part of it that is shared (bytes not acknowledged yet)",
             "Descriptors", "Sessions; ticks at the bottom: the link is cut, at the top: the tunnel moved to another link"),
            HEIGHTS, (most("rss"), most("descriptors"), max(s["sessions"] for s in samples))):
        panels.append(Panel(parts, top, height, title, seconds, limit * 1.05))
        top += height + GAP
    for panel in panels:
        for begin, end, name in phases:
            panel.span(begin, end, name if panel is panels[0] else "", shaded=name == "idle")
    for name in ("cproxy", "sproxy"):
        panels[0].line(of(name, "rss"), COLOURS[name])
        panels[0].line(of(name, "shared"), COLOURS[name], dashed=True)
        panels[1].line(of(name, "descriptors"), COLOURS[name])
    panels[2].line([(s["t"], s["sessions"]) for s in samples], COLOURS["sessions"])
    panels[2].marks(cuts, COLOURS["cut"], panels[2].y0 + panels[2].height - 8)
    panels[2].marks(moves, COLOURS["move"], panels[2].y0)
    for place, name in ((700, "cproxy"), (780, "sproxy")):
        parts.append(f'<path d="M{place} {TOP - 30}h18" stroke="{COLOURS[name]}" stroke-width="2"/>'
                     f'<text x="{place + 23}" y="{TOP - 26}">{name}</text>')
    _, step = nice(seconds)
    for second in range(0, int(seconds) + 1, max(1, int(step))):
        parts.append(f'<text x="{panels[-1].x(second)}" y="{total - 18}" text-anchor="middle">{second} s</text>')
    path.write_text("\n".join(parts) + "\n</svg>\n")
