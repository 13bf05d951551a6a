"""Whether two models say the same of the same pictures, after decoding: what a user would see.

Objects are paired one to one, whatever their class, and only then are classes compared: by name, since a shuffled
list of labels changes no number, and by number, since a shifted output changes no name. An object near the
threshold may be on either side of it; it is neither a hit nor a miss.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, final

import numpy as np
import numpy.typing as npt

from throughline.assignment import pair
from throughline.contracts.detections import Detections
from throughline.contracts.verdicts import Check

_LEAST_IOU: Final = 0.45
_OTHER_CLASS: Final = 0.15
"""What another class costs a pair: two objects in one place are told apart by it."""
_TOP: Final = 5


@final
@dataclass(frozen=True, slots=True)
class Agreement:
    """What may differ after decoding, in one precision.

    Attributes:
        unmatched: the share of objects that have no partner.
        iou: the least mean overlap of pairs.
        score: the most that scores may differ by in the mean.
        classes: the least share of pairs with the same class.
        slack: so near to the threshold an object may be on either side of it.
        top1: the least share of pictures with the same best class.
        tie: two classes whose probabilities differ by less than this share are equally good.
        spare: so many objects or pictures may always differ: a share of few is no finer than one of them.
    """

    unmatched: float
    iou: float
    score: float
    classes: float
    slack: float
    top1: float
    tie: float
    spare: int = 0


AGREEMENTS: Final[Mapping[str, Agreement]] = {
    "float32": Agreement(0.005, 0.99, 0.005, 0.995, 0.02, 0.99, 0.01),
    "float16": Agreement(0.02, 0.97, 0.02, 0.99, 0.05, 0.98, 0.05, 1),
    "bfloat16": Agreement(0.05, 0.94, 0.03, 0.98, 0.10, 0.97, 0.10, 1),
    "int8": Agreement(0.08, 0.90, 0.06, 0.96, 0.15, 0.95, 0.20, 1),
}


@final
@dataclass(frozen=True, slots=True)
class MatchedOutputs:
    """What came of the pairing. Shares are from 0 to 1; None is what these models do not give.

    Attributes:
        threshold: from which confidence on an object counts.
        objects: how many the reference and the candidate found, those near the threshold included.
        pairs: how many were paired.
        by_number: the share of pairs with the same class number.
        by_name: and with the same class name.
        mask_iou: the mean overlap of the pairs' masks.
        top1: the share of pictures with the same best class, by name.
        top5: the mean share of the five best classes that both have.
    """

    pictures: int
    threshold: float
    objects: tuple[int, int]
    pairs: int
    unmatched: float | None
    mean_iou: float | None
    worst_iou: float | None
    score: float | None
    by_number: float | None
    by_name: float | None
    mask_iou: float | None
    top1: float | None
    top1_by_number: float | None
    top5: float | None

    def checks(self, limit: Agreement) -> list[Check]:
        """These figures against what may differ; none where nothing was found to match."""

        def at_least(name: str, value: float | None, least: float, count: int = 0) -> Check | None:
            least = min(least, 1 - limit.spare / count) if count else least
            if value is None:
                return None
            return Check(f"matched outputs: {name}", round(value, 5), round(least, 5), value >= least - 1e-9)

        def at_most(name: str, value: float | None, most: float, count: int = 0) -> Check | None:
            most = max(most, limit.spare / count) if count else most
            if value is None:
                return None
            return Check(f"matched outputs: {name}", round(value, 5), round(most, 5), value <= most + 1e-9)

        checks = [
            at_most("unmatched", self.unmatched, limit.unmatched, sum(self.objects)),
            at_least("mean IoU", self.mean_iou, limit.iou),
            at_most("score difference", self.score, limit.score),
            at_least("same class by name", self.by_name, limit.classes, self.pairs),
            at_least("same class by number", self.by_number, limit.classes, self.pairs),
            at_least("mask IoU", self.mask_iou, limit.iou - 0.04),
            at_least("same best class by name", self.top1, limit.top1, self.pictures),
            at_least("same best class by number", self.top1_by_number, limit.top1, self.pictures),
            at_least("same five best classes", self.top5, limit.top1 - 0.1),
        ]
        return [check for check in checks if check is not None]


@final
@dataclass
class Matching:
    """Gathers pictures, one pair of results at a time."""

    threshold: float
    limit: Agreement
    _pictures: int = 0
    _objects: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(2, np.int64))
    _alone: int = 0
    _certain: int = 0
    _ious: list[float] = field(default_factory=list)
    _scores: list[float] = field(default_factory=list)
    _numbers: list[bool] = field(default_factory=list)
    _names: list[bool] = field(default_factory=list)
    _masks: list[float] = field(default_factory=list)
    _best: list[bool] = field(default_factory=list)
    _best_numbers: list[bool] = field(default_factory=list)
    _five: list[float] = field(default_factory=list)

    def add(self, reference: Detections, candidate: Detections) -> float:
        """Take in what both say of one picture; from 0, all the same, to 1, nothing."""
        self._pictures += 1
        if reference.of_frame.any() or candidate.of_frame.any():
            return self._classes(reference[reference.of_frame], candidate[candidate.of_frame])
        low, high = self.threshold - self.limit.slack, self.threshold + self.limit.slack
        a, b = reference[reference.confidence >= low], candidate[candidate.confidence >= low]
        iou = overlaps(a.xyxy, b.xyxy)
        same = _names(a)[:, None] == _names(b)[None]
        rows, columns = pair(1 - iou + np.where(same, 0.0, _OTHER_CLASS), 1 - _LEAST_IOU + _OTHER_CLASS)
        good = iou[rows, columns] >= _LEAST_IOU
        rows, columns = rows[good], columns[good]
        lonely = [
            int(np.count_nonzero(_others(one.confidence, made) >= high)) for one, made in ((a, rows), (b, columns))
        ]
        surest = np.maximum(a.confidence[rows], b.confidence[columns])
        counted = surest >= self.threshold
        rows, columns = rows[counted], columns[counted]
        self._objects += [int((one.confidence >= self.threshold).sum()) for one in (a, b)]
        self._alone += sum(lonely)
        self._certain += 2 * len(rows) + sum(lonely)
        self._ious += iou[rows, columns].tolist()
        self._scores += np.abs(a.confidence[rows] - b.confidence[columns]).tolist()
        numbers = (a.class_id[rows] == b.class_id[columns]).tolist()
        self._numbers += numbers
        named = bool(a.labels and b.labels)
        self._names += same[rows, columns].tolist() if named else []
        if a.masks is not None and b.masks is not None:
            for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
                self._masks.append(_mask_iou(a[row : row + 1], b[column : column + 1]))
        whole = 2 * len(rows) + sum(lonely)
        agreed = float(np.sum(iou[rows, columns] * same[rows, columns])) if len(rows) else 0.0
        return 1 - 2 * agreed / whole if whole else 0.0

    def done(self) -> MatchedOutputs:
        """What was gathered."""

        def mean(values: list[float] | list[bool]) -> float | None:
            return float(np.mean(values)) if values else None

        return MatchedOutputs(
            self._pictures,
            self.threshold,
            (int(self._objects[0]), int(self._objects[1])),
            len(self._ious),
            self._alone / self._certain if self._certain else None,
            mean(self._ious),
            min(self._ious, default=None),
            mean(self._scores),
            mean(self._numbers),
            mean(self._names),
            mean(self._masks),
            mean(self._best),
            mean(self._best_numbers),
            mean(self._five),
        )

    def _classes(self, reference: Detections, candidate: Detections) -> float:
        named = bool(reference.labels and candidate.labels)
        best = [self._same_best(reference.class_id, candidate.class_id, reference.confidence)]
        self._best_numbers += best
        if named:
            best = [self._same_best(_names(reference), _names(candidate), reference.confidence)]
            self._best += best
        kind = _names if named else lambda found: found.class_id
        five, other = set(kind(reference)[:_TOP].tolist()), set(kind(candidate)[:_TOP].tolist())
        wanted = min(_TOP, len(five))
        near = set(kind(reference)[reference.confidence >= self._least_of_five(reference)].tolist())
        self._five.append(len(other & near) / wanted if wanted else float(not other))
        return 1 - (0.5 * best[0] + 0.5 * self._five[-1])

    def _same_best(self, mine: npt.NDArray[np.generic], other: npt.NDArray[np.generic], confidence: Array32) -> bool:
        """Whether the candidate's best is the reference's, or one that the reference finds as good."""
        if not len(mine) or not len(other):
            return len(mine) == len(other)
        there = np.flatnonzero(mine == other[0])
        return bool(there.size and confidence[there[0]] >= confidence[0] * (1 - self.limit.tie))

    def _least_of_five(self, found: Detections) -> float:
        if not len(found):
            return 0.0
        return float(found.confidence[min(_TOP, len(found)) - 1]) * (1 - self.limit.tie)


Array32 = npt.NDArray[np.float32]


def overlaps(a: Array32, b: Array32) -> npt.NDArray[np.float64]:
    """Intersection over union of every box with every other."""
    first, second = a.astype(np.float64)[:, None], b.astype(np.float64)[None]
    shared = np.maximum(np.minimum(first[..., 2:], second[..., 2:]) - np.maximum(first[..., :2], second[..., :2]), 0)
    common = shared.prod(axis=2)
    whole = _areas(first) + _areas(second) - common
    result: npt.NDArray[np.float64] = np.divide(common, whole, out=np.zeros_like(common), where=whole > 0)
    return result


def _areas(boxes: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    area: npt.NDArray[np.float64] = np.maximum(boxes[..., 2:] - boxes[..., :2], 0).prod(axis=2)
    return area


def _names(found: Detections) -> npt.NDArray[np.object_]:
    names = [found.name_of(number) for number in found.class_id.tolist()]
    made = np.empty(len(names), np.object_)
    made[:] = names
    return made


def _others(values: Array32, taken: npt.NDArray[np.intp]) -> Array32:
    left = np.ones(len(values), np.bool_)
    left[taken] = False
    return values[left]


def _mask_iou(a: Detections, b: Detections) -> float:
    one, other = a.mask, b.mask
    assert one is not None
    assert other is not None
    whole = np.count_nonzero(one[0] | other[0])
    return float(np.count_nonzero(one[0] & other[0]) / whole) if whole else 1.0
