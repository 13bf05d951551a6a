"""The report's drawings: plain SVG text, no script, colours left to the page so that light and dark both work.

Every drawing has a title and a description for those who cannot see it, and every
string that comes from outside is escaped here, at the place where it becomes markup.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
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
