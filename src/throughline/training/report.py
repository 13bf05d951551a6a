"""``report.html``: how a training run went and what came of it, in one file that opens anywhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from throughline.contracts.artifacts import Artifact
from throughline.reports import charts
from throughline.reports.charts import clock
from throughline.reports.page import Page, pairs, section, table
from throughline.training.folder import steps_of
from throughline.training.recipe import Recipe
from throughline.training.run import Trained

_MOST_POINTS = 500
_LONGEST_LEGEND = 8


def write_report(folder: Path, recipe: Recipe, trained: Trained, artifact: Artifact, told: Mapping[str, Any]) -> Path:
    """Write it into the run's folder, whole or not at all.

    Args:
        folder: the run's, with its metrics.
        recipe: what the run was told.
        trained: what came of it.
        artifact: the model, with its passport.
        told: the rest: seconds, device, code.
    """
    best = trained.metrics[trained.metric]
    says = f"{trained.metric} {best:.4g} on data that it was not trained on"
    if trained.metric in trained.baseline:
        says += f"; the plainest thing that could do the job has {trained.baseline[trained.metric]:.4g}"
    tiles = {
        trained.metric: f"{best:.4g}",
        "trainer": recipe.trainer,
        "seed": str(recipe.seed),
        "time": clock(told["seconds"]),
    }
    names = [trained.metric, *(name for name in trained.metrics if name != trained.metric)]
    rows = [(name, f"{trained.metrics[name]:.6g}", _number(trained.baseline.get(name))) for name in names]
    passport = artifact.passport
    sections = [
        *_curves(steps_of(folder)),
        section("Metrics", table(("metric", "model", "baseline"), rows, numbers=(1, 2))),
        pairs(
            "Model",
            {
                "file": artifact.path.name,
                "sha256": passport.sha256,
                "format": passport.format,
                "task": passport.task or "",
                "classes": ", ".join(passport.labels),
                "trained on data": trained.data_sha256,
                "began with": trained.parent or "random numbers",
            },
        ),
        _evidence(artifact),
        pairs("Recipe", {name: str(value) for name, value in recipe.values().items()}),
        pairs("Code", {name: str(value) for name, value in told["code"].items()}),
    ]
    page = Page("Throughline train", recipe.name, "complete", "TRAINED", says + ".", tiles, sections, told["footer"])
    return page.write(folder / "report.html")


def _curves(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The metrics over the steps; those that are named alike (train/loss, val/loss) in one drawing."""
    names = dict.fromkeys(name for row in rows for name in row if name != "step")
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(name.rpartition("/")[2], []).append(name)
    drawn = []
    for group, members in groups.items():
        series = {name: _thinned([(row["step"], row[name]) for row in rows if name in row]) for name in members}
        points = [point for one in series.values() for point in one]
        if len({step for step, _ in points}) < 2:
            continue
        across = (min(step for step, _ in points), max(step for step, _ in points))
        legend = ", ".join(members[:_LONGEST_LEGEND])
        about = f"{legend} from step {across[0]:g} to step {across[1]:g}; {_ends(series)}"
        drawn.append(f"<h3>{escape(group)}</h3>")
        drawn.append(charts.curves(group, about, series, "step", group, (across, _span(value for _, value in points))))
        drawn.append(_legend(series))
    return [section("Curves", *drawn)]


def _legend(series: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    items = "".join(
        f'<li><i style="background:var(--c{number % charts.COLOURS})"></i>'
        f"<b>{escape(name)}</b> ends at {points[-1][1]:.4g}</li>"
        for number, (name, points) in enumerate(series.items())
        if points
    )
    return f'<ul class="legend">{items}</ul>'


def _ends(series: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    return ", ".join(f"{name} ends at {points[-1][1]:.4g}" for name, points in series.items() if points)


def _thinned(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    points = [(step, value) for step, value in points if value - value == 0]
    every = -(-len(points) // _MOST_POINTS) or 1
    return points[:-1:every] + points[-1:]


def _span(values: Iterable[float]) -> tuple[float, float]:
    known = list(values)
    low, high = min(known), max(known)
    return (0.0 if 0 <= low <= 0.3 * high or low == high >= 0 else low, high or 1.0)


def _evidence(artifact: Artifact) -> str:
    """What was proven of the file; where a check fails there is no file, and no report."""
    rows = [
        (check.name, str(check.observed), str(check.limit))
        for verdict in artifact.passport.evidence
        for check in verdict.checks
    ]
    return section("Proof of the file: every check passed", table(("check", "observed", "limit"), rows)) if rows else ""


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"
