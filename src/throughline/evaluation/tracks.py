"""MOTA, IDF1 and HOTA: how well objects were followed, each measure blind to what another sees.

MOTA counts what was missed, made up or given another identity from one frame to the next. IDF1 asks
how long each object kept the one identity that fits it best. HOTA weighs finding and following
alike, over 19 strictnesses. A box of the wrong class is no match. Tests hold every figure to TrackEval's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from throughline.assignment import pair
from throughline.contracts.detections import Detections
from throughline.contracts.errors import InputError
from throughline.evaluation._side_by_side import overlaps, side_by_side

_STRICTNESSES: Final = np.arange(0.05, 0.99, 0.05)
_EPSILON: Final = float(np.finfo(np.float64).eps)

Numbers: TypeAlias = npt.NDArray[np.int64]
Floats: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TrackScores:
    """How well objects were followed; a share is not a number where there was nothing to compare.

    Attributes:
        mota: 1 less the share of misses, false alarms and switches in all true boxes; can be below 0.
        idf1: share of boxes that carry the one identity that fits their object best, from 0 to 1.
        hota: geometric mean of finding (deta) and following (assa), over all strictnesses, from 0 to 1.
        deta: how well boxes were found, over all strictnesses.
        assa: how well the found ones were kept together, over all strictnesses.
        misses: true boxes that nothing was found for.
        false_alarms: found boxes with nothing under them.
        switches: how often an object got another identity than it had.
        objects: true identities.
        tracks: identities in the results.
        boxes: true boxes.
        frames: how many frames were compared.
    """

    mota: float
    idf1: float
    hota: float
    deta: float
    assa: float
    misses: int
    false_alarms: int
    switches: int
    objects: int
    tracks: int
    boxes: int
    frames: int


def score_tracks(found: Iterable[Detections], truth: Iterable[Detections], *, overlap: float = 0.5) -> TrackScores:
    """Compare who was followed with who was there, one Detections with identities a frame on each side.

    Args:
        found: the results; boxes without an identity were not followed, and are left out.
        truth: what is really there.
        overlap: the least intersection over union that makes a match, for MOTA and IDF1.
    """
    if not 0 < overlap <= 1:
        raise InputError(f"overlap is {overlap}; it must be over 0 and at most 1", "give 0.5, as is usual")
    lives_of, tracks_of = _Register(), _Register()
    moments, without = [], 0
    for frame, boxes, real in side_by_side(found, truth):
        followed = _identified(boxes)
        if len(named := _identified(real)) < len(real):
            raise InputError(f"frame {frame}: a box of the truth has no identity", "give truth that names its objects")
        without += len(boxes) - len(followed)
        rows = lives_of.take(named, frame, "truth"), tracks_of.take(followed, frame, "results")
        moments.append(_Moment(*rows, overlaps(named, followed)))
    lives, tracks = lives_of.counts(), tracks_of.counts()
    if without and not len(tracks):
        raise InputError(f"none of the {without} boxes of the results has an identity", "run with a tracker")
    there, seen = int(lives.sum()), int(tracks.sum())
    matched, switches = _continued(moments, len(lives), overlap)
    kept = _kept(moments, len(lives), len(tracks), overlap)
    hota, deta, assa = _weighed(moments, lives, tracks)
    return TrackScores(
        mota=_share(matched - (seen - matched) - switches, there),
        idf1=_share(2 * kept, there + seen),
        hota=hota,
        deta=deta,
        assa=assa,
        misses=there - matched,
        false_alarms=seen - matched,
        switches=switches,
        objects=len(lives),
        tracks=len(tracks),
        boxes=there,
        frames=len(moments),
    )


@dataclass(frozen=True, slots=True)
class _Moment:
    """One frame: who is there and who was seen, by their rows in the registers, and how far each two overlap."""

    real: Numbers
    ours: Numbers
    shared: Floats


class _Register:
    """Gives identities row numbers, and counts the boxes of each."""

    def __init__(self) -> None:
        self._rows: dict[int, int] = {}
        self._boxes: list[int] = []

    def take(self, one: Detections, frame: int, side: str) -> Numbers:
        """The rows of a frame's identities."""
        assert one.tracker_id is not None
        rows = []
        for identity in one.tracker_id.tolist():
            row = self._rows.setdefault(identity, len(self._boxes))
            if row == len(self._boxes):
                self._boxes.append(0)
            self._boxes[row] += 1
            rows.append(row)
        if len(set(rows)) < len(rows):
            raise InputError(f"frame {frame}: one identity is twice in the {side}", "an object has one box a frame")
        return np.array(rows, np.int64)

    def counts(self) -> Numbers:
        """How many boxes each identity has."""
        return np.array(self._boxes, np.int64)


def _identified(one: Detections) -> Detections:
    """The rows that have an identity."""
    identities = np.full(len(one), -1) if one.tracker_id is None else one.tracker_id
    return replace(one[identities >= 0], tracker_id=identities[identities >= 0])


def _continued(moments: Sequence[_Moment], objects: int, overlap: float) -> tuple[int, int]:
    """For MOTA: matches, preferring those that go on from the frame before, and changes of identity."""
    matched, switches = 0, 0
    ever, before = np.full(objects, -1), np.full(objects, -1)
    for moment in moments:
        if not len(moment.real) or not len(moment.ours):
            continue  # and the frame before the gap still counts as the one before
        goes_on = moment.ours[None] == before[moment.real][:, None]
        worth = np.where(moment.shared < overlap - _EPSILON, 0.0, 1000.0 * goes_on + moment.shared)
        rows, columns = pair(-worth, 0.0)
        real, ours = moment.real[rows], moment.ours[columns]
        matched += len(rows)
        switches += int(((ever[real] >= 0) & (ever[real] != ours)).sum())
        before[:] = -1
        before[real] = ever[real] = ours
    return matched, switches


def _kept(moments: Sequence[_Moment], objects: int, tracks: int, overlap: float) -> int:
    """For IDF1: the boxes that match when each object is paired with at most one identity, at best."""
    together = np.zeros((objects, tracks))
    for moment in moments:
        rows, columns = np.nonzero(moment.shared >= overlap)
        together[moment.real[rows], moment.ours[columns]] += 1
    rows, columns = pair(-together, 0.0)
    return int(together[rows, columns].sum())


def _weighed(moments: Sequence[_Moment], lives: Numbers, tracks: Numbers) -> tuple[float, float, float]:
    """HOTA, DetA and AssA: boxes are matched so that whole tracks align, then judged at every strictness."""
    alike = np.zeros((len(lives), len(tracks)))
    for moment in moments:
        shared = moment.shared
        either = shared.sum(axis=0) + shared.sum(axis=1, keepdims=True) - shared
        alike[np.ix_(moment.real, moment.ours)] += np.divide(
            shared, either, out=np.zeros_like(shared), where=either > _EPSILON
        )
    total = lives[:, None] + tracks[None]
    aligned = alike / np.maximum(total - alike, _EPSILON)
    met: list[tuple[Numbers, Numbers, Floats]] = []
    for moment in moments:
        rows, columns = pair(-aligned[np.ix_(moment.real, moment.ours)] * moment.shared, 0.0)
        met.append((moment.real[rows], moment.ours[columns], moment.shared[rows, columns]))
    real, ours = (np.concatenate([one[at] for one in met] or [np.empty(0, np.int64)]) for at in (0, 1))
    shared = np.concatenate([one[2] for one in met] or [np.empty(0)])
    boxes = int(lives.sum() + tracks.sum())
    found, kept = [], []
    for strictness in _STRICTNESSES:
        enough = shared >= strictness - _EPSILON
        pairs, counts = np.unique(real[enough] * len(tracks) + ours[enough], return_counts=True)
        hits = int(enough.sum())
        found.append(_share(hits, boxes - hits))
        lengths = total.ravel()[pairs] - counts
        kept.append(float((counts * (counts / np.maximum(lengths, 1))).sum() / max(hits, 1)))
    return float(np.sqrt(np.multiply(found, kept)).mean()), float(np.mean(found)), float(np.mean(kept))


def _share(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")
