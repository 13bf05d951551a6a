"""The report's drawings: plain SVG text, no script, colours left to the page so that light and dark both work.

Every drawing has a title and a description for those who cannot see it, and every
string that comes from outside is escaped here, at the place where it becomes markup.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _LEFT, _RIGHT = 1000, 64, 14
_ROW = 22
COLOURS = 8
"""The page defines this many colours, ``--c0`` and on."""

Points = Sequence[tuple[float, float]]
"""Times and values, in order."""


def clock(seconds: float) -> str:
    """A time as people write it: 7.5 s, 3:20, 1:02:03."""
    if seconds < 60:
        return f"{seconds:.1f}".removesuffix(".0") + " s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def lines(
    title: str,
    about: str,
    series: Mapping[str, Points],
    span: tuple[float, float],
    shaded: Sequence[tuple[float, float]] = (),
) -> str:
    """Lines over time, coloured in their order, with stretches of time shaded behind them."""
    height, bottom, top = 220, 26, 10
    steps = _steps(max((value for points in series.values() for _, value in points), default=0))
    high, low = top, height - bottom

    def y(value: float) -> float:
        return low - (low - high) * value / steps[-1]

    marks = [
        f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(step):.1f}" y2="{y(step):.1f}"/>'
        f'<text x="{_LEFT - 8}" y="{y(step) + 4:.1f}" text-anchor="end">{step:g}</text>'
        for step in steps
    ]
    for start, end in shaded:
        left, right = sorted((_x(start, span), _x(end, span)))
        marks.append(
            f'<rect class="gap" x="{left:.1f}" y="{high}" width="{max(2, right - left):.1f}" height="{low - high}">'
            f"<title>gap from {clock(start)} to {clock(end)}</title></rect>"
        )
    for number, (name, points) in enumerate(series.items()):
        places = [f"{_x(at, span):.1f},{y(value):.1f}" for at, value in points]
        marks.append(
            f'<path class="line" style="stroke:var(--c{number % COLOURS})" d="M{" L".join(places + places[-1:])}">'
            f"<title>{escape(name)}</title></path>"
        )
    return _svg(title, about, height, marks + _time_axis(span, low))


def gantt(title: str, about: str, rows: Sequence[tuple[str, str, float, float, int]], span: tuple[float, float]) -> str:
    """One bar a row, from when to when: label, what hovering says, start, end, colour."""
    low = len(rows) * 14 + 8
    marks = []
    for number, (label, told, start, end, colour) in enumerate(rows):
        left, right = _x(start, span), _x(end, span)
        y = number * 14 + 5
        marks.append(
            f'<text x="{_LEFT - 8}" y="{y + 8}" text-anchor="end" class="small">{escape(label)}</text>'
            f'<rect x="{left:.1f}" y="{y}" width="{max(2, right - left):.1f}" height="9" rx="2"'
            f' style="fill:var(--c{colour % COLOURS})"><title>{escape(told)}</title></rect>'
        )
    return _svg(title, about, low + 26, marks + _time_axis(span, low))


def bars(title: str, about: str, rows: Sequence[tuple[str, float, str]]) -> str:
    """One bar a row, as long as its number: label, number, and how the number is written."""
    most, left, right = max((value for _, value, _ in rows), default=0) or 1, 150, 130
    marks = []
    for number, (label, value, written) in enumerate(rows):
        y, width = number * _ROW, (_WIDTH - left - right) * value / most
        marks.append(
            f'<text x="{left - 10}" y="{y + 15}" text-anchor="end">{escape(label)}</text>'
            f'<rect x="{left}" y="{y + 4}" width="{max(1, width):.1f}" height="{_ROW - 8}" rx="2" class="bar"/>'
            f'<text x="{left + width + 8:.1f}" y="{y + 15}">{escape(written)}</text>'
        )
    return _svg(title, about, len(rows) * _ROW + 4, marks)


def curves(
    title: str,
    about: str,
    series: Mapping[str, Points],
    across: str,
    up: str,
    spans: tuple[tuple[float, float], tuple[float, float]] = ((0.0, 1.0), (0.0, 1.0)),
) -> str:
    """Lines over any two quantities, coloured in their order; ``spans`` are from where to where each axis goes."""
    plot = _Plot(*spans)
    marks = plot.axes(across, up)
    for number, (name, points) in enumerate(series.items()):
        places = [f"{plot.x(a):.1f},{plot.y(b):.1f}" for a, b in points]
        if places:
            marks.append(
                f'<path class="line" style="stroke:var(--c{number % COLOURS})" d="M{" L".join(places + places[-1:])}">'
                f"<title>{escape(name)}</title></path>"
            )
    return _svg(title, about, plot.height, marks)


def scatter(title: str, about: str, points: Sequence[tuple[float, float, str, int]], across: str, up: str) -> str:
    """Points, each with its name and colour; a name is left to hovering where there is no room to write it."""
    plot = _Plot(_around([point[0] for point in points]), _around([point[1] for point in points]))
    marks = plot.axes(across, up)
    taken = [(plot.x(a) - 7, plot.y(b) - 7, plot.x(a) + 7, plot.y(b) + 7) for a, b, _, _ in points]
    for a, b, name, colour in points:
        x, y = plot.x(a), plot.y(b)
        marks.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5.5" style="fill:var(--c{colour % COLOURS})">'
            f"<title>{escape(name)}: {a:.4g}, {b:.4g}</title></circle>"
        )
        wide = 6.6 * len(name)
        for left, middle in ((x + 10, y), (x - 10 - wide, y), (x - wide / 2, y - 16), (x - wide / 2, y + 16)):
            place = (left, middle - 8, left + wide, middle + 8)
            inside = left >= _LEFT and left + wide <= _WIDTH and middle - 8 >= 0 and middle + 8 <= plot.low
            if inside and not any(_overlap(place, other) for other in taken):
                taken.append(place)
                marks.append(f'<text x="{left:.1f}" y="{middle + 4:.1f}">{escape(name)}</text>')
                break
    return _svg(title, about, plot.height, marks)


def heat(
    title: str,
    about: str,
    rows: Sequence[str],
    columns: Sequence[str],
    values: Sequence[Sequence[float]],
    across: str,
    up: str,
) -> str:
    """A number in every cell, darker the larger its share of its row: names of rows and columns, and of the axes."""
    left, top, high = 170, 118, 26
    wide = min(96.0, (_WIDTH - left - _RIGHT) / max(1, len(columns)))
    marks = [
        f'<text x="{left + wide * len(columns) / 2:.1f}" y="14" text-anchor="middle">{escape(across)}</text>',
        f'<text x="16" y="{top + high * len(rows) / 2:.1f}" text-anchor="middle"'
        f' transform="rotate(-90 16 {top + high * len(rows) / 2:.1f})">{escape(up)}</text>',
    ]
    for number, name in enumerate(columns):
        x = left + wide * (number + 0.5) + 4
        marks.append(
            f'<text x="{x:.1f}" y="{top - 8}" transform="rotate(-42 {x:.1f} {top - 8})">{escape(_cut(name))}</text>'
        )
    for row, (name, cells) in enumerate(zip(rows, values, strict=True)):
        y, whole = top + high * row, sum(cells) or 1
        marks.append(f'<text x="{left - 8}" y="{y + 17}" text-anchor="end">{escape(_cut(name))}</text>')
        for column, value in enumerate(cells):
            x, share = left + wide * column, value / whole
            told = f"{name}, {columns[column]}: {value:g} ({share:.0%})"
            marks.append(
                f'<rect x="{x + 1:.1f}" y="{y + 1}" width="{wide - 2:.1f}" height="{high - 2}" rx="2" class="bar"'
                f' style="fill-opacity:{0.05 + 0.9 * share:.2f}"><title>{escape(told)}</title></rect>'
            )
            if value and wide > 7 * len(f"{value:g}"):
                ink = "var(--paper)" if share > 0.5 else "var(--ink)"
                marks.append(
                    f'<text x="{x + wide / 2:.1f}" y="{y + 17}" text-anchor="middle" style="fill:{ink};'
                    f'pointer-events:none">{value:g}</text>'
                )
    return _svg(title, about, top + high * len(rows) + 6, marks)


def spread(
    title: str,
    about: str,
    values: Sequence[float],
    within: tuple[float, float],
    limits: Mapping[str, float],
    across: str,
) -> str:
    """How often each value came, those ``within`` two edges darker, with named limits as upright lines."""
    span = _around([*values, *limits.values()])
    many = max(10, min(60, len(values) // 12))
    wide = (span[1] - span[0]) / many
    counts = [0] * many
    for value in values:
        counts[min(many - 1, int((value - span[0]) / wide))] += 1
    plot = _Plot(span, (0.0, max(counts, default=1) * 1.12), 250, 26, 200)
    marks = plot.across_axis(across)
    for number, count in enumerate(counts):
        left, middle = span[0] + number * wide, span[0] + (number + 0.5) * wide
        if count:
            shade = 0.85 if within[0] <= middle <= within[1] else 0.3
            marks.append(
                f'<rect class="bar" style="fill-opacity:{shade}" x="{plot.x(left) + 0.5:.1f}" y="{plot.y(count):.1f}"'
                f' width="{max(1.0, plot.x(left + wide) - plot.x(left) - 1):.1f}"'
                f' height="{plot.low - plot.y(count):.1f}"><title>about {middle:.4g}: {count}</title></rect>'
            )
    return _svg(title, about, plot.height, marks + _limits(limits, plot, 12))


def forest(
    title: str,
    about: str,
    rows: Sequence[tuple[str, float, float, float, str, int]],
    limits: Mapping[str, float],
    across: str,
) -> str:
    """One figure a row with its interval: label, low, value, high, how it is written, colour; named limits upright."""
    ends = [end for _, low, value, high, _, _ in rows for end in (low, value, high) if math.isfinite(end)]
    high = 26 + len(rows) * _ROW
    plot = _Plot(_around([*ends, *limits.values()]), (0.0, 1.0), high + 46, 26, high, 190, 230)
    marks = plot.across_axis(across) + _limits(limits, plot, 12)
    for number, (label, left, value, right, written, colour) in enumerate(rows):
        y, ink = 26 + number * _ROW + 12, f"var(--c{colour % COLOURS})"
        marks.append(f'<text x="180" y="{y + 4}" text-anchor="end">{escape(_cut(label))}</text>')
        marks.append(f'<text x="{_WIDTH - 222}" y="{y + 4}">{escape(written)}</text>')
        if math.isfinite(left):
            marks.append(
                f'<line x1="{plot.x(left):.1f}" x2="{plot.x(right):.1f}" y1="{y}" y2="{y}"'
                f' style="stroke:{ink};stroke-width:2.5;stroke-linecap:round"/>'
            )
        if math.isfinite(value):
            marks.append(
                f'<circle cx="{plot.x(value):.1f}" cy="{y}" r="4.5" style="fill:{ink}">'
                f"<title>{escape(label)}: {escape(written)}</title></circle>"
            )
    return _svg(title, about, plot.height, marks)


@dataclass(frozen=True, slots=True)
class _Plot:
    """An area with two axes, each from one number to another."""

    across: tuple[float, float]
    up: tuple[float, float]
    height: int = 380
    high: int = 12
    low: int = 330
    left: int = _LEFT
    right: int = _RIGHT

    def x(self, value: float) -> float:
        start, end = self.across
        share = min(1.0, max(0.0, (value - start) / ((end - start) or 1)))
        return self.left + (_WIDTH - self.left - self.right) * share

    def y(self, value: float) -> float:
        start, end = self.up
        return self.low - (self.low - self.high) * min(1.0, max(0.0, (value - start) / ((end - start) or 1)))

    def across_axis(self, across: str) -> list[str]:
        end = _WIDTH - self.right
        marks = [f'<line class="axis" x1="{self.left}" x2="{end}" y1="{self.low}" y2="{self.low}"/>']
        for step in _between(*self.across):
            x = self.x(step)
            marks.append(
                f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="{self.low}" y2="{self.low + 4}"/>'
                f'<text x="{x:.1f}" y="{self.low + 19}" text-anchor="middle">{step:g}</text>'
            )
        marks.append(f'<text x="{end}" y="{self.height - 8}" text-anchor="end">{escape(across)}</text>')
        return marks

    def axes(self, across: str, up: str) -> list[str]:
        marks = self.across_axis(across)
        for step in _between(*self.up):
            y = self.y(step)
            marks.append(
                f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
                f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{step:g}</text>'
            )
        middle = (self.low + self.high) / 2
        marks.append(
            f'<text x="8" y="{middle:.1f}" text-anchor="middle" transform="rotate(-90 8 {middle:.1f})">'
            f"{escape(up)}</text>"
        )
        return marks


def _limits(limits: Mapping[str, float], plot: _Plot, y: float) -> list[str]:
    """Upright lines with their names above; of two that stand close, the left one's name ends at its line."""
    marks, places = [], sorted((plot.x(value), name) for name, value in limits.items())
    for number, (x, name) in enumerate(places):
        close = number + 1 < len(places) and places[number + 1][0] - x < 7.0 * len(name)
        anchor, at = ("end", x + 3) if close else ("start", x - 3)
        marks.append(
            f'<line class="axis" stroke-dasharray="4 4" x1="{x:.1f}" x2="{x:.1f}" y1="{y + 6}" y2="{plot.low}"/>'
            f'<text x="{at:.1f}" y="{y}" text-anchor="{anchor}">{escape(name)}</text>'
        )
    return marks


def _around(values: Sequence[float]) -> tuple[float, float]:
    """A little more than all the values span."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    edge = (high - low) * 0.08 or abs(high) * 0.1 or 1.0
    return low - edge, high + edge


def _between(low: float, high: float) -> list[float]:
    """Round numbers from one to another."""
    rough = (high - low) / 5 or 1.0
    unit = 10 ** math.floor(math.log10(rough))
    step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(step * number, 12) for number in range(first, last + 1)]


def _overlap(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _cut(name: str) -> str:
    return name if len(name) <= 20 else f"{name[:19]}…"


def _svg(title: str, about: str, height: float, marks: Sequence[str]) -> str:
    return (
        f'<div class="wide"><svg viewBox="0 0 {_WIDTH} {height:g}" role="img" aria-label="{escape(title)}">'
        f"<title>{escape(title)}</title><desc>{escape(about)}</desc>{''.join(marks)}</svg></div>"
    )


def _x(at: float, span: tuple[float, float]) -> float:
    start, end = span
    return _LEFT + (_WIDTH - _LEFT - _RIGHT) * min(1.0, max(0.0, (at - start) / ((end - start) or 1)))


def _time_axis(span: tuple[float, float], low: float) -> list[str]:
    start, end = span
    step = next(
        (step for step in _TIME_STEPS if (end - start) / step <= 8), 86_400 * math.ceil((end - start) / 691_200)
    )
    first = math.ceil(start / step)
    marks = [f'<line class="axis" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{low}" y2="{low}"/>']
    for number in range(first, math.floor(end / step) + 1):
        x = _x(number * step, span)
        marks.append(
            f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="{low}" y2="{low + 4}"/>'
            f'<text x="{x:.1f}" y="{low + 18}" text-anchor="middle">{clock(number * step)}</text>'
        )
    return marks


_TIME_STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 43_200, 86_400)


def _steps(most: float) -> list[float]:
    """Round numbers from 0 to at least ``most``."""
    rough = (most or 1) / 4
    unit = 10 ** math.floor(math.log10(rough))
    step = next(unit * factor for factor in (1, 2, 2.5, 5, 10) if unit * factor >= rough)
    return [step * number for number in range(math.ceil((most or 1) / step - 1e-9) + 1)]
