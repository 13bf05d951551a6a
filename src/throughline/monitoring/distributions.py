"""A feature then and now, in one small drawing: how often each value came, as far as the eye is to compare."""

from __future__ import annotations

from collections import Counter
from html import escape
from typing import Final

import numpy as np

from throughline.monitoring.rows import Column
from throughline.stats.paired import Floats

_WIDE, _HIGH, _LOW, _SIDE = 480, 150, 124, 8
_BINS: Final = 32
_WORDS: Final = 8


def drawing(name: str, before: Column, now: Column) -> str:
    """The reference in the page's first colour, the present in its second; as markup."""
    if before.dtype.kind == "O":
        return _words(name, before, now)
    before, now = before[np.isfinite(before)], now[np.isfinite(now)]
    if not len(before) and not len(now):
        return _svg(name, f"{name}: no values", [])
    every = np.concatenate([before, now])
    low, high = (float(edge) for edge in np.quantile(every, (0.002, 0.998)))
    if high <= low:
        low, high = low - (abs(low) * 0.1 or 1.0), high + (abs(high) * 0.1 or 1.0)
    sides = [_shares(values, low, high) for values in (before, now)]
    most = max(float(side.max()) for side in sides) or 1.0
    marks = [_steps(side / most, colour) for colour, side in enumerate(sides)]
    marks += [
        f'<line class="axis" x1="{_SIDE}" x2="{_WIDE - _SIDE}" y1="{_LOW}" y2="{_LOW}"/>',
        f'<text x="{_SIDE}" y="{_LOW + 18}">{low:.4g}</text>',
        f'<text x="{_WIDE - _SIDE}" y="{_LOW + 18}" text-anchor="end">{high:.4g}</text>',
        *(_middle(values, low, high, colour) for colour, values in enumerate((before, now)) if len(values)),
    ]
    return _svg(name, f"{name}: median {middle_of(before)} in the reference, {middle_of(now)} now", marks)


def middle_of(column: Column) -> str:
    """The median of numbers, or the word that came most often."""
    if column.dtype.kind == "O":
        words = [word for word in column.tolist() if word is not None]
        return Counter(words).most_common(1)[0][0] if words else ""
    values = column[np.isfinite(column)]
    return f"{float(np.median(values)):.4g}" if len(values) else ""


def _shares(values: Column, low: float, high: float) -> Floats:
    """Of values in each bin; those beyond an edge are in the outermost."""
    counts = np.histogram(np.clip(values, low, high), _BINS, (low, high))[0]
    return np.asarray(counts / max(1, len(values)), np.float64)


def _steps(heights: Floats, colour: int) -> str:
    wide = (_WIDE - 2 * _SIDE) / len(heights)
    path = f"M{_SIDE} {_LOW}"
    for number, height in enumerate(heights.tolist()):
        y = _LOW - (_LOW - 14) * height
        path += f"L{_SIDE + number * wide:.1f} {y:.1f}L{_SIDE + (number + 1) * wide:.1f} {y:.1f}"
    ink = f"var(--c{colour})"
    return (
        f'<path d="{path}L{_WIDE - _SIDE} {_LOW}Z" style="fill:{ink};fill-opacity:.22;stroke:{ink};stroke-width:1.5"/>'
    )


def _middle(values: Column, low: float, high: float, colour: int) -> str:
    x = _SIDE + (_WIDE - 2 * _SIDE) * min(1.0, max(0.0, (float(np.median(values)) - low) / (high - low)))
    return (
        f'<line x1="{x:.1f}" x2="{x:.1f}" y1="6" y2="{_LOW}" style="stroke:var(--c{colour});stroke-dasharray:4 3">'
        f"<title>median {float(np.median(values)):.4g}</title></line>"
    )


def _words(name: str, before: Column, now: Column) -> str:
    counts = [Counter(word for word in side.tolist() if word is not None) for side in (before, now)]
    words = [word for word, _ in (counts[0] + counts[1]).most_common(_WORDS)]
    totals = [max(1, sum(count.values())) for count in counts]
    most = max((count[word] / total for count, total in zip(counts, totals, strict=True) for word in words), default=1)
    high, marks = min(26, (_HIGH - 8) // max(1, len(words))), []
    for row, word in enumerate(words):
        marks.append(f'<text x="128" y="{row * high + 15}" text-anchor="end">{escape(word[:18])}</text>')
        for colour, (count, total) in enumerate(zip(counts, totals, strict=True)):
            share = count[word] / total
            marks.append(
                f'<rect x="136" y="{row * high + 4 + colour * (high // 2 - 2)}" height="{max(2, high // 2 - 3)}"'
                f' width="{max(1.0, 280 * share / (most or 1)):.1f}" style="fill:var(--c{colour})">'
                f"<title>{escape(word)}: {share:.1%}</title></rect>"
            )
    return _svg(name, f"{name}: how often each word came, before and now", marks)


def _svg(name: str, about: str, marks: list[str]) -> str:
    return (
        f'<svg viewBox="0 0 {_WIDE} {_HIGH}" role="img" aria-label="{escape(name)}"><title>{escape(name)}</title>'
        f"<desc>{escape(about)}</desc>{''.join(marks)}</svg>"
    )
