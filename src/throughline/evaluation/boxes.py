"""Average precision, as COCO counts it: how well boxes were found, over all confidences and ten strictnesses.

A box is right if it overlaps a true one of its class by at least a threshold; each true box
counts once, for the most confident. The mean is over thresholds from 0.50 to 0.95, 101 levels
of recall and the classes that the truth has. Tests hold every figure to pycocotools'.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from throughline.contracts.detections import Detections
from throughline.contracts.errors import InputError
from throughline.evaluation._side_by_side import overlaps, side_by_side

_THRESHOLDS: Final = np.linspace(0.5, 0.95, 10)
_RECALLS: Final = np.linspace(0.0, 1.0, 101)

Flags: TypeAlias = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class ClassScore:
    """One class: its average precision over all thresholds and at 0.5, and how many objects of it there were."""

    ap50_95: float
    ap50: float
    objects: int


@dataclass(frozen=True, slots=True)
class BoxScores:
    """How well boxes were found, from 0 to 1; not a number where the truth holds nothing to find.

    Attributes:
        map50_95: mean average precision over the thresholds 0.50, 0.55 ... 0.95.
        map50: the same at the threshold 0.50 alone.
        classes: the same for each class that the truth has, by name.
        frames: how many frames were compared.
        objects: how many objects there were to find.
    """

    map50_95: float
    map50: float
    classes: Mapping[str, ClassScore]
    frames: int
    objects: int


def score_boxes(found: Iterable[Detections], truth: Iterable[Detections], *, most: int = 100) -> BoxScores:
    """Compare what was found with what is there, one Detections a frame on each side.

    Rows of the truth whose column ``data["crowd"]`` is true are regions in which nothing is counted:
    boxes that lie in one are neither right nor wrong, and nobody has to find it.

    Args:
        found: the results; their confidence puts them in order.
        truth: what is really there.
        most: the most boxes of one class and frame that count, the most confident first.
    """
    if most < 1:
        raise InputError(f"most is {most}; at least one box of a frame must count", "give 1 or more; COCO's is 100")
    frames = 0
    columns: list[tuple[npt.NDArray[np.int64], npt.NDArray[np.float32], Flags, Flags]] = []
    objects: dict[int, int] = {}
    names: dict[int, str] = {}
    for number, seen, real in side_by_side(found, truth):
        frames = number + 1
        crowd = _crowd(real, number)
        for kind, count in zip(*np.unique(real.class_id[~crowd], return_counts=True), strict=True):
            objects[int(kind)] = objects.get(int(kind), 0) + int(count)
            names.setdefault(int(kind), real.name_of(int(kind)))
        kept = _most_confident(seen, most)
        columns.append((kept.class_id, kept.confidence, *_matched(overlaps(kept, real, crowd), crowd)))
    if columns:
        kinds, confidence = (np.concatenate([column[at] for column in columns]) for at in (0, 1))
        right, void = (np.concatenate([column[at] for column in columns], axis=1) for at in (2, 3))
    classes = {}
    for kind in sorted(objects):
        rows = np.flatnonzero(kinds == kind)
        rows = rows[np.argsort(-confidence[rows], kind="stable")]
        precision = [
            _average_precision(hit[~out], objects[kind]) for hit, out in zip(right[:, rows], void[:, rows], strict=True)
        ]
        classes[names[kind]] = ClassScore(float(np.mean(precision)), precision[0], objects[kind])
    return BoxScores(
        map50_95=_mean(score.ap50_95 for score in classes.values()),
        map50=_mean(score.ap50 for score in classes.values()),
        classes=classes,
        frames=frames,
        objects=sum(objects.values()),
    )


def _crowd(truth: Detections, frame: int) -> Flags:
    crowd = truth.data.get("crowd")
    if crowd is None:
        return np.zeros(len(truth), np.bool_)
    if crowd.dtype != np.bool_ or crowd.ndim != 1:
        raise InputError(
            f"frame {frame}: the truth's column 'crowd' is {crowd.dtype} of shape {crowd.shape}",
            "give one boolean a box",
        )
    return crowd


def _most_confident(found: Detections, most: int) -> Detections:
    """The most confident first, and of each class no more than ``most``."""
    order = np.argsort(-found.confidence, kind="stable")
    if len(order) > most:
        kinds = found.class_id[order]
        order = np.sort(np.concatenate([np.flatnonzero(kinds == kind)[:most] for kind in np.unique(kinds)]))
        order = np.argsort(-found.confidence, kind="stable")[order]
    return Detections(found.xyxy[order], found.confidence[order], found.class_id[order])


def _matched(shared: npt.NDArray[np.float64], crowd: Flags) -> tuple[Flags, Flags]:
    """For each threshold and found box, whether it is right, and whether it is not to be counted.

    Boxes choose in their order: the true box that they overlap most and that is still free, a crowd
    only where there is none. What is free at which thresholds is a number with one bit for each.
    """
    rows, columns = np.nonzero(shared >= _THRESHOLDS[0])
    overlap = shared[rows, columns]
    order = np.lexsort((-columns, -overlap, crowd[columns], rows))  # of equals, the last
    reached = (1 << np.searchsorted(_THRESHOLDS, overlap, side="right")) - 1
    right, void, taken = [0] * len(shared), [0] * len(shared), [0] * len(crowd)
    is_crowd = crowd.tolist()
    for row, column, bits in zip(rows[order].tolist(), columns[order].tolist(), reached[order].tolist(), strict=True):
        made = bits & ~right[row] & ~taken[column]
        right[row] |= made
        if is_crowd[column]:
            void[row] |= made
        else:
            taken[column] |= made
    each = np.arange(len(_THRESHOLDS))[:, None]
    return np.array(right, np.int64) >> each & 1 > 0, np.array(void, np.int64) >> each & 1 > 0


def _average_precision(right: Flags, objects: int) -> float:
    """The mean over recalls of the best precision that is to be had at that recall or more."""
    hits = np.cumsum(right, dtype=np.float64)
    precision = hits / np.arange(1, len(right) + 1)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    at = np.searchsorted(hits / objects, _RECALLS, side="left")
    return float(np.append(best, 0.0)[at].mean())


def _mean(values: Iterable[float]) -> float:
    known = list(values)
    return float(np.mean(known)) if known else float("nan")
