"""Times as a picture: for each way, how large a part of them was over by then. SVG written by hand."""

from math import log10

COLOURS = {"direct": "#7f9bb3", "protocol": "#c8553d", "one-link": "#e0a030", "raw": "#8a8a8a"}
WIDTH, HEIGHT, LEFT, TOP = 420, 220, 52, 60


def curve(times, most):
    """The steps of one way, as a path."""
    points = []
    for number, time in enumerate(sorted(times)):
        left = max(1 - (number + 1) / len(times), 0.5 / len(times))
        points.append(f"{LEFT + WIDTH * min(time, most) / most:.1f} {TOP + height_of(left):.1f}")
    return "M" + "L".join(points)


def height_of(left):
    """Where a curve is when this part is not over yet. The last hundredth matters: each tenth of a part is a third of the way up."""
    return HEIGHT * (1 + max(log10(left), -3) / 3)


def panel(parts, x, title, ways, most):
    parts.append(f'<g transform="translate({x} 0)"><text x="{LEFT}" y="{TOP - 8}" font-weight="bold">{title}</text>')
    for left, text in ((1, "none"), (0.5, "half"), (0.1, "90 %"), (0.01, "99 %"), (0.001, "99.9 %")):
        y = TOP + height_of(left)
        parts.append(f'<path d="M{LEFT} {y:.1f}h{WIDTH}" stroke="#ddd"/><text x="{LEFT - 5}" y="{y + 4:.1f}" text-anchor="end">{text}</text>')
    for time in range(0, int(most) + 1, 100):
        across = LEFT + WIDTH * time / most
        parts.append(f'<path d="M{across:.1f} {TOP}v{HEIGHT}" stroke="#ddd"/><text x="{across:.1f}" y="{TOP + HEIGHT + 15}" text-anchor="middle">{time}</text>')
    for number, (name, times) in enumerate(ways.items()):
        colour = COLOURS.get(name, "#333")
        parts.append(f'<path d="{curve(times, most)}" fill="none" stroke="{colour}" stroke-width="2"/>'
                     f'<text x="{LEFT + WIDTH - 6}" y="{TOP + HEIGHT - 8 - 16 * number}" text-anchor="end" fill="{colour}">{name}, {len(times)} of them</text>')
    parts.append("</g>")


def curves(title, under, panels):
    """`panels`: {title: {way: times in ms}}."""
    most = max(max(times) for ways in panels.values() for times in ways.values())
    most = min(-(-most // 100) * 100, 1000)  # what takes longer stands at the edge
    wide = LEFT + WIDTH + 30
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide * len(panels) + 10} {TOP + HEIGHT + 44}" font-family="sans-serif" font-size="12">'
             f'<rect width="100%" height="100%" fill="#fff"/><text x="16" y="20" font-size="16">{title}</text><text x="16" y="37" fill="#555">{under}</text>']
    for number, (name, ways) in enumerate(panels.items()):
        panel(parts, number * wide, name, ways, most)
        parts.append(f'<text x="{number * wide + LEFT + WIDTH / 2}" y="{TOP + HEIGHT + 32}" text-anchor="middle">ms</text>')
    return "\n".join(parts) + "\n</svg>\n"
