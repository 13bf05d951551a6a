"""Average precision over frames that count so often, for many such countings at once.

Matching and sorting are done once. A frame that is drawn twice gives each of its boxes twice the
weight, so a draw costs sums along the confidence alone, and a thousand draws are one sum over columns.

Equal confidences stand in the order of their frames, as in pycocotools, and the copies of a frame
that was drawn several times stand one after the other in its place. Every figure is thus
the one that a list with these frames repeated would have; a test holds it to that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from throughline.evaluation.matching import ALL, THRESHOLDS, Matches

_RECALLS: Final = np.linspace(0.0, 1.0, 101)
_AT_ONCE: Final = 64

Counts: TypeAlias = npt.NDArray[np.int64]
Floats: TypeAlias = npt.NDArray[np.float64]
Rows: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class _Ranked:
    """The found boxes of one class, the surest first, and where its objects are."""

    frame: Rows
    right: Rows
    void: Rows
    confidence: npt.NDArray[np.float32]
    object_frame: Rows
    tied: Rows
    """Begins and ends of runs of equal confidence within one frame whose boxes are not all alike."""

    def repeated(self, most: int) -> tuple[_Ranked, Rows]:
        """With each tied run as often as a frame is counted at most; and which copy each row is, 0 where it is all."""
        if most < 2 or not len(self.tied):
            return self, np.zeros(len(self.frame), np.int64)
        order, copy, before = [], [], 0
        for begin, end in self.tied.tolist():
            run = np.arange(begin, end)
            order += [np.arange(before, begin), np.tile(run, most)]
            copy += [np.zeros(begin - before, np.int64), np.repeat(np.arange(1, most + 1), len(run))]
            before = end
        order.append(np.arange(before, len(self.frame)))
        copy.append(np.zeros(len(self.frame) - before, np.int64))
        rows = np.concatenate(order)
        many = _Ranked(
            self.frame[rows], self.right[rows], self.void[rows], self.confidence[rows], self.object_frame, self.tied
        )
        return many, np.concatenate(copy)


class AveragePrecision:
    """Average precision of every class of the truth."""

    def __init__(self, matches: Matches, size: str = "all") -> None:
        """From what was matched, for objects of this size."""
        self.frames = matches.frames
        there = matches.of_size(size)
        kinds, objects = matches.object_kind[there], matches.object_frame[there]
        right, void = matches.right[size], matches.void[size]
        self.classes: tuple[int, ...] = tuple(np.unique(kinds).tolist())
        self._ranked = []
        for kind in self.classes:
            rows = np.flatnonzero((matches.kind == kind) & (void != ALL))
            rows = rows[np.argsort(-matches.confidence[rows], kind="stable")]
            frame, hit, out, sure = matches.frame[rows], right[rows], void[rows], matches.confidence[rows]
            tied = _mixed_runs(frame, sure, hit & ~out, out)
            self._ranked.append(_Ranked(frame, hit & ~out, out, sure, objects[kinds == kind], tied))

    def of(self, counts: Counts | None = None) -> Floats:
        """Average precision, classes x thresholds x draws; not a number where a draw has nothing to find.

        Args:
            counts: how often each frame counts, frames x draws; each once when None.
        """
        if counts is None:
            counts = np.ones((self.frames, 1), np.int64)
        scores = np.empty((len(self.classes), len(THRESHOLDS), counts.shape[1]))
        for start in range(0, counts.shape[1], _AT_ONCE):
            part = counts[:, start : start + _AT_ONCE].astype(np.int32)
            most = int(part.max(initial=0))
            for number, ranked in enumerate(self._ranked):
                scores[number, :, start : start + _AT_ONCE] = _scored(*ranked.repeated(most), part)
        return scores

    def mean(self, counts: Counts | None = None) -> Floats:
        """The mean over thresholds, and over the classes that a draw holds: one figure a draw."""
        return over_classes(self.of(counts).mean(axis=1))

    def curve(self, kind: int, threshold: int = 0) -> tuple[Floats, Floats, npt.NDArray[np.float32]]:
        """Recall, precision and confidence of a class after each box found, at one of the thresholds."""
        ranked = self._ranked[self.classes.index(kind)]
        counted = (ranked.void >> threshold & 1) == 0
        hits = np.cumsum(ranked.right[counted] >> threshold & 1, dtype=np.float64)
        precision = hits / np.arange(1, len(hits) + 1)
        return hits / len(ranked.object_frame), precision, ranked.confidence[counted]


def over_classes(scores: Floats) -> Floats:
    """The mean of the classes that hold something in each draw (classes x draws); not a number where none does."""
    known = np.isfinite(scores)
    count = known.sum(axis=0)
    total = np.where(known, scores, 0.0).sum(axis=0)
    mean: Floats = np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0)
    return mean


def _mixed_runs(frame: Rows, confidence: npt.NDArray[np.float32], right: Rows, void: Rows) -> Rows:
    """Where boxes of one frame are equally sure and not alike: then the order of a frame's copies matters."""
    if len(frame) < 2:
        return np.empty((0, 2), np.int64)
    same = (frame[1:] == frame[:-1]) & (confidence[1:] == confidence[:-1])
    differs = same & ((right[1:] != right[:-1]) | (void[1:] != void[:-1]))
    edges = np.flatnonzero(~same) + 1
    begins, ends = np.concatenate([[0], edges]), np.concatenate([edges, [len(frame)]])
    mixed = np.unique(np.searchsorted(begins, np.flatnonzero(differs), side="right") - 1)
    return np.stack([begins[mixed], ends[mixed]], axis=1)


def _scored(ranked: _Ranked, copy: Rows, counts: npt.NDArray[np.int32]) -> Floats:
    """One class: thresholds x draws.

    Between two right boxes precision only falls, so it is looked at where boxes are right; the best
    that is to be had from there on stands for every level of recall that is reached there.
    """
    objects = counts[ranked.object_frame].sum(axis=0)
    hits_any = np.flatnonzero(ranked.right)
    result = np.zeros((len(THRESHOLDS), counts.shape[1]))
    if len(hits_any):
        weights = _weights(ranked.frame[: hits_any[-1] + 1], copy, counts)
        seen = np.cumsum(weights, axis=0, dtype=np.int32)
        for threshold in range(len(THRESHOLDS)):
            hit = np.flatnonzero(ranked.right >> threshold & 1)
            if not len(hit):
                continue
            out = np.flatnonzero(ranked.void[: hit[-1]] >> threshold & 1)
            so_far = seen[hit]
            if len(out):
                passed_over = np.zeros((len(out) + 1, counts.shape[1]), np.int32)
                np.cumsum(weights[out], axis=0, out=passed_over[1:])
                so_far = so_far - passed_over[np.searchsorted(out, hit)]
            found = np.cumsum(weights[hit], axis=0, dtype=np.int32)
            best = found / np.maximum(so_far, 1)
            np.maximum.accumulate(best[::-1], axis=0, out=best[::-1])
            result[threshold] = (best * np.diff(_levels(found, objects), axis=0, prepend=0)).sum(axis=0)
    return np.where(objects > 0, result / len(_RECALLS), np.nan)


def _weights(frame: Rows, copy: Rows, counts: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    weights = counts[frame]
    copy = copy[: len(frame)]
    if (several := np.flatnonzero(copy)).size:
        weights[several] = weights[several] >= copy[several, None]
    return weights


def _levels(found: npt.NDArray[np.int32], objects: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    """How many levels of recall are reached; none where nothing is found yet."""
    recall = found / np.maximum(objects, 1)
    nearest = np.rint(recall * 100).astype(np.int64)
    return np.where(found > 0, nearest + (_RECALLS[nearest] <= recall), 0)
