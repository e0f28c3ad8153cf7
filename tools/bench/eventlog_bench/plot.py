"""A report as a picture: throughput against raw writes, one group of bars per number of producers.

SVG is text, so no library is needed to write it.
"""

from collections.abc import Iterator
from html import escape

from eventlog_bench.contest import EVENTSOURCING, LOG, PRODUCERS, SQLITE
from eventlog_bench.goals import RAW_GOALS, Report

WIDTH, HEIGHT = 720, 360
LEFT, TOP, BOTTOM = 56, 56, 48
BAR, GAP = 40, 6
COLOURS = {LOG: "#1f6feb", SQLITE: "#8b949e", EVENTSOURCING: "#c9a227"}
GOAL_COLOUR = "#cf222e"
_FONT = 'font-family="sans-serif" font-size="12"'


def plot(found: Report) -> str:
    """Return an SVG document."""
    floor = HEIGHT - BOTTOM
    limits = [one.ratio for one in found.speeds] + list(RAW_GOALS.values())
    scale = (floor - TOP) / (max(limits) * 1.1)
    title = f"Durable appends of {found.event_bytes} bytes per second; raw pwrite + fdatasync = 1"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" {_FONT}>',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        _text(LEFT, 20, title),
        *_legend(),
        f'<line x1="{LEFT}" y1="{floor}" x2="{WIDTH}" y2="{floor}" stroke="black"/>',
        *_groups(found, floor, scale),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _groups(found: Report, floor: int, scale: float) -> Iterator[str]:
    ratios = {(one.who, one.producers): one.ratio for one in found.speeds}
    step = (WIDTH - LEFT) // len(PRODUCERS)
    for index, producers in enumerate(PRODUCERS):
        left = LEFT + index * step + GAP
        x = left
        for who, colour in COLOURS.items():
            if (ratio := ratios.get((who, producers))) is not None:
                top = floor - ratio * scale
                yield (
                    f'<rect x="{x}" y="{top:.1f}" width="{BAR}" height="{ratio * scale:.1f}"'
                    f' fill="{colour}"/>'
                )
                yield _text(x, top - 4, f"{ratio:.2f}")
                x += BAR + GAP
        if producers in RAW_GOALS:
            y = floor - RAW_GOALS[producers] * scale
            yield _line(left, x, y)
        yield _text(left, floor + 18, f"{producers} producer{'s' * (producers > 1)}")


def _legend() -> Iterator[str]:
    for index, (who, colour) in enumerate({**COLOURS, "goal": GOAL_COLOUR}.items()):
        x = LEFT + index * 130
        yield f'<rect x="{x}" y="30" width="10" height="10" fill="{colour}"/>'
        yield _text(x + 14, 40, who)


def _line(left: float, right: float, y: float) -> str:
    return (
        f'<line x1="{left}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}" stroke="{GOAL_COLOUR}"'
        ' stroke-dasharray="4"/>'
    )


def _text(x: float, y: float, words: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}">{escape(words)}</text>'
