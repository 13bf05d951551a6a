"""How well pictures were told apart: right answers, each class on its own, and whether "90 % sure" means it.

A model that always says the most frequent class has a fine accuracy: balanced accuracy and macro
F1 count every class alike. Calibration lays what the model said of its own sureness beside how often
it was right. Tests hold every figure to scikit-learn's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from throughline.contracts.detections import Detections
from throughline.contracts.errors import InputError
from throughline.evaluation._side_by_side import said_of_frames

BINS: Final = 15
"""As many stretches of confidence as calibration is usually looked at in."""

Numbers: TypeAlias = npt.NDArray[np.int64]
Floats: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ClassFigures:
    """One class: how often the model is right when it says it, how much of it is found, both in one, and how many."""

    precision: float
    recall: float
    f1: float
    pictures: int


@dataclass(frozen=True, slots=True)
class Stretch:
    """The answers of about one confidence: how sure they were on average, how many of them right, and how many."""

    confidence: float
    accuracy: float
    pictures: int


@dataclass(frozen=True, slots=True)
class ClassScores:
    """How well pictures were told apart, from 0 to 1.

    Attributes:
        accuracy: the share of right answers.
        balanced_accuracy: the mean over classes of how much of each is found.
        macro_f1: the mean over classes of F1.
        calibration_error: how far sureness is from being right, on average over all answers; 0 is best.
        classes: each class that the truth has or the model said, by name.
        reliability: sureness beside being right, from unsure to sure.
    """

    accuracy: float
    balanced_accuracy: float
    macro_f1: float
    calibration_error: float
    classes: Mapping[str, ClassFigures]
    reliability: tuple[Stretch, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Choices:
    """For each picture the class it shows, the most probable one that was said (-1: none), and how sure that was."""

    true: Numbers
    said: Numbers
    sure: Floats
    names: Mapping[int, str]

    @classmethod
    def of(cls, found: Sequence[Detections], truth: Sequence[Detections]) -> Choices:
        """From what was said of the pictures as a whole."""
        true, chosen, sure, names = [], [], [], dict[int, str]()
        for number, said, real in said_of_frames(found, truth):
            if len(real) != 1:
                raise InputError(
                    f"picture {number}: the truth names {len(real)} classes for it as a whole",
                    "give exactly one, as a row marked of_frame",
                )
            best = said[np.argsort(-said.confidence, kind="stable")[:1]]
            true.append(int(real.class_id[0]))
            chosen.append(int(best.class_id[0]) if len(best) else -1)
            sure.append(float(best.confidence[0]) if len(best) else 0.0)
            names.setdefault(true[-1], real.name_of(true[-1]))
            if len(best):
                names.setdefault(chosen[-1], (real if real.labels else best).name_of(chosen[-1]))
        return cls(np.array(true, np.int64), np.array(chosen, np.int64), np.array(sure), dict(sorted(names.items())))

    @property
    def right(self) -> npt.NDArray[np.bool_]:
        """Which answers are right; none is wrong."""
        right: npt.NDArray[np.bool_] = self.true == self.said
        return right

    def of_classes(self, counts: Numbers) -> tuple[Floats, Floats, Floats]:
        """Precision, recall and F1 of each class, classes x draws, from how often each picture counts in a draw.

        A class that was never said has precision 0; one that a draw does not hold has no recall (not a number).
        """
        kinds = np.array(list(self.names), np.int64)[:, None]
        true, said = (self.true == kinds).astype(np.int64), (self.said == kinds).astype(np.int64)
        hits, real, claimed = (true * said) @ counts, true @ counts, said @ counts
        precision = hits / np.maximum(claimed, 1)
        recall = np.divide(hits, real, out=np.full(hits.shape, np.nan), where=real > 0)
        f1 = np.divide(2 * hits, real + claimed, out=np.full(hits.shape, np.nan), where=real + claimed > 0)
        return precision, recall, f1


def score_classes(found: Sequence[Detections], truth: Sequence[Detections]) -> ClassScores:
    """Compare what was said of pictures with what they show: rows marked ``of_frame``, the most confident counting.

    Args:
        found: the results; a picture of which nothing was said is wrong.
        truth: exactly one class for each picture.
    """
    return class_scores(Choices.of(found, truth))


def class_scores(choices: Choices) -> ClassScores:
    """The scores of answers that were read already."""
    if not len(choices.true):
        raise InputError("there are no pictures to measure on", "give at least one")
    precision, recall, f1 = (table[:, 0] for table in choices.of_classes(np.ones((len(choices.true), 1), np.int64)))
    error, reliability = _calibration(choices.sure, choices.right)
    classes = {
        name: ClassFigures(float(precision[at]), float(recall[at]), float(f1[at]), int((choices.true == kind).sum()))
        for at, (kind, name) in enumerate(choices.names.items())
    }
    return ClassScores(
        float(choices.right.mean()), float(np.nanmean(recall)), float(np.nanmean(f1)), error, classes, reliability
    )


def _calibration(sure: Floats, right: npt.NDArray[np.bool_]) -> tuple[float, tuple[Stretch, ...]]:
    """The expected calibration error, and what it is made of."""
    place = np.minimum((sure * BINS).astype(np.int64), BINS - 1)
    stretches = []
    for number in np.unique(place).tolist():
        here = place == number
        stretches.append(Stretch(float(sure[here].mean()), float(right[here].mean()), int(here.sum())))
    error = sum(abs(one.confidence - one.accuracy) * one.pictures for one in stretches) / len(sure)
    return error, tuple(stretches)
