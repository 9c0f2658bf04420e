#!/usr/bin/python3
"""Draws the diagrams of docs/report.md: each NAME.txt beside this script becomes NAME.svg.

    docs/diagrams/draw.py             draw all of them
    docs/diagrams/draw.py --check     say which .svg is not what its .txt says (exit status 1)

The first line of a description says what kind of picture it is. `#` begins a comment line, `|` in a text is a new line.

    sequence                          who says what to whom, from top to bottom
      actors a b c                    the columns; `gaps 150 320` their distances
      a -> b : text                   over a local TCP connection
      a => b : text                   a frame on the link
      a =x b : text                   a frame that is lost on its way
      a -x b : text                   a packet that is lost on its way
      a >< b : text / text            two frames that cross: one from a, one from b
      note a : text                   something that happens at a (`note a b`: at both, between them)
      band : text                     something that happens to the network
      link text                       from here on there is a link ...
      cut                             ... until here
      time : text                     a mark at the left
      space                           some room

    packet                            fields of a header, four bytes a row: `BYTES name`, `rest name`
    chain                             boxes in a row: `box name / below`, between them `wire text / below` (`link text / below`)
    stream                            one byte stream: `title : text`, then `segment text / text below / colour`, and
                                      `mark text` for the position between two segments
"""

import sys
from html import escape
from pathlib import Path

HERE = Path(__file__).resolve().parent
SANS = "DejaVu Sans, Verdana, Helvetica, sans-serif"
MONO = "DejaVu Sans Mono, Menlo, Consolas, monospace"
INK, PALE, LINE = "#1d2733", "#5b6875", "#c9d1d9"
FRAME, LOCAL, LOST, EVENT = "#0b5cad", "#3d4854", "#c0392b", "#b4690e"
FILLS = {"blue": "#dcebfa", "green": "#dff2e1", "grey": "#eceff2", "orange": "#fdebd3", "white": "#ffffff"}


def width_of(text, size, mono=False):
    """About how wide a line is; the fonts are wide ones, so this is on the safe side."""
    if mono:
        return len(text) * size * 0.602
    return sum(0.33 if c in "il.,:;'|!() " else 0.9 if c in "mwMW" else 0.68 if c.isupper() else 0.59 for c in text) * size


class Picture:
    def __init__(self):
        self.parts, self.right, self.bottom = [], 0, 0

    def reach(self, x, y):
        self.right, self.bottom = max(self.right, x), max(self.bottom, y)

    def line(self, x1, y1, x2, y2, colour=INK, width=1.0, dash=None):
        extra = f' stroke-dasharray="{dash}"' if dash else ""
        self.parts.append(f'<line x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}" stroke="{colour}" stroke-width="{width:g}"{extra}/>')
        self.reach(max(x1, x2), max(y1, y2))

    def box(self, x, y, w, h, fill="#ffffff", stroke=LINE, radius=3):
        edge = f' stroke="{stroke}"' if stroke else ""
        self.parts.append(f'<rect x="{x:g}" y="{y:g}" width="{w:g}" height="{h:g}" rx="{radius}" fill="{fill}"{edge}/>')
        self.reach(x + w, y + h)

    def head(self, x, y, dx, dy, colour):
        """An arrow's head at x, y, coming from the direction dx, dy."""
        length = (dx * dx + dy * dy) ** 0.5
        ux, uy = dx / length, dy / length
        points = [(x, y), (x - 9 * ux + 4 * uy, y - 9 * uy - 4 * ux), (x - 9 * ux - 4 * uy, y - 9 * uy + 4 * ux)]
        self.parts.append(f'<polygon points="{" ".join(f"{a:.1f},{b:.1f}" for a, b in points)}" fill="{colour}"/>')

    def text(self, x, y, text, size=12, anchor="middle", colour=INK, mono=False, bold=False, halo=False, italic=False):
        style = f'font-family="{MONO if mono else SANS}" font-size="{size:g}" text-anchor="{anchor}" fill="{colour}"'
        style += ' font-weight="bold"' if bold else ""
        style += ' font-style="italic"' if italic else ""
        if halo:  # drawn twice, because not every renderer knows paint-order
            self.parts.append(f'<text x="{x:g}" y="{y:g}" {style} stroke="#ffffff" stroke-width="4" stroke-linejoin="round">{escape(text)}</text>')
        self.parts.append(f'<text x="{x:g}" y="{y:g}" {style}>{escape(text)}</text>')
        wide = width_of(text, size, mono) * (1.08 if bold else 1)
        self.reach(x + (wide if anchor == "start" else wide / 2 if anchor == "middle" else 0), y + 4)

    def svg(self, title):
        w, h = round(self.right + 14), round(self.bottom + 12)
        return "\n".join([
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{w}" height="{h}" viewBox="0 0 {w} {h}" role="img">',
            f"<title>{escape(title)}</title>",
            f'<rect width="{w}" height="{h}" fill="#ffffff"/>', *self.parts, "</svg>", ""])


class Sequence:
    """Draws from top to bottom; `y` is where the next thing begins."""

    SLANT = 12  # how far a frame falls on its way: the path takes time

    def __init__(self):
        self.picture, self.y = Picture(), 58
        self.x, self.actors, self.links = {}, [], []
        self.open_link = None
        self.left = 16

    def draw(self, lines):
        words = [line.split() for line in lines]
        if any(w[0] == "time" for w in words):
            self.left = 112
        self.actors = next(w[1:] for w in words if w[0] == "actors")
        gaps = next(([int(n) for n in w[1:]] for w in words if w[0] == "gaps"), [150, 330, 150])
        x = self.left + 46
        for number, actor in enumerate(self.actors):
            self.x[actor] = x
            x += gaps[number] if number < len(gaps) else 0
        for line in lines:
            self.one(line)
        if self.open_link:
            self.cut(fade=True)
        return self.finished()

    def one(self, line):
        head, _, text = (part.strip() for part in line.partition(" : "))
        words = head.split()
        if words[0] in ("actors", "gaps"):
            return
        if words[0] == "note":
            self.note(words[1:], text)
        elif words[0] == "band":
            self.band(text)
        elif words[0] == "link":
            self.open_link = (self.y, " ".join(words[1:]))
            self.y += 22
        elif words[0] == "cut":
            self.cut()
        elif words[0] == "time":
            self.picture.text(8, self.y + 14, text, 11, "start", PALE, italic=True)
        elif words[0] == "space":
            self.y += 14
        elif words[1] == "><":
            self.crossing(words[0], words[2], *(part.strip() for part in text.split(" / ")))
        else:
            self.arrow(words[0], words[1], words[2], text)

    def arrow(self, source, kind, target, text):
        colour, wide = {"->": (LOCAL, 1.2), "=>": (FRAME, 1.8), "=x": (LOST, 1.8), "-x": (LOST, 1.2)}[kind]
        lines = text.split("|")
        self.y += 13 * len(lines) + 6
        x1, x2 = self.x[source], self.x[target]
        fall = self.SLANT if abs(x2 - x1) > 200 else 4
        y1, y2 = self.y, self.y + fall
        self.label(x1, x2, y1 - 5 + (fall / 2 if fall > 4 else 0), lines, kind[0] != "-", colour)
        if kind.endswith("x"):
            part = 0.62
            xe, ye = x1 + (x2 - x1) * part, y1 + (y2 - y1) * part
            self.picture.line(x1, y1, xe, ye, colour, wide, "6 4")
            for side in (-1, 1):
                self.picture.line(xe - 6, ye - 6 * side, xe + 6, ye + 6 * side, colour, 2)
        else:
            self.picture.line(x1, y1, x2 - (3 if x2 > x1 else -3), y2, colour, wide)
            self.picture.head(x2 - (1 if x2 > x1 else -1), y2, x2 - x1, y2 - y1, colour)
        self.y = y2 + 7

    def label(self, x1, x2, y, lines, mono, colour):
        for number, line in enumerate(lines):
            self.picture.text((x1 + x2) / 2, y - 13 * (len(lines) - 1 - number) - 2, line, 11.5 if mono else 11,
                              mono=mono, colour=colour, halo=True)

    def crossing(self, a, b, text_a, text_b):
        xa, xb = self.x[a], self.x[b]
        self.y += 20
        top, low = self.y, self.y + 34
        for x1, x2 in ((xa, xb), (xb, xa)):
            self.picture.line(x1, top, x2 - (3 if x2 > x1 else -3), low, FRAME, 1.8)
            self.picture.head(x2 - (1 if x2 > x1 else -1), low, x2 - x1, low - top, FRAME)
        self.picture.text(xa + 10, top - 5, text_a, 11.5, "start", FRAME, mono=True, halo=True)
        self.picture.text(xb - 10, top - 5, text_b, 11.5, "end", FRAME, mono=True, halo=True)
        self.y = low + 9

    def note(self, actors, text):
        lines = text.split("|")
        wide = max(width_of(line, 11) for line in lines) + 16
        xs = [self.x[actor] for actor in actors]
        if len(xs) > 1:
            wide = max(wide, max(xs) - min(xs) + 60)
        middle = (max(xs) + min(xs)) / 2
        left = max(middle - wide / 2, 6)
        self.y += 3
        high = 14 * len(lines) + 8
        self.picture.box(left, self.y, wide, high, "#fff9e3", "#dcc988")
        for number, line in enumerate(lines):
            self.picture.text(left + wide / 2, self.y + 15 + 14 * number, line, 11)
        self.y += high + 6

    def band(self, text):
        lines = text.split("|")
        x1, x2 = self.x[self.actors[0]] - 40, self.x[self.actors[-1]] + 40
        if "cproxy" in self.x and "sproxy" in self.x:
            x1, x2 = self.x["cproxy"] + 8, self.x["sproxy"] - 8
        self.y += 5
        high = 14 * len(lines) + 10
        self.picture.box(x1, self.y, x2 - x1, high, FILLS["orange"], "#e8b878", 2)
        for number, line in enumerate(lines):
            self.picture.text((x1 + x2) / 2, self.y + 16 + 14 * number, line, 11, colour=EVENT, bold=True)
        self.y += high + 6

    def cut(self, fade=False):
        top, name = self.open_link
        self.links.append((top, self.y + (4 if fade else 0), name))
        self.open_link = None
        self.y += 4

    def finished(self):
        body, bottom = self.picture, self.y + 6
        front = Picture()
        for top, low, name in self.links:
            x1, x2 = self.x["cproxy"], self.x["sproxy"]
            front.box(x1, top, x2 - x1, low - top, "#eef5fc", None, 0)
            front.text((x1 + x2) / 2, top + 14, name, 10.5, colour=PALE, italic=True)
        for actor in self.actors:
            x = self.x[actor]
            front.line(x, 40, x, bottom, "#9aa5b1", 1.2, "1 0" if actor.endswith("proxy") else "4 3")
            front.box(x - 42, 14, 84, 26, FILLS["blue"] if actor.endswith("proxy") else FILLS["grey"], "#9aa5b1", 4)
            front.text(x, 31.5, actor, 12.5, bold=True)
        front.parts += body.parts
        front.reach(max(body.right, front.right), bottom)
        return front


def packet(lines):
    """Four bytes a row; a field of eight bytes takes two rows."""
    picture, column, left, top, row = Picture(), 140, 46, 34, 34
    for byte in range(4):
        picture.text(left + column * byte + 4, top - 8, str(byte), 10.5, "start", PALE, mono=True)
    at = 0
    for line in lines:
        size, _, name = line.partition(" ")
        shade = FILLS["grey"] if name.startswith("payload") else FILLS["blue"] if at % 8 or size != "8" else FILLS["white"]
        if size == "rest":
            picture.box(left, top + at // 4 * row, 4 * column, row, FILLS["grey"], "#9aa5b1", 0)
            picture.text(left + 2 * column, top + at // 4 * row + 21, name, 12)
            picture.text(left - 8, top + at // 4 * row + 21, str(at), 10.5, "end", PALE, mono=True)
            continue
        count = int(size)
        x, y = left + at % 4 * column, top + at // 4 * row
        wide, high = min(count, 4) * column, max(1, count // 4) * row
        picture.box(x, y, wide, high, shade if count < 8 else FILLS["white"], "#9aa5b1", 0)
        picture.text(x + wide / 2, y + high / 2 + 4, name, 12.5, bold=True)
        if at % 4 == 0:
            for step in range(max(1, count // 4)):
                picture.text(left - 8, y + 21 + step * row, str(at + 4 * step), 10.5, "end", PALE, mono=True)
        at += count
    return picture


def chain(lines):
    """Machines side by side."""
    picture, x, y = Picture(), 16, 30
    for line in lines:
        kind, _, text = line.partition(" ")
        name, below = (part.strip() for part in text.split(" / "))
        if kind == "box":
            proxy = name.endswith("proxy")
            picture.box(x, y, 92, 46, FILLS["blue" if proxy else "grey"], "#9aa5b1", 4)
            picture.text(x + 46, y + 28, name, 13, bold=True)
            picture.text(x + 46, y + 64, below, 10.5, colour=PALE, italic=True)
            x += 92
        else:
            wide = 236 if kind == "link" else 84
            colour = FRAME if kind == "link" else LOCAL
            for offset in (-2.5, 2.5) if kind == "link" else (0,):
                picture.line(x + 2, y + 23 + offset, x + wide - 2, y + 23 + offset, colour, 1.6)
            picture.text(x + wide / 2, y + 13, name, 12 if kind == "link" else 11, colour=colour, bold=kind == "link")
            for number, words in enumerate(below.split("|")):
                picture.text(x + wide / 2, y + 42 + 14 * number, words, 10.5, colour=PALE, italic=True)
            x += wide
    return picture


def stream(lines):
    picture, x, y = Picture(), 16, 16
    for line in lines:
        kind, _, text = line.partition(" ")
        if kind == "title":
            x, y = 16, y + (0 if y == 16 else 86)
            picture.text(16, y + 12, text.lstrip(": "), 12.5, "start", bold=True)
            y += 24
        elif kind == "segment":
            name, below, colour = (part.strip() for part in text.split(" / "))
            picture.box(x, y, 150, 30, FILLS[colour], "#9aa5b1", 0)
            picture.text(x + 75, y + 19, name, 12)
            picture.text(x + 75, y + 62, below, 10.5, colour=PALE, italic=True)
            x += 150
        elif kind == "mark":
            picture.line(x, y - 4, x, y + 36, FRAME, 2)
            picture.text(x, y + 48, text, 11, colour=FRAME, mono=True, halo=True)
    return picture


def drawn(description):
    lines = [line.strip() for line in description.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    kind, _, title = lines[0].partition(" : ")
    makers = {"sequence": lambda body: Sequence().draw(body), "packet": packet, "chain": chain, "stream": stream}
    return makers[kind.strip()](lines[1:]).svg(title)


def main():
    check = sys.argv[1:] == ["--check"]
    stale = []
    for source in sorted(HERE.glob("*.txt")):
        target, svg = source.with_suffix(".svg"), drawn(source.read_text())
        if check:
            if not target.exists() or target.read_text() != svg:
                stale.append(target.name)
        else:
            target.write_text(svg)
    if stale:
        print(f"not what their .txt says (run docs/diagrams/draw.py): {', '.join(stale)}")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
