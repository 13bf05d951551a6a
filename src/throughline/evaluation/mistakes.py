"""What goes wrong, counted and shown: which classes are taken for which, and the worst cases by name.

A figure says how good a model is; only its mistakes say why. Objects are paired at one strictness,
those of the same class first, so that a doubtful second label is a false alarm and no confusion.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from throughline.contracts.detections import Detections
from throughline.evaluation._side_by_side import overlaps, side_by_side
from throughline.evaluation.classes import Choices
from throughline.evaluation.matching import box_areas

NOTHING: Final = "nothing"
CONF: Final = 0.25
"""How sure a box must be to count as said: a user would be shown it."""
_IOU: Final = 0.5
_BESIDE: Final = 0.1

Shares: TypeAlias = npt.NDArray[np.float64]
Partners: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing that went wrong.

    Attributes:
        kind: "false alarm", "missed", "wrong class", or "misplaced": of the right class, by less than half an overlap.
        frame: the number of the picture.
        said: the class that the model said; "" for what it missed.
        real: the class that is there; "" for a false alarm.
        confidence: how sure the model was; 0 for what it missed.
        area: of the object, or of the box where there is none, in square pixels.
        box: where the model saw it; None for what it missed and for whole pictures.
        there: where it is; None for a false alarm and for whole pictures.
    """

    kind: str
    frame: int
    said: str
    real: str
    confidence: float
    area: float
    box: tuple[float, float, float, float] | None
    there: tuple[float, float, float, float] | None


@dataclass(frozen=True, slots=True, eq=False)
class Confusion:
    """What is there (rows) and what was said (columns), by class; the last of each is "nothing" where there is any.

    What was misplaced counts twice there, as in average precision: as an object missed and as a false alarm.

    Attributes:
        names: the classes, and perhaps "nothing".
        counts: how often each pair came.
        mistakes: everything off the diagonal, one by one; what was misplaced once.
    """

    names: tuple[str, ...]
    counts: npt.NDArray[np.int64]
    mistakes: tuple[Mistake, ...]

    def worst(self, kind: str, most: int = 6) -> list[Mistake]:
        """The worst of a kind: what the model was surest of, and the largest of what it missed."""
        chosen = [one for one in self.mistakes if one.kind == kind]
        return sorted(chosen, key=lambda one: (-one.confidence, -one.area, one.frame))[:most]

    def busiest(self, most: int = 16) -> Confusion:
        """With the classes alone that most mistakes are about, and all others as one."""
        if len(self.names) <= most + 1:
            return self
        off = self.counts - np.diag(np.diag(self.counts))
        last = len(self.names) - 1 if self.names[-1] == NOTHING else len(self.names)
        order = np.argsort(-(off.sum(axis=0) + off.sum(axis=1))[:last], kind="stable")
        kept = sorted(order[: most - 1].tolist())
        group = [kept.index(at) if at in kept else len(kept) if at < last else len(kept) + 1 for at in range(len(off))]
        size = max(group) + 1
        counts = np.zeros((size, size), np.int64)
        np.add.at(counts, (np.array(group)[:, None], np.array(group)[None]), self.counts)
        names = (*(self.names[at] for at in kept), f"{last - len(kept)} others", *self.names[last:])
        return Confusion(names, counts, self.mistakes)


def confused_boxes(found: Sequence[Detections], truth: Sequence[Detections], *, conf: float = CONF) -> Confusion:
    """Which objects were found as what.

    Args:
        found: the results.
        truth: what is really there; what lies in a crowd is no mistake.
        conf: how sure a box must be to count.
    """
    pairs: list[tuple[int, int]] = []
    mistakes: list[Mistake] = []
    names: dict[int, str] = {}
    for frame, seen, real in side_by_side(found, truth):
        seen = seen[seen.confidence >= conf]
        for side in (seen, real):
            names.update({kind: (real if real.labels else side).name_of(kind) for kind in side.class_id.tolist()})
        crowd = real.data.get("crowd", np.zeros(len(real), np.bool_))
        in_crowd = _overlaps(seen, real[crowd], crowd=True).max(axis=1, initial=0.0) >= _IOU
        real = real[~crowd]
        shared = _overlaps(seen, real)
        partner = _paired(shared, seen, real)
        beside = _beside(shared, seen, real, partner)
        areas, sizes = box_areas(seen), box_areas(real)
        boxes, places = [tuple(box) for box in seen.xyxy.tolist()], [tuple(box) for box in real.xyxy.tolist()]
        for row, column in enumerate(partner.tolist()):
            said, sure = int(seen.class_id[row]), float(seen.confidence[row])
            if column >= 0:
                kind = int(real.class_id[column])
                pairs.append((kind, said))
                if kind != said:
                    about = names[said], names[kind], sure, float(sizes[column])
                    mistakes.append(Mistake("wrong class", frame, *about, boxes[row], places[column]))
            elif not in_crowd[row]:
                pairs.append((-1, said))
                if (near := int(beside[row])) >= 0:
                    about = names[said], names[said], sure, float(sizes[near])
                    mistakes.append(Mistake("misplaced", frame, *about, boxes[row], places[near]))
                else:
                    about = names[said], "", sure, float(areas[row])
                    mistakes.append(Mistake("false alarm", frame, *about, boxes[row], None))
        for column in np.setdiff1d(np.arange(len(real)), partner).tolist():
            kind = int(real.class_id[column])
            pairs.append((kind, -1))
            if column not in beside:
                about = "", names[kind], 0.0, float(sizes[column])
                mistakes.append(Mistake("missed", frame, *about, None, places[column]))
    return _table(names, pairs, tuple(mistakes))


def confused_classes(choices: Choices) -> Confusion:
    """Which pictures were taken for what."""
    pairs = list(zip(choices.true.tolist(), choices.said.tolist(), strict=True))
    wrong = tuple(
        Mistake("wrong class", frame, choices.names.get(said, NOTHING), choices.names[real], sure, 0.0, None, None)
        for frame, ((real, said), sure) in enumerate(zip(pairs, choices.sure.tolist(), strict=True))
        if real != said
    )
    return _table(choices.names, pairs, wrong)


def _table(names: Mapping[int, str], pairs: list[tuple[int, int]], mistakes: tuple[Mistake, ...]) -> Confusion:
    known = dict(sorted(names.items()))
    place = {kind: number for number, kind in enumerate(known)}
    whole = len(known) + any(-1 in pair for pair in pairs)
    counts = np.zeros((whole, whole), np.int64)
    for real, said in pairs:
        counts[place.get(real, -1), place.get(said, -1)] += 1
    return Confusion((*known.values(), *[NOTHING] * (whole - len(known))), counts, mistakes)


def _paired(shared: Shares, seen: Detections, real: Detections) -> Partners:
    """The object of each box, -1 where it has none: of its own class first, then where most is shared."""
    rows, columns = np.nonzero(shared >= _IOU)
    other = seen.class_id[rows] != real.class_id[columns]
    partner, taken = np.full(len(seen), -1), np.zeros(len(real), np.bool_)
    for at in np.lexsort((-seen.confidence[rows], -shared[rows, columns], other)).tolist():
        if partner[rows[at]] < 0 and not taken[columns[at]]:
            partner[rows[at]], taken[columns[at]] = columns[at], True
    return partner


def _beside(shared: Shares, seen: Detections, real: Detections, partner: Partners) -> Partners:
    """The object of its class that a box without one lies beside and nobody has found; -1 where there is none."""
    near = np.where(seen.class_id[:, None] == real.class_id[None], shared, 0.0)
    near[partner >= 0] = 0.0
    near[:, partner[partner >= 0]] = 0.0
    rows, columns = np.nonzero(near >= _BESIDE)
    beside = np.full(len(seen), -1)
    for at in np.argsort(-near[rows, columns], kind="stable").tolist():
        if beside[rows[at]] < 0 and columns[at] not in beside:
            beside[rows[at]] = columns[at]
    return beside


def _overlaps(seen: Detections, real: Detections, crowd: bool = False) -> Shares:
    """Whatever the classes."""
    seen, real = (replace(side, class_id=np.zeros(len(side), np.int64)) for side in (seen, real))
    return overlaps(seen, real, np.full(len(real), crowd))
