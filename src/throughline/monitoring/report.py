"""What was watched, as one page: the verdict, each feature then and now, windows over time, the strangest frames."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Final

from throughline.monitoring.distributions import drawing, middle_of
from throughline.monitoring.rows import LOOK, Rows
from throughline.monitoring.windows import Judged, Window
from throughline.reports import charts
from throughline.reports.page import Page, figure, figures, pairs, section, table

_LINES: Final = 8
"""So many lines are told apart in one drawing."""
_MOST: Final = 60


@dataclass(frozen=True, slots=True)
class Strange:
    """A frame that is unlike the reference.

    Attributes:
        jpeg: the frame with what was found in it.
        caption: which it is, and by which features.
    """

    jpeg: bytes
    caption: str


def write_report(
    path: Path,
    title: str,
    says: str,
    drifted: Sequence[str],
    windows: Sequence[Window],
    sides: tuple[Rows, Rows],
    strange: Sequence[Strange],
    notes: Sequence[str],
    about: Mapping[str, str],
    beside: Mapping[str, Path],
) -> Path:
    """Write the page, whole or not at all.

    Args:
        path: where.
        title: what was held to what.
        says: what came of it, in a sentence.
        drifted: the features that changed.
        windows: every window.
        sides: the reference's rows, and the present ones.
        strange: frames to look at.
        notes: what is to be known when this is read.
        about: what was compared, and how.
        beside: other files of this report, by what they are.
    """
    news = sum(bool(window.drifted) for window in windows)
    tiles = {
        "features that changed": f"{len(drifted)} of {len({one.feature for one in windows[-1].judged})}",
        "windows with news": f"{news:,} of {len(windows):,}",
        "observations to a window": f"{len(windows[-1].requests):,}",
        "rows compared": f"{len(sides[0]):,} and {len(sides[1]):,}",
    }
    state, verdict = ("failed", "DRIFT") if drifted else ("complete", "AS USUAL")
    links = "".join(f'<p><a href="{escape(file.name)}">{escape(name)}</a></p>' for name, file in beside.items())
    page = Page(
        "Throughline monitor", title, state, verdict, says, tiles,
        [
            _questions(drifted, windows, sides),
            _course(drifted, windows),
            _features(drifted, sides),
            section("Least like the reference", figures(figure(one.jpeg, one.caption, one.caption) for one in strange)),
            section("Notes", "".join(f'<p class="note">{escape(note)}</p>' for note in notes)),
            pairs("What was compared", about),
            section("Beside this page", links),
        ],
    )  # fmt: skip
    return page.write(path)


def worst_of(windows: Sequence[Window]) -> dict[tuple[str, str], Judged]:
    """For each question, the window in which it was farthest from the reference."""
    worst: dict[tuple[str, str], Judged] = {}
    for window in windows:
        for one in window.judged:
            key = one.feature, one.detector
            if key not in worst or _reach(one) > _reach(worst[key]):
                worst[key] = one
    return worst


def _reach(one: Judged) -> tuple[bool, float]:
    """How far over its threshold; news first."""
    if math.isnan(one.score.statistic):
        return one.drifted, -1.0
    limit = one.score.threshold
    return one.drifted, one.score.statistic / limit if limit > 0 else float(one.score.statistic > 0) * 1e9


def _questions(drifted: Sequence[str], windows: Sequence[Window], sides: tuple[Rows, Rows]) -> str:
    worst = worst_of(windows)
    order = sorted(worst, key=lambda key: (key[0] not in drifted, not worst[key].drifted, key[1] == "missing"))
    shown = [key for key in order if key[1] != "missing" or worst[key].drifted][:_MOST]
    before, now = (side.features for side in sides)
    rows = []
    for feature, detector in shown:
        one = worst[feature, detector]
        middles = [middle_of(side[feature]) if feature in side and feature != LOOK else "" for side in (before, now)]
        count = sum(
            any(j.drifted and (j.feature, j.detector) == (feature, detector) for j in w.judged) for w in windows
        )
        state = "changed" if feature in drifted and one.drifted else "news once" if one.drifted else "as usual"
        rows.append((feature, state, *middles, detector, _number(one.score.statistic), _number(one.score.threshold),
                     _p(one.corrected), f"{count} of {len(windows)}"))  # fmt: skip
    told = (
        "The worst window of each question. The threshold is what chance exceeds where the question is asked with all "
        'the others; p is corrected by Holm over all of one window. "look" is '
        "the whole picture, or the model's embedding of it."
    )
    head = ("feature", "", "usual", "now", "detector", "statistic", "threshold", "p (Holm)", "windows with news")
    return section("What changed", f'<p class="note">{told}</p>', table(head, rows, numbers=range(5, 9)))


def _course(drifted: Sequence[str], windows: Sequence[Window]) -> str:
    if len(windows) < 2:
        return ""
    worst = worst_of(windows)
    far = sorted(
        worst, key=lambda key: (key[0] not in drifted, not worst[key].drifted, [-r for r in _reach(worst[key])])
    )
    series: dict[str, list[tuple[float, float]]] = {}
    for feature, detector in far[: _LINES - 1]:
        name = feature if detector not in ("missing",) else f"{feature} missing"
        points = [
            (window.end, min(10.0, one.score.statistic / one.score.threshold))
            for window in windows
            for one in window.judged
            if (one.feature, one.detector) == (feature, detector) and one.score.threshold > 0
        ]
        if points:
            series.setdefault(name if name not in series else f"{name} ({detector})", points)
    if not series:
        return ""
    span = windows[0].start, windows[-1].end
    ends = [*(window.start for window in windows[1:]), windows[-1].end]
    shaded = [(window.start, end) for window, end in zip(windows, ends, strict=True) if window.alarms]
    series = {"threshold": [(at, 1.0) for at in span], **series}
    start = span[0]
    moved = {name: [(at - start, value) for at, value in points] for name, points in series.items()}
    about = (
        "How far each window is from the reference, in thresholds (at most 10 are drawn); shaded while an alarm is on."
    )
    drawn = charts.lines(
        "Window by window", about, moved, (0.0, span[1] - start), [(a - start, b - start) for a, b in shaded]
    )
    return section("Window by window", f'<p class="note">{about}</p>', drawn, _legend(list(series)))


def _features(drifted: Sequence[str], sides: tuple[Rows, Rows]) -> str:
    before, now = sides[0].plain, sides[1].plain
    names = sorted((name for name in before if name in now), key=lambda name: name not in drifted)[:_MOST]
    several = "".join(
        f"<figure><figcaption><b>{escape(name)}</b>{' changed' if name in drifted else ''}</figcaption>"
        f"{drawing(name, before[name], now[name])}</figure>"
        for name in names
    )
    told = f'<div class="samples">{several}</div>' if several else ""
    return section("Then and now", _legend(["the reference", "now"]) if told else "", told)


def _legend(names: Sequence[str]) -> str:
    items = "".join(
        f'<li><i style="background:var(--c{number % charts.COLOURS})"></i><b>{escape(name)}</b></li>'
        for number, name in enumerate(names)
    )
    return f'<ul class="legend">{items}</ul>'


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.3g}"


def _p(p: float) -> str:
    return "" if math.isnan(p) else "under 0.0001" if p < 0.0001 else f"{p:.4f}"
