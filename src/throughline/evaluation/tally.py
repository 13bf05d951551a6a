"""What each picture adds to a task's metric, so that the metric of any draw of pictures is a sum.

A metric over a whole set (mean average precision, mean intersection over union) is no mean over
pictures. To know how far it would move on other pictures, it is worked out again for pictures that
count several times or not at all; the models are asked once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias, final

import numpy as np
import numpy.typing as npt

from throughline.contracts.detections import Detections
from throughline.contracts.errors import InputError, nearest
from throughline.evaluation.average_precision import AveragePrecision, over_classes
from throughline.evaluation.classes import Choices
from throughline.evaluation.masks import Regions, regions
from throughline.evaluation.matching import Matches, match

Counts: TypeAlias = npt.NDArray[np.int64]
Floats: TypeAlias = npt.NDArray[np.float64]


class Tally(ABC):
    """One model's answers on one set of pictures, ready to be counted anew.

    Attributes:
        metric: what is counted: "mAP50-95", "accuracy" or "mIoU".
    """

    metric: str

    @abstractmethod
    def __len__(self) -> int:
        """How many pictures."""

    @abstractmethod
    def values(self, counts: Counts) -> Floats:
        """The metric of each draw, from how often each picture counts in it: pictures x draws.

        Not a number for a draw that holds nothing to measure.
        """

    @abstractmethod
    def part(self, rows: npt.NDArray[np.int64]) -> Tally:
        """The same of these pictures alone."""

    def value(self, counts: Counts | None = None) -> float:
        """The metric with picture i taken ``counts[i]`` times, each once when None."""
        taken = np.ones(len(self), np.int64) if counts is None else np.asarray(counts)
        if taken.shape != (len(self),):
            raise InputError(f"counts has shape {taken.shape}; there are {len(self)} pictures", "give one count each")
        return float(self.values(taken[:, None])[0])


@final
class BoxTally(Tally):
    """Mean average precision of boxes."""

    metric = "mAP50-95"

    def __init__(self, matches: Matches) -> None:
        """From boxes that were matched."""
        self.matches = matches
        self.precision = AveragePrecision(matches)

    def __len__(self) -> int:
        return self.matches.frames

    def values(self, counts: Counts) -> Floats:
        """One figure a draw."""
        return self.precision.mean(counts)

    def part(self, rows: npt.NDArray[np.int64]) -> BoxTally:
        """The same of these pictures alone."""
        return BoxTally(self.matches.part(rows))


@final
class AccuracyTally(Tally):
    """The share of pictures whose most probable class is the true one."""

    metric = "accuracy"

    def __init__(self, right: npt.NDArray[np.bool_]) -> None:
        """From whether each picture's answer is right."""
        self.right = right

    def __len__(self) -> int:
        return len(self.right)

    def values(self, counts: Counts) -> Floats:
        """One figure a draw."""
        return _shares((self.right[:, None] * counts).sum(axis=0), counts.sum(axis=0))

    def part(self, rows: npt.NDArray[np.int64]) -> AccuracyTally:
        """The same of these pictures alone."""
        return AccuracyTally(self.right[rows])


@final
class RegionTally(Tally):
    """Mean over classes of intersection over union, in pixels."""

    metric = "mIoU"

    def __init__(self, covered: Regions) -> None:
        """From how many pixels each picture has in common and in all."""
        self.regions = covered

    def __len__(self) -> int:
        return len(self.regions.common)

    def values(self, counts: Counts) -> Floats:
        """One figure a draw."""
        return over_classes(_shares(self.regions.common.T @ counts, self.regions.whole.T @ counts))

    def part(self, rows: npt.NDArray[np.int64]) -> RegionTally:
        """The same of these pictures alone."""
        return RegionTally(Regions(self.regions.names, self.regions.common[rows], self.regions.whole[rows]))


def tally(task: str, found: Sequence[Detections], truth: Sequence[Detections]) -> Tally:
    """What each picture adds to the task's metric.

    Args:
        task: "detect" and "track" count mAP50-95 of boxes, "classify" accuracy, "segment" mIoU.
        found: what the model says of each picture.
        truth: what is really on each.
    """
    if task not in _TALLIES:
        raise InputError(f"there is no metric for the task '{task}'", nearest(task, _TALLIES))
    if not len(truth):
        raise InputError("there are no pictures to measure on", "give at least one")
    return _TALLIES[task](found, truth)


def _shares(part: npt.NDArray[np.int64], whole: npt.NDArray[np.int64]) -> Floats:
    share: Floats = np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=whole > 0)
    return share


_TALLIES: Final[dict[str, Callable[[Sequence[Detections], Sequence[Detections]], Tally]]] = {
    "detect": lambda found, truth: BoxTally(match(found, truth)),
    "track": lambda found, truth: BoxTally(match(found, truth)),
    "classify": lambda found, truth: AccuracyTally(Choices.of(found, truth).right),
    "segment": lambda found, truth: RegionTally(regions(found, truth)),
}
