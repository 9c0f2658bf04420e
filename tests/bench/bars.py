"""Results of `peers` as a picture: one panel a measure, one bar a way, SVG written by hand."""

import statistics

OURS = {"clear": "#c8553d", "tls": "#c8553d"}
LIMITS = {"direct": "#c9d1d9", "copy": "#c9d1d9", "framed": "#c9d1d9", "sealed": "#c9d1d9"}  # not for use: what there is to be had
OTHERS = "#7f9bb3"
PANELS = [("up", "1 stream up, MB/s"), ("down", "1 stream down, MB/s"), ("up8", "8 streams up, MB/s"),
          ("up_cpu", "CPU of both hops, up, s/GB"), ("down_cpu", "CPU of both hops, down, s/GB"), ("small_p50", "64 bytes there and back, median, us")]
BAR, GAP, LEFT, WIDTH, COLUMNS = 15, 5, 70, 330, 3


def panel(parts, x, y, title, values):
    """`values`: {way: the values of all rounds}. The bar is the median, the line the smallest to the largest."""
    most = max(max(each) for each in values.values())
    across = WIDTH - LEFT - 60

    def at(value):
        return round(x + LEFT + across * value / most, 1)

    parts.append(f'<text x="{x}" y="{y + 4}" font-weight="bold">{title}</text>')
    for number, (name, each) in enumerate(values.items()):
        top, middle = y + 16 + number * (BAR + GAP), statistics.median(each)
        colour = OURS.get(name) or LIMITS.get(name) or OTHERS
        text = f"{middle:,.0f}" if middle >= 20 else f"{middle:.2f}"
        parts.append(f'<text x="{x + LEFT - 6}" y="{top + 11}" text-anchor="end">{name}</text>'
                     f'<rect x="{x + LEFT}" y="{top}" width="{round(at(middle) - x - LEFT, 1)}" height="{BAR}" fill="{colour}"/>'
                     f'<path d="M{at(min(each))} {top + BAR / 2}H{at(max(each))}" stroke="#333"/>'
                     f'<text x="{at(max(each)) + 5}" y="{top + 11}">{text}</text>')


def bars(results, ways, under):
    """`results`: {(way, measure): values}. The measures that are there."""
    panels = [(title, {name: results[name, key] for name in ways if (name, key) in results}) for key, title in PANELS]
    panels = [(title, values) for title, values in panels if values]
    height = 34 + len(ways) * (BAR + GAP)
    rows = -(-len(panels) // COLUMNS)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {COLUMNS * WIDTH + 30} {rows * height + 66}" font-family="sans-serif" '
             f'font-size="12"><rect width="100%" height="100%" fill="#fff"/><text x="16" y="24" font-size="16">Two relays in a row, on loopback</text>'
             f'<text x="16" y="42" fill="#555">{under}</text>']
    for number, (title, values) in enumerate(panels):
        panel(parts, 16 + number % COLUMNS * WIDTH, 66 + number // COLUMNS * height, title, values)
    return "\n".join(parts) + "\n</svg>\n"
