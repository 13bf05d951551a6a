"""Average precision, as COCO counts it: how well boxes were found, over all confidences and ten strictnesses.

A box is right if it overlaps a true one of its class by at least a threshold; each true box
counts once, for the most confident. The mean is over thresholds from 0.50 to 0.95, 101 levels
of recall and the classes that the truth has. Tests hold every figure to pycocotools'.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from throughline.contracts.detections import Detections
from throughline.evaluation.average_precision import AveragePrecision, over_classes
from throughline.evaluation.matching import SIZES, Matches, match


@dataclass(frozen=True, slots=True)
class ClassScore:
    """One class: its average precision over all thresholds and at 0.5, and how many objects of it there were."""

    ap50_95: float
    ap50: float
    objects: int


@dataclass(frozen=True, slots=True)
class SizeScore:
    """Objects of one size: mean average precision, for each class too, and how many of them there were."""

    map50_95: float
    map50: float
    classes: Mapping[str, ClassScore]
    objects: int


@dataclass(frozen=True, slots=True)
class BoxScores:
    """How well boxes were found, from 0 to 1; not a number where the truth holds nothing to find.

    Attributes:
        map50_95: mean average precision over the thresholds 0.50, 0.55 ... 0.95.
        map50: the same at the threshold 0.50 alone.
        classes: the same for each class that the truth has, by name.
        sizes: the same for objects that are "small" (up to 32 x 32 pixels), "medium" (up to 96 x 96) and "large".
        frames: how many frames were compared.
        objects: how many objects there were to find.
    """

    map50_95: float
    map50: float
    classes: Mapping[str, ClassScore]
    sizes: Mapping[str, SizeScore]
    frames: int
    objects: int


def score_boxes(found: Iterable[Detections], truth: Iterable[Detections], *, most: int = 100) -> BoxScores:
    """Compare what was found with what is there, one Detections a frame on each side.

    Rows of the truth whose column ``data["crowd"]`` is true are regions in which nothing is counted:
    boxes that lie in one are neither right nor wrong, and nobody has to find it. An object's size is
    the truth's column ``data["area"]`` where there is one, else that of its box.

    Args:
        found: the results; their confidence puts them in order.
        truth: what is really there.
        most: the most boxes of one class and frame that count, the most confident first.
    """
    return box_scores(match(found, truth, most=most, sizes=SIZES))


def box_scores(matches: Matches) -> BoxScores:
    """The scores of what was matched already, for all sizes."""
    whole, *sizes = (_of_size(matches, size) for size in SIZES)
    return BoxScores(
        whole.map50_95,
        whole.map50,
        whole.classes,
        dict(zip([size for size in SIZES if size != "all"], sizes, strict=True)),
        matches.frames,
        whole.objects,
    )


def _of_size(matches: Matches, size: str) -> SizeScore:
    precision = AveragePrecision(matches, size)
    scores = precision.of()
    kinds = matches.object_kind[matches.of_size(size)]
    classes = {
        matches.names[kind]: ClassScore(float(score.mean()), float(score[0]), int((kinds == kind).sum()))
        for kind, score in zip(precision.classes, scores[:, :, 0], strict=True)
    }
    return SizeScore(
        float(over_classes(scores.mean(axis=1))[0]), float(over_classes(scores[:, 0])[0]), classes, len(kinds)
    )
