"""What was measured, as one page that says how good a model is, for whom it is worse, and what it gets wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from throughline.contracts.detections import Detections
from throughline.contracts.samples import Sample
from throughline.evaluation.measured import Measured
from throughline.evaluation.mistakes import CONF, Mistake
from throughline.evaluation.slices import Slicing
from throughline.reports import charts
from throughline.reports.page import Page, figure, figures, pairs, section, table
from throughline.stats.bootstrap import Interval
from throughline.vision.drawing import annotate, jpeg

_SHOWN: Final = 6
_WIDE: Final = 360
"""So many pixels wide the picture of a mistake is: about as it is shown."""
_KINDS: Final = {
    "wrong class": "Wrong classes that it was surest of",
    "false alarm": "False alarms that it was surest of",
    "misplaced": "Boxes that lie beside their object",
    "missed": "The largest objects that it missed",
}


def write_report(
    path: Path,
    title: str,
    says: str,
    measured: Measured,
    samples: Sequence[Sample],
    tracking: Mapping[str, str],
    about: Mapping[str, str],
) -> Path:
    """Write the page, whole or not at all.

    Args:
        path: where.
        title: the model's name.
        says: what was measured, in a sentence.
        measured: all the figures.
        samples: the pictures, for those of mistakes.
        tracking: how well objects were followed, where that was measured.
        about: what it was measured on.
    """
    tiles = {name: f"{one.value:.3f}" for name, one in list(measured.figures.items())[:4]}
    tiles |= {name: value for name, value in tracking.items() if name in ("MOTA", "IDF1", "HOTA")}
    page = Page(
        "Throughline evaluate", title, "complete", "MEASURED", says, tiles,
        [
            _main(measured),
            pairs("How well objects were followed", tracking),
            _slicings(measured),
            _fairness(measured),
            _confusion(measured),
            *(_mistakes(measured, samples, kind) for kind in _KINDS),
            _curves(measured),
            _reliability(measured),
            _classes(measured),
            pairs("What it was measured on", about),
        ],
    )  # fmt: skip
    return page.write(path)


def _main(measured: Measured) -> str:
    rows = [(name, *_cells(one)) for name, one in measured.figures.items()]
    drawn = table(("figure", "value", "95 % from", "to"), rows, numbers=(1, 2, 3))
    notes = "".join(f'<p class="note">{escape(one)}</p>' for one in measured.notes)
    return section("Figures", drawn, notes)


def _slicings(measured: Measured) -> str:
    gap = measured.worst_gap
    told = f'<p class="note">The widest gap: {escape(gap_said(gap))}.</p>' if gap else ""
    parts = [f"<h3>By {escape(one.trait)}</h3>{_slicing(one)}" for one in measured.slicings if one.trait != "class"]
    return section("For whom it is worse", told, *parts) if parts or told else ""


def gap_said(split: Slicing) -> str:
    """A gap in words: between what, how wide, and whether chance would make it."""
    gap = split.gap
    clear = "more than chance would make" if split.clear else "chance alone could make it"
    return (
        f"{split.metric} of {split.trait} {split.worst} is {gap.value:.3f} below that of {split.best} "
        f"(95 % from {gap.low:.3f} to {gap.high:.3f}: {clear})"
    )


def _slicing(split: Slicing) -> str:
    rows = [(one.name, f"{one.figure.samples:,}", *_cells(one.figure)) for one in split.slices]
    return table((split.trait, "pictures", split.metric, "95 % from", "to"), rows, numbers=range(1, 5))


def _fairness(measured: Measured) -> str:
    parts = []
    for one in measured.fairness:
        rows = [(group, f"{one.accuracy[group]:.3f}", f"{one.selection[group]:.3f}") for group in one.accuracy]
        told = (
            f"By {one.trait}, worst for the class {one.kind}: demographic parity difference "
            f"{one.demographic_parity:.3f}, equalised odds difference {one.equalized_odds:.3f}; 0 is alike."
        )
        head = (one.trait, "accuracy", f"how often {one.kind} is said")
        parts.append(f'<p class="note">{escape(told)}</p>' + table(head, rows, numbers=(1, 2)))
    return section("How alike groups are treated", *parts)


def _classes(measured: Measured) -> str:
    metrics = list(dict.fromkeys(name for row in measured.classes for name in row.figures))
    what = "pictures" if measured.task == "classify" else "objects"
    rows = [
        (row.name, f"{row.objects:,}", *(_in_short(row.figures.get(metric)) for metric in metrics))
        for row in sorted(measured.classes, key=lambda row: -row.objects)
    ]
    head = ("class", what, *metrics)
    return section("Class by class", table(head, rows, "with 95 % intervals", numbers=range(1, len(head))))


def _confusion(measured: Measured) -> str:
    shown = measured.confusion.busiest()
    sure = "" if measured.task == "classify" else f", at a confidence of {CONF:g} and half an overlap"
    about = f"Each row is what is there, each column what the model said{sure}; darker is a larger share of the row."
    names = [*shown.names]
    drawn = charts.heat("Confusion", about, names, names, shown.counts.tolist(), "what the model said", "what is there")
    return section("What was taken for what", f'<p class="note">{escape(about)}</p>', drawn)


def _curves(measured: Measured) -> str:
    if not measured.curves:
        return ""
    kind = "masks" if measured.task == "segment" else "boxes"
    about = f"Precision of the {kind} at each recall, at half an overlap"
    more = len(measured.classes) - len(measured.curves)
    about += f"; the {len(measured.curves)} classes with the most objects." if more > 0 else "."
    drawn = charts.curves("Precision and recall", about, measured.curves, "recall", "precision")
    legend = "".join(
        f'<li><i style="background:var(--c{at % charts.COLOURS})"></i><b>{escape(name)}</b></li>'
        for at, name in enumerate(measured.curves)
    )
    told = f'<p class="note">{escape(about)}</p>'
    return section("Precision and recall", told, drawn, f'<ul class="legend">{legend}</ul>')


def _reliability(measured: Measured) -> str:
    if not measured.reliability:
        return ""
    points = [(one.confidence, one.accuracy) for one in measured.reliability]
    about = "How often the model is right when it is how sure; below the straight line it is surer than it should be."
    series = {"measured": points, "as it should be": [(0.0, 0.0), (1.0, 1.0)]}
    drawn = charts.curves("Reliability", about, series, "how sure the model is", "how often it is right")
    return section("Is it as right as it is sure?", f'<p class="note">{escape(about)}</p>', drawn)


def _mistakes(measured: Measured, samples: Sequence[Sample], kind: str) -> str:
    worst = measured.confusion.worst(kind, _SHOWN)
    shown = figures(figure(_drawn(one, samples[one.frame]), *_caption(one, samples[one.frame])) for one in worst)
    return section(_KINDS[kind], shown)


def _caption(one: Mistake, sample: Sample) -> tuple[str, str]:
    x1, y1, x2, y2 = one.there or (0, 0, 0, 0)
    told = {
        "false alarm": f"{one.said}, {one.confidence:.0%} sure, and there is none",
        "missed": f"{one.real} of {x2 - x1:.0f} x {y2 - y1:.0f} pixels, not found",
        "misplaced": f"{one.said}, {one.confidence:.0%} sure, with less than half an overlap",
        "wrong class": f"{one.real}, taken for {one.said}, {one.confidence:.0%} sure",
    }[one.kind]
    return told, f"{told}: {sample.name}"


def _drawn(one: Mistake, sample: Sample) -> bytes:
    """The mistake and what is around it, large enough to see."""
    import cv2

    image = sample.read()
    places = [place for place in (one.box, one.there) if place is not None]
    left, top, right, bottom = _around(np.array(places), (image.shape[0], image.shape[1]))
    part = image[top:bottom, left:right]
    scale = _WIDE / part.shape[1]
    part = cv2.resize(part, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR if scale > 1 else cv2.INTER_AREA)
    labels = (f"said: {one.said}", "", f"is: {one.real}")
    corner = np.array([left, top, left, top], np.float32)
    xyxy = (np.array(places, np.float32).reshape(-1, 4) - corner) * np.float32(scale)
    sure = np.array([one.confidence if place is one.box else 1.0 for place in places], np.float32)
    kinds = np.array([0 if place is one.box else 2 for place in places], np.int64)
    picture = annotate(part, Detections(xyxy, sure, kinds, labels=labels))
    return jpeg(picture)


def _around(places: npt.NDArray[np.float64], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of the part of a picture that shows these places and as much again on every side."""
    height, width = size
    if not len(places):
        return 0, 0, width, height
    x1, y1, x2, y2 = places[:, 0].min(), places[:, 1].min(), places[:, 2].max(), places[:, 3].max()
    half_wide = min(width, max(1.5 * (x2 - x1), 2.0 * (y2 - y1), width / 8)) / 2
    half_high = min(height, max(1.5 * (y2 - y1), 1.125 * (x2 - x1), height / 8, half_wide * 0.75)) / 2
    x, y = np.clip((x1 + x2) / 2, half_wide, width - half_wide), np.clip((y1 + y2) / 2, half_high, height - half_high)
    return int(x - half_wide), int(y - half_high), int(np.ceil(x + half_wide)), int(np.ceil(y + half_high))


def _cells(one: Interval) -> tuple[str, str, str]:
    known = not np.isnan(one.low)
    return (
        "nothing to measure" if np.isnan(one.value) else f"{one.value:.4f}",
        f"{one.low:.4f}" if known else "",
        f"{one.high:.4f}" if known else "",
    )


def _in_short(one: Interval | None) -> str:
    if one is None or np.isnan(one.value):
        return ""
    return f"{one.value:.3f} ({one.low:.3f} to {one.high:.3f})"
