"""The pictures on which two models differ most, so that a figure can be looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from throughline.contracts.detections import Detections
from throughline.evaluation.classes import Choices
from throughline.evaluation.matching import match
from throughline.evaluation.mistakes import CONF


@dataclass(frozen=True, slots=True)
class Differing:
    """One picture: its number, what is to be said of each model's answer, and how much better the candidate is."""

    picture: int
    reference: str
    candidate: str
    gain: float


def differing(
    truth: Sequence[Detections], reference: Sequence[Detections], candidate: Sequence[Detections], most: int = 6
) -> list[Differing]:
    """The pictures that differ most, as a user would see them: what is at least 25 % sure, at half an overlap.

    Half of them are those that the candidate wins and half those that it loses, as far as there are as many.

    Args:
        truth: what is really on each picture.
        reference: what one model says of each.
        candidate: what the other says.
        most: how many pictures.
    """
    if truth and all(one.of_frame.any() for one in truth):
        several = _named(truth, reference, candidate)
    else:
        several = _found(truth, reference, candidate)
    won = sorted((one for one in several if one.gain > 0), key=lambda one: -one.gain)
    lost = sorted((one for one in several if one.gain < 0), key=lambda one: one.gain)
    half = max(most // 2, most - min(len(won), len(lost)))
    chosen = sorted([*won[:half], *lost[:half]], key=lambda one: -abs(one.gain))
    return chosen[:most]


def _named(
    truth: Sequence[Detections], reference: Sequence[Detections], candidate: Sequence[Detections]
) -> list[Differing]:
    before, after = Choices.of(reference, truth), Choices.of(candidate, truth)

    def said(choices: Choices, at: int) -> str:
        number = int(choices.said[at])
        name = choices.names.get(number, "nothing")
        return f"{name}, {choices.sure[at]:.0%} sure: {'right' if choices.right[at] else 'wrong'}"

    gain = after.right.astype(float) * after.sure - before.right.astype(float) * before.sure
    apart = np.flatnonzero(before.right != after.right)
    return [Differing(at, said(before, at), said(after, at), float(gain[at])) for at in apart.tolist()]


def _found(
    truth: Sequence[Detections], reference: Sequence[Detections], candidate: Sequence[Detections]
) -> list[Differing]:
    counts = [_counted(found, truth) for found in (reference, candidate)]
    made = []
    for at in range(len(truth)):
        told = []
        f1 = []
        for right, wrong, missed in (counts[0][:, at].tolist(), counts[1][:, at].tolist()):
            told.append(f"{right} found, {missed} missed, {wrong} false")
            f1.append(2 * right / (2 * right + wrong + missed) if right + wrong + missed else 1.0)
        objects = counts[0][0, at] + counts[0][2, at]
        made.append(Differing(at, told[0], told[1], (f1[1] - f1[0]) * float(np.sqrt(max(1, objects)))))
    return made


def _counted(found: Sequence[Detections], truth: Sequence[Detections]) -> npt.NDArray[np.int64]:
    """Right boxes, false ones and missed objects of each picture: 3 x pictures."""
    matches = match([one[one.confidence >= CONF] for one in found], truth)
    counts = matches.void["all"] & 1 == 0
    right = (matches.right["all"] & 1 == 1) & counts
    hits = np.bincount(matches.frame[right], minlength=matches.frames)
    wrong = np.bincount(matches.frame[counts & ~right], minlength=matches.frames)
    objects = np.bincount(matches.object_frame, minlength=matches.frames)
    return np.stack([hits, wrong, np.maximum(objects - hits, 0)]).astype(np.int64)
