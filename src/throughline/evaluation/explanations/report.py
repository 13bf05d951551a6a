"""``report.html`` of an explanation: each picture beside where the model looked, or what each column adds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

import numpy as np

from throughline.contracts.detections import Detections
from throughline.evaluation.explanations.occlusion import Looked, Picture, overlaid
from throughline.evaluation.explanations.shares import Shares
from throughline.reports import charts
from throughline.reports.page import Page, figure, figures, pairs, section, table
from throughline.vision.drawing import annotate, jpeg

_COLUMNS = 12


def write_looks(
    path: Path,
    model: str,
    several: Sequence[tuple[str, Picture, Detections, Sequence[Looked]]],
    about: Mapping[str, str],
) -> Path:
    """The page about pictures: name, picture, what was found, where the model looked for each."""
    sections = []
    for name, picture, found, looks in several:
        shown = [figure(jpeg(annotate(picture, found)), name, "what the model says")]
        shown += [figure(jpeg(overlaid(picture, one)), f"{name}: {one.kind}", told(one)) for one in looks]
        sections.append(section(name, figures(shown)))
    things = [one for *_, looks in several for one in looks if one.method == "occlusion"]
    tiles = {"pictures": str(len(several)), "things": str(len(things))}
    placed = [one for one in things if one.inside == one.inside]
    if placed:
        tiles["heat inside the box"] = f"{np.mean([one.inside for one in placed]):.0%}"
        tiles["by chance"] = f"{np.mean([one.by_chance for one in placed]):.0%}"
    says = "Bright is where hiding a patch made the model less sure of what the box, or the picture, shows"
    by_gradients = any(one.method != "occlusion" for *_, looks in several for one in looks)
    says += "; on maps of gradients, where its features speak for it." if by_gradients else "."
    page = Page("Throughline explain", model, "complete", "LOOKED", says, tiles, [*sections, pairs("How", about)])
    return page.write(path)


def write_shares(path: Path, model: str, shares: Shares, about: Mapping[str, str]) -> Path:
    """The page about a table: what each column adds."""
    means = shares.means
    first = means[:_COLUMNS]
    bars = charts.bars("What moves the answer", "mean |SHAP| by column", [(n, v, f"{v:.4g}") for n, v in first])
    sections = [
        section(
            "What moves the answer",
            f'<p class="note">By how much each column moves {escape(shares.about)}, on average.</p>',
            bars,
        ),
        *(_column(shares, name) for name, _ in first[:4]),
        section(
            "Every column",
            table(("column", "mean |SHAP|", "least", "most"), [_row(shares, *one) for one in means], numbers=(1, 2, 3)),
        ),
        pairs("How", about),
    ]
    tiles = {
        "rows": f"{len(shares.rows):,}",
        "columns": str(len(shares.columns)),
        "adds up within": f"{shares.off:.1e}",
    }
    says = f"{first[0][0]} moves the answer most: {first[0][1]:.4g} on average."
    return Page("Throughline explain", model, "complete", "EXPLAINED", says, tiles, sections).write(path)


def told(one: Looked) -> str:
    """What a map shows, in a line."""
    line = f"{one.kind} {one.confidence:.2f}"
    line += f", by {one.method}" if one.method != "occlusion" else ""
    if one.inside == one.inside:
        line += f": {one.inside:.0%} of the heat lies in the box, which is {one.by_chance:.1%} of the picture"
    return line


def _column(shares: Shares, name: str) -> str:
    at = shares.columns.index(name)
    known = np.isfinite(shares.rows[:, at])
    points = [
        (float(value), float(share), "", 0)
        for value, share in zip(shares.rows[known, at], shares.values[known, at], strict=True)
    ]
    about = f"Each point is a row: its {name}, and what that adds to the answer."
    drawn = charts.scatter(name, about, points, name, "adds") if points else ""
    return section(name, f'<p class="note">{escape(about)}</p>', drawn)


def _row(shares: Shares, name: str, mean: float) -> tuple[str, ...]:
    values = shares.values[:, shares.columns.index(name)]
    return name, f"{mean:.4g}", f"{values.min():+.4g}", f"{values.max():+.4g}"
