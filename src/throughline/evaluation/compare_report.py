"""A comparison as one page: the sentence, how sure it is, where the two differ, and pictures to look at."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from throughline.contracts.detections import Detections
from throughline.evaluation.comparison import BETTER, CANNOT_TELL, NOT_WORSE, WORSE, Comparison, number, signed
from throughline.evaluation.comparison_parts import Part
from throughline.evaluation.contest import Contest
from throughline.evaluation.differing import Differing, differing
from throughline.evaluation.mistakes import CONF
from throughline.reports import charts
from throughline.reports.page import Page, figure, figures, pairs, section, table
from throughline.vision.drawing import annotate, jpeg

_WIDE: Final = 480
"""So many pixels wide pictures are at most."""
_MOST: Final = 40
_STATES: Final = {BETTER: "complete", NOT_WORSE: "complete", WORSE: "failed", CANNOT_TELL: "gaps"}


def write_report(
    path: Path,
    names: tuple[str, str],
    says: str,
    found: Comparison,
    others: Sequence[Comparison],
    contest: Contest | None,
    about: Mapping[str, str],
) -> Path:
    """Write the page, whole or not at all.

    Args:
        path: where.
        names: the reference's and the candidate's.
        says: what came of it, in a sentence.
        found: what was compared.
        others: other metrics of the same answers.
        contest: the pictures and what was said of them; None where only scores are known.
        about: what was compared on what.
    """
    apart = found.difference
    tiles = {
        f"{found.metric}, reference": number(found.reference),
        f"{found.metric}, candidate": number(found.candidate),
        "difference": signed(apart.value),
        "95 % interval": "none" if math.isnan(apart.low) else f"{signed(apart.low)} to {signed(apart.high)}",
    }
    page = Page(
        "Throughline compare", f"{names[1]} against {names[0]}", _STATES[found.decision], found.decision.upper(), says,
        tiles,
        [
            _whole(found),
            _others(others),
            *(_parts(found, trait) for trait in dict.fromkeys(part.trait for part in found.parts)),
            _pictures(contest),
            _tests(found),
            section("Notes", "".join(f'<p class="note">{escape(note)}</p>' for note in found.notes)),
            pairs("What was compared", about),
        ],
    )  # fmt: skip
    return page.write(path)


def _limits(found: Comparison) -> dict[str, float]:
    loss = found.margin if found.less_is_better else -found.margin
    return {"no difference": 0.0, "margin": loss} if found.margin else {"no difference": 0.0}


def _whole(found: Comparison) -> str:
    drawn = found.drawn[np.isfinite(found.drawn)]
    if not len(drawn) or not found.difference.error > 0:
        return ""
    apart, how = found.difference, "as Student's t has it" if found.unit == "run" else f"{len(drawn):,} draws"
    about = (
        f"The difference in {found.metric}, candidate less reference, as it would come out on other {found.unit}s"
        f"{' (less is better)' if found.less_is_better else ''}: {how}, the 95 % interval darker."
    )
    within = (apart.low, apart.high)
    across = f"difference in {found.metric}"
    chart = charts.spread("The difference", about, drawn.tolist(), within, _limits(found), across)
    return section("How sure the difference is", f'<p class="note">{escape(about)}</p>', chart)


def _others(others: Sequence[Comparison]) -> str:
    rows = [
        (one.metric, number(one.reference), number(one.candidate), *_cells(one.difference.value, one.difference.low,
         one.difference.high), _p(one.difference.p)) for one in others
    ]  # fmt: skip
    head = ("metric", "reference", "candidate", "difference", "95 % from", "to", "p")
    told = '<p class="note">Measured on the same answers; they decide nothing.</p>'
    return section("Other metrics", told, table(head, rows, numbers=range(1, 7))) if rows else ""


def _parts(found: Comparison, trait: str) -> str:
    parts = [part for part in found.parts if part.trait == trait]
    known = [part for part in parts if not math.isnan(part.corrected)]
    shown = sorted(known, key=lambda part: part.corrected)[:_MOST]
    rows = [
        (
            part.name,
            part.difference.low,
            part.difference.value,
            part.difference.high,
            f"{signed(part.difference.value)}, p {_p(part.corrected)}",
            _ink(found, part),
        )
        for part in sorted(shown, key=lambda part: -np.nan_to_num(part.difference.value))
    ]
    clear = [part.name for part in parts if part.clear]
    about = (
        f"Candidate less reference with 95 % intervals, each for itself. After Holm's correction over all "
        f"{len(found.parts)} parts, {', '.join(clear) or 'none'} differ{'s' if len(clear) < 2 else ''} by more than "
        "chance would have it."
    ) + (f" {len(parts) - len(known)} have too few samples to tell." if len(known) < len(parts) else "")
    drawn = charts.forest(f"By {trait}", about, rows, {"no difference": 0.0}, f"difference in {found.metric}")
    head = (trait, "samples", "reference", "candidate", "difference", "95 % from", "to", "p", "p (Holm)")
    cells = [
        (part.name, f"{part.samples:,}", number(part.reference), number(part.candidate),
         *_cells(part.difference.value, part.difference.low, part.difference.high),
         _p(part.difference.p), _p(part.corrected)) for part in parts
    ]  # fmt: skip
    told = f'<p class="note">{escape(about)}</p>'
    return section(f"By {trait}", told, drawn if rows else "", table(head, cells, numbers=range(1, len(head))))


def _ink(found: Comparison, part: Part) -> int:
    """Green where it is clearly better, the colour of losses where clearly worse, grey where nobody can tell."""
    if not part.clear:
        return 7
    return 2 if (part.difference.value > 0) != found.less_is_better else 5


def _pictures(contest: Contest | None) -> str:
    if contest is None or not contest.samples:
        return ""
    shown = differing(contest.truth, *contest.found)
    if not shown:
        return ""
    drawn = figures(figure(_drawn(contest, one), *_caption(contest, one)) for one in shown)
    told = f"The reference's answer above, the candidate's below, at a confidence of {CONF:g}."
    return section("Where they differ most", f'<p class="note">{escape(told)}</p>', drawn)


def _caption(contest: Contest, one: Differing) -> tuple[str, str]:
    told = f"reference: {one.reference}; candidate: {one.candidate}"
    return told, f"{told} ({contest.samples[one.picture].name})"


def _drawn(contest: Contest, one: Differing) -> bytes:
    """Both answers, one above the other."""
    import cv2

    image = contest.samples[one.picture].read()
    scale = min(1.0, _WIDE / image.shape[1])
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else image
    sides = [_annotated(small, said[one.picture], scale) for said in contest.found]
    gap = np.full((6, small.shape[1], 3), 255, np.uint8)
    picture = np.concatenate([sides[0], gap, sides[1]], axis=0)
    return jpeg(picture)


def _annotated(image: npt.NDArray[np.uint8], said: Detections, scale: float) -> npt.NDArray[np.uint8]:
    shown = said[said.confidence >= CONF] if not said.of_frame.all() else said[:1]
    boxes = Detections(shown.xyxy * np.float32(scale), shown.confidence, shown.class_id, labels=shown.labels)
    return annotate(image, boxes if not shown.of_frame.any() else shown)


def _tests(found: Comparison) -> str:
    rows = [(one.name, f"{one.statistic:.4g}", f"{one.samples:,}", _p(one.p)) for one in found.tests]
    tests = table(("test", "statistic", "samples", "p"), rows, numbers=(1, 2, 3))
    sizes = [(one.name, *_cells(one.value, one.low, one.high, number)) for one in found.effects]
    effects = table(("effect", "size", "95 % from", "to"), sizes, numbers=(1, 2, 3))
    told = []
    if not math.isnan(found.power):
        told.append(
            f"{found.difference.units:,} {found.unit}s show a difference as large as the margin "
            f"({number(found.margin)}) {found.power:.0%} of the time."
        )
    if not math.isnan(found.detectable):
        told.append(f"The smallest difference that they show four times of five is {number(found.detectable)}.")
    return section(
        "Tests, effects and power",
        tests,
        "<h3>How large it is</h3>",
        effects,
        f'<p class="note">{escape(" ".join(told))}</p>',
    )


def _cells(value: float, low: float, high: float, written: Callable[[float], str] = signed) -> tuple[str, str, str]:
    edges = ("", "") if math.isnan(low) else (written(low), written(high))
    return ("" if math.isnan(value) else written(value), *edges)


def _p(p: float) -> str:
    return "" if math.isnan(p) else "under 0.0001" if p < 0.0001 else f"{p:.4f}"
