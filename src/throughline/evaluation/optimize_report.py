"""The page of a search for a faster model: what was tried, where each stands, and which was taken."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from throughline.contracts.artifacts import Artifact
from throughline.contracts.samples import DataSet
from throughline.evaluation.front import Tried, front
from throughline.evaluation.non_inferiority import NonInferiority
from throughline.hardware import cores, detect
from throughline.reports import charts
from throughline.reports.page import Page, pairs, section, table


def write_report(
    path: Path, source: Artifact, data: DataSet, baseline: Tried, tried: Sequence[Tried], best: Tried | None
) -> Path:
    """Write the page, whole or not at all."""
    held = best.held if best else None
    tiles = {"tried": f"{len(tried):,}", "pictures": f"{len(data):,}"}
    if best is not None and held is not None:
        tiles = {
            "times as fast": f"{best.ratio:.2f}",
            "pictures a second": f"{best.throughput:.1f}",
            held.metric: f"{best.metric:.4f}",
            **tiles,
        }
    says = (
        f"{best.setting}: {best.ratio:.2f} times as fast as the baseline. {_proof(held)}"
        if best and held
        else "Nothing faster holds the accuracy, as far as these pictures can tell."
    )
    page = Page(
        "Throughline optimize",
        source.path.name,
        "complete" if best else "gaps",
        "FASTER" if best else "AS IT WAS",
        says,
        tiles,
        [
            _front(baseline, tried, best),
            _table(baseline, tried),
            pairs("What it was measured on", {
                "machine": f"{detect().cpu.model}, {cores()} cores",
                "data": f"{data.name}, {len(data):,} pictures",
                "data sha256": data.sha256,
                "model sha256": source.sha256,
                "baseline": f"{baseline.setting}: ONNX Runtime in float32, one picture at a time",
                "memory": "the peak of a process that opens the model and runs it, and does nothing else",
                "times": "calls of the model alone, on inputs made from these pictures, in turn with the baseline",
            }),
        ],
    )  # fmt: skip
    return page.write(path)


def _proof(held: NonInferiority) -> str:
    if held.decision == "passed":
        return f"It is no worse than by {held.margin:.4f} {held.metric}: the whole 95 % interval says so."
    more = f" {held.more_samples:,} more would decide it." if held.more_samples else ""
    return f"That it is as accurate is not proven: these pictures are too few, and a point estimate was accepted.{more}"


def _front(baseline: Tried, tried: Sequence[Tried], best: Tried | None) -> str:
    measured = [one for one in (baseline, *tried) if one.held is not None]
    unbeaten = {one.setting for one in front(measured)}
    metric = next(one.held.metric for one in measured if one.held)
    points = [
        (
            one.ratio,
            one.metric,
            "baseline" if one is baseline else str(one.setting),
            0 if best and one.setting == best.setting else 1 if one.setting in unbeaten else 7,
        )
        for one in measured
    ]
    about = f"Each point is one way to run the model: to the right is faster, up is a better {metric}."
    drawn = charts.scatter("Speed and accuracy", about, points, "times as fast as the baseline", metric)
    legend = (
        '<ul class="legend"><li><i style="background:var(--c0)"></i><b>taken</b></li>'
        '<li><i style="background:var(--c1)"></i><b>nothing is better in both</b></li>'
        '<li><i style="background:var(--c7)"></i><b>beaten</b></li></ul>'
    )
    return section("The front", f'<p class="note">{about}</p>', drawn, legend)


def _table(baseline: Tried, tried: Sequence[Tried]) -> str:
    rows = []
    for one in (baseline, *tried):
        held = one.held
        rows.append((
            str(one.setting),
            f"{one.ratio:.2f}" if one.throughput else "",
            f"{one.throughput:.1f}" if one.throughput else "",
            f"{one.latency_ms:.1f}" if one.throughput else "",
            f"{one.metric:.4f}" if held else "",
            f"{held.difference:+.4f} ({held.low:+.4f} to {held.high:+.4f})" if held else "",
            f"{one.size / 2**20:.1f}" if one.size else "",
            f"{one.memory:,.0f}" if one.memory else "",
            one.lost or ("the baseline" if one is baseline else "taken"),
        ))  # fmt: skip
    head = ("setting", "times", "a second", "p50 ms", "accuracy", "difference, 95 %", "MiB", "memory, MB", "why not")
    return section("Everything that was tried", table(head, rows, numbers=range(1, 8)))
