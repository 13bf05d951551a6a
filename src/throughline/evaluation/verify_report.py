"""A proof as one page: what was checked, how far each output is off, what computes in what, and the worst pictures."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from throughline.contracts.detections import Detections
from throughline.evaluation.proof import Worst
from throughline.evaluation.verification import Verification
from throughline.models.precision import Precisions
from throughline.reports import charts
from throughline.reports.page import Page, figure, figures, pairs, section, table
from throughline.vision.drawing import annotate, jpeg

_WIDE: Final = 640
"""So many pixels wide each of the two pictures is at most."""


def write_report(path: Path, found: Verification) -> Path:
    """Write the page, whole or not at all."""
    failed = [check.name for check in found.verdict.checks if not check.passed]
    says = (
        f"{len(found.verdict.checks)} checks passed on {found.inputs}"
        if not failed
        else f"{len(failed)} of {len(found.verdict.checks)} checks failed on {found.inputs}: {', '.join(failed[:4])}"
        + (", ..." if len(failed) > 4 else "")
    )
    page = Page(
        "Throughline verify",
        f"{found.candidate.path.name} against {found.reference.path.name}",
        "failed" if failed else "complete",
        "NOT PROVEN" if failed else "PROVEN",
        says,
        _tiles(found),
        [
            _parting(found),
            _checks(found),
            _outputs(found),
            _metric(found),
            _worst(found),
            _precision(found),
            pairs("What was compared", _about(found)),
            section("Notes", "".join(f'<p class="note">{escape(note)}</p>' for note in found.notes)),
        ],
    )
    return page.write(path)


def _tiles(found: Verification) -> dict[str, str]:
    tiles = {"checks passed": f"{sum(check.passed for check in found.verdict.checks)} of {len(found.verdict.checks)}"}
    if (cosines := [output.cosine for output in found.outputs if not output.ranked]) != []:
        tiles["least cosine"] = f"{min(cosines):.6f}"
    if found.matched is not None:
        for name, value in (
            ("objects unmatched", found.matched.unmatched),
            ("mean IoU", found.matched.mean_iou),
            ("same best class", found.matched.top1),
        ):
            if value is not None:
                tiles[name] = f"{value:.2%}" if name != "mean IoU" else f"{value:.4f}"
    if found.metric is not None:
        tiles[found.metric.decided.metric] = f"{found.metric.decided.candidate:.4f}"
    for name, share in list(found.candidate_precisions.shares.items())[:1]:
        tiles["computes in"] = f"{share:.0%} {name}"
    return tiles


def _parting(found: Verification) -> str:
    return "" if found.parting is None else section("Where they part", f"<p>{escape(str(found.parting))}</p>")


def _checks(found: Verification) -> str:
    rows = [
        (check.name, _number(check.observed), _number(check.limit), "passed" if check.passed else "FAILED")
        for check in sorted(found.verdict.checks, key=lambda check: check.passed)
    ]
    return section("Checks", table(("check", "observed", "limit", "verdict"), rows))


def _number(value: float | str) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _outputs(found: Verification) -> str:
    if not found.outputs:
        return ""
    rows = [
        (
            output.name + (" (by rank)" if output.ranked else ""),
            *(f"{value:.3g}" for value in (output.max_abs, output.p99_abs, output.mean_abs)),
            *(f"{value:.3g}" for value in (output.max_rel, output.p99_rel, output.mean_rel)),
            f"{output.cosine:.7f}",
            f"{output.compared:,}",
        )
        for output in found.outputs
    ]
    head = ("output", "max", "p99", "mean", "max, relative", "p99, relative", "mean, relative", "cosine", "values")
    caption = "Errors in the output's own unit, and relative to the size of the channel that a value belongs to."
    return section("Error of each output", table(head, rows, caption, numbers=range(1, 9)))


def _metric(found: Verification) -> str:
    if found.metric is None:
        return ""
    decided = found.metric.decided
    return pairs(
        f"The task: {decided.metric}",
        {
            "reference": f"{decided.reference:.4f}",
            "candidate": f"{decided.candidate:.4f}",
            "difference": f"{decided.difference:+.4f}",
            "with 95 % certainty": f"from {decided.low:+.4f} to {decided.high:+.4f}",
            "may be lost": f"{decided.margin:.4f}",
            "decision": decided.decision,
            "more pictures needed": "" if not decided.more_samples else f"{decided.more_samples:,}",
        },
    )


def _worst(found: Verification) -> str:
    shown = [drawn for worst in found.worst for drawn in _side_by_side(worst, found)]
    told = '<p class="note">The reference on the left, the candidate on the right.</p>' if shown else ""
    return section("The pictures of which they say the most different things", told, figures(shown))


def _side_by_side(worst: Worst, found: Verification) -> list[str]:
    import cv2

    image = worst.sample.read()
    shown = [annotate(image, _sure(one)) for one in (worst.reference, worst.candidate)]
    scale = min(1.0, _WIDE / image.shape[1])
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    small = [cv2.resize(one, size, interpolation=cv2.INTER_AREA) for one in shown]
    gap = np.full((size[1], 6, 3), 255, np.uint8)
    both: npt.NDArray[np.uint8] = np.concatenate([small[0], gap, small[1]], axis=1)
    counts = f"{len(_sure(worst.reference))} and {len(_sure(worst.candidate))} found"
    caption = f"{worst.sample.name}: {worst.disagreement:.1%} apart; {counts}"
    alt = f"what {found.reference.path.name} and {found.candidate.path.name} say of {worst.sample.name}"
    return [figure(jpeg(both), alt, caption)]


def _sure(found: Detections, conf: float = 0.25) -> Detections:
    """What a user would see: objects above the usual threshold, or the best classes."""
    return found[:3] if found.of_frame.any() else found[found.confidence >= conf]


def _precision(found: Verification) -> str:
    parts = []
    for artifact, inside in (
        (found.reference, found.reference_precisions),
        (found.candidate, found.candidate_precisions),
    ):
        if inside.layers:
            rows = [(name, share, f"{share:.1%}") for name, share in inside.shares.items()]
            title = f"{artifact.path.name}: share of multiply-accumulates"
            parts.append(f"<h3>{escape(title)}</h3>{charts.bars(title, 'by the type a layer computes in', rows)}")
        elif inside.unreadable:
            parts.append(f'<p class="note">{escape(artifact.path.name)}: {escape(inside.unreadable)}</p>')
    parts.append(_layers(found.candidate_precisions))
    return section("What computes in what", *parts)


def _layers(inside: Precisions) -> str:
    total = sum(layer.work for layer in inside.layers) or 1
    rows = [
        (layer.name, layer.op, layer.dtype, f"{layer.work / total:.2%}")
        for layer in sorted(inside.layers, key=lambda layer: -layer.work)[:40]
    ]
    more = len(inside.layers) - len(rows)
    caption = "The candidate's layers that do the most work" + (f"; {more} more do less" if more > 0 else "")
    return table(("layer", "operator", "computes in", "share of work"), rows, caption, numbers=(3,)) if rows else ""


def _about(found: Verification) -> dict[str, str]:
    return {
        "reference": f"{found.reference.path} ({found.reference.format})",
        "reference sha256": found.reference.sha256,
        "candidate": f"{found.candidate.path} ({found.candidate.format})",
        "candidate sha256": found.candidate.sha256,
        "judged as": found.precision,
        "inputs": found.inputs,
        "seconds": ", ".join(f"{name} {value:.2f}" for name, value in found.seconds.items()),
    }
