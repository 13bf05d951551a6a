"""The page of a measurement: what is inside each number, how the samples lie, and what was true of the machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from throughline.evaluation.speeds import INSIDE, Faster, Speed, seconds_of
from throughline.models.measuring import Turn
from throughline.models.surroundings import Surroundings
from throughline.reports import charts
from throughline.reports.page import Page, pairs, section, table

Turns = Mapping[str, Mapping[str, Sequence[Turn]]]
"""Every turn, by level and model."""


def figures(speeds: Sequence[Speed]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """The head and the rows of a table; what was measured of none of them has no column."""
    measured = [one for one in speeds if one.measured]
    columns: list[tuple[str, str, list[float | None]]] = [
        ("p50 ms", "{:.2f}", [one.p50_ms for one in measured]),
        ("p95 ms", "{:.2f}", [one.p95_ms for one in measured]),
        ("p99 ms", "{:.2f}", [one.p99_ms for one in measured]),
        ("a second", "{:.1f}", [one.per_second for one in measured]),
        ("CPU ms each", "{:.2f}", [one.cpu_ms for one in measured]),
        ("peak MB", "{:.0f}", [one.peak_mb for one in measured]),
        ("GPU MB", "{:.0f}", [one.gpu_mb for one in measured]),
        ("GPU busy", "{:.0%}", [one.gpu_busy for one in measured]),
        ("GPU MHz", "{:.0f}", [one.gpu_mhz for one in measured]),
        ("rounds differ by", "{:.1%}", [one.spread for one in measured]),
    ]
    kept = [column for column in columns if any(value is not None for value in column[2])]
    rows = [
        (one.model, *("-" if values[at] is None else form.format(values[at]) for _, form, values in kept))
        for at, one in enumerate(measured)
    ]
    return ("", *(name for name, _, _ in kept)), rows


def not_measured(speeds: Sequence[Speed]) -> list[str]:
    """A line for each thing that was not measured, with the models that it is about and why."""
    lines: dict[tuple[str, str], list[str]] = {}
    for one in speeds:
        for what, why in one.lacking.items():
            lines.setdefault((what, why), []).append(one.model)
    return [
        f"not measured: {f'{what} of ' if what else ''}{', '.join(models)}: {why}"
        for (what, why), models in lines.items()
    ]


def write_report(
    path: Path,
    speeds: Sequence[Speed],
    compared: Sequence[Faster],
    turns: Turns,
    about: Mapping[str, Any],
    start: Surroundings,
    clocks: str,
    notes: Sequence[str],
) -> Path:
    """Write the page, whole or not at all."""
    real = [one for one in compared if one.real]
    first = next(one for one in speeds if one.measured)
    says = "; ".join(f"{INSIDE[one.level][0]}: {one}" for one in real or compared[-1:])
    says = says or f"{first.model}: {first.per_second:,.1f} a second, {INSIDE[first.level][0]}"
    verdict = "MEASURED" if not compared else "A DIFFERENCE" if real else "NO DIFFERENCE CAN BE TOLD"
    tiles = {
        INSIDE[one.level][0]: f"{one.per_second:,.1f} /s"
        for one in speeds
        if one.model == first.model and one.per_second is not None
    }
    if len({one.model for one in compared}) == 1:
        tiles = {f"times as fast, {INSIDE[one.level][0]}": _sure(one) for one in compared}
    sections = [
        _level(level, [one for one in speeds if one.level == level], compared, turns.get(level, {})) for level in INSIDE
    ]
    page = Page(
        "Throughline bench", ", ".join(dict.fromkeys(one.model for one in speeds)),
        "gaps" if notes else "complete", verdict, f"{says}.", tiles,
        [
            section("Read this first", "".join(f'<p class="note">{escape(note)}</p>' for note in notes)),
            *sections,
            pairs("What was measured", {name: str(value) for name, value in about.items()}),
            pairs("What it was measured on", machine(start, clocks)),
        ],
        "Every sample is in samples.json beside this page.",
    )  # fmt: skip
    return page.write(path)


def _sure(one: Faster) -> str:
    """A ratio and how sure it is, for no number of this size may stand alone."""
    known = f"{one.low:.2f} to {one.high:.2f}" if one.low is not None else "too few rounds"
    return f"{one.ratio:.2f} ({known})"


def machine(start: Surroundings, clocks: str) -> dict[str, str]:
    """The machine as it is told."""
    load = "not known" if start.load is None else f"{start.load:.1f} programs in the minute before"
    return {
        "processor": f"{start.processor}, {start.cores} cores for this process",
        "clock": clocks,
        "governor": start.governor or "cannot be read here",
        "load": f"{load}; {start.busy:.0%} of the processor at work just before it began",
        "GPU": "; ".join(start.gpus) or "none",
        "system": start.system,
        "libraries": ", ".join(f"{name} {version}" for name, version in start.libraries.items()),
        "environment": ", ".join(f"{name}={value}" for name, value in start.environment.items()),
    }


def _level(level: str, speeds: Sequence[Speed], compared: Sequence[Faster], turns: Mapping[str, Sequence[Turn]]) -> str:
    title, inside = INSIDE[level]
    measured = [one for one in speeds if one.measured]
    parts = [f'<p class="note">{escape(inside)}.</p>']
    if measured:
        head, rows = figures(measured)
        parts.append(table(head, rows, numbers=range(1, len(head))))
        parts += [f"<p>{escape(str(one))}.</p>" for one in compared if one.level == level]
    parts += [f'<p class="note">{escape(line)}.</p>' for line in not_measured(speeds)]
    if measured:
        parts += [_latencies(turns), _rounds(turns), _legend(list(turns))]
    return section(title[0].upper() + title[1:], *parts)


def _latencies(turns: Mapping[str, Sequence[Turn]]) -> str:
    """Every call in order of its time, up to the slowest hundredth, which would leave the others no room."""
    curves, slowest, most = {}, 0.0, 0.0
    for name, several in turns.items():
        calls = 1000 * np.sort([call for turn in several for call in turn.calls])
        if not len(calls):
            return ""
        shares = 100 * (np.arange(len(calls)) + 0.5) / len(calls)
        shown = np.unique(np.linspace(0, len(calls) - 1, 400).astype(int))
        curves[name] = [(float(shares[at]), float(calls[at])) for at in shown]
        most, slowest = max(most, float(np.percentile(calls, 99))), max(slowest, float(calls[-1]))
    about = f"Single calls, the fastest first: height is milliseconds. The slowest call took {slowest:.1f} ms."
    drawn = charts.curves("Latency", about, curves, "% of the calls", "ms", ((0, 100), (0, most * 1.1)))
    return f'<h3>Single calls</h3><p class="note">{about}</p>{drawn}'


def _rounds(turns: Mapping[str, Sequence[Turn]]) -> str:
    rates = {
        name: [(float(at), 1 / seconds_of(turn)) for at, turn in enumerate(several, 1)]
        for name, several in turns.items()
    }
    count = max(map(len, rates.values()))
    if count < 2:
        return ""
    most = max(rate for points in rates.values() for _, rate in points)
    about = "How many a second in each round, by its middle: a slope or a step is the machine's, not the model's."
    drawn = charts.curves("Rounds", about, rates, "round", "a second", ((1, count), (0, most * 1.1)))
    return f'<h3>Round by round</h3><p class="note">{about}</p>{drawn}'


def _legend(names: Sequence[str]) -> str:
    items = "".join(
        f'<li><i style="background:var(--c{number % charts.COLOURS})"></i><b>{escape(name)}</b></li>'
        for number, name in enumerate(names)
    )
    return f'<ul class="legend">{items}</ul>'
