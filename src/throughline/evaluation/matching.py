"""What was found against what is there, frame by frame and once: which is right, at which of ten strictnesses.

What is right at which thresholds is one number with a bit for each. Everything that is asked
afterwards (average precision, intervals over thousands of draws, the worst mistakes) reads it from here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from throughline.contracts.detections import Detections
from throughline.contracts.errors import InputError
from throughline.evaluation._side_by_side import overlaps, side_by_side

THRESHOLDS: Final = np.linspace(0.5, 0.95, 10)
SIZES: Final[Mapping[str, tuple[float, float]]] = {
    "all": (0.0, 1e10),
    "small": (0.0, 32.0**2),
    "medium": (32.0**2, 96.0**2),
    "large": (96.0**2, 1e10),
}
"""COCO's sizes of objects, in square pixels; an object at an edge counts on both sides, as there."""
ALL: Final = (1 << len(THRESHOLDS)) - 1

Flags: TypeAlias = npt.NDArray[np.bool_]
Bits: TypeAlias = npt.NDArray[np.int64]
Floats: TypeAlias = npt.NDArray[np.float64]
Shared: TypeAlias = Callable[[Detections, Detections, Flags], Floats]
Areas: TypeAlias = Callable[[Detections], Floats]


@dataclass(frozen=True, slots=True, eq=False)
class Matches:
    """Every found box, frame by frame and the surest first, and every object that was to be found.

    Attributes:
        frames: how many frames were compared.
        names: the truth's classes, by number.
        kind: class number of each found box.
        confidence: how sure it is.
        frame: where it was found.
        right: for each size, at which thresholds it is right, a bit each.
        void: for each size, at which thresholds it does not count.
        object_kind: class number of each object.
        object_frame: where the object is.
        object_area: its area in square pixels.
    """

    frames: int
    names: Mapping[int, str]
    kind: npt.NDArray[np.int64]
    confidence: npt.NDArray[np.float32]
    frame: npt.NDArray[np.int64]
    right: Mapping[str, Bits]
    void: Mapping[str, Bits]
    object_kind: npt.NDArray[np.int64]
    object_frame: npt.NDArray[np.int64]
    object_area: Floats

    def of_size(self, size: str) -> Flags:
        """Which objects are of a size."""
        low, high = SIZES[size]
        return (self.object_area >= low) & (self.object_area <= high)

    def part(self, frames: npt.NDArray[np.int64]) -> Matches:
        """The same of these frames alone, each of which is there at most once."""
        place = np.full(self.frames, -1)
        place[frames] = np.arange(len(frames))
        boxes, objects = place[self.frame] >= 0, place[self.object_frame] >= 0
        kinds = self.object_kind[objects]
        return Matches(
            len(frames),
            {kind: name for kind, name in self.names.items() if kind in kinds},
            self.kind[boxes],
            self.confidence[boxes],
            place[self.frame[boxes]],
            {size: bits[boxes] for size, bits in self.right.items()},
            {size: bits[boxes] for size, bits in self.void.items()},
            kinds,
            place[self.object_frame[objects]],
            self.object_area[objects],
        )


def box_areas(found: Detections) -> Floats:
    """The area of each box; what the data set says of an object's area comes first, as in COCO."""
    if (given := found.data.get("area")) is not None:
        return given.astype(np.float64)
    sides = np.maximum(found.xyxy[:, 2:].astype(np.float64) - found.xyxy[:, :2].astype(np.float64), 0.0)
    return np.asarray(sides.prod(axis=1), np.float64)


def match(
    found: Iterable[Detections],
    truth: Iterable[Detections],
    *,
    most: int = 100,
    sizes: Iterable[str] = ("all",),
    shared: Shared = overlaps,
    areas: Areas = box_areas,
) -> Matches:
    """Match what was found to what is there.

    Args:
        found: the results; their confidence puts them in order.
        truth: what is really there; rows whose column ``data["crowd"]`` is true are regions in which nothing counts.
        most: the most boxes of one class and frame that count, the most confident first.
        sizes: the object sizes that will be asked about, each matched on its own as COCO does.
        shared: how much each two overlap.
        areas: how large each is.
    """
    if most < 1:
        raise InputError(f"most is {most}; at least one box of a frame must count", "give 1 or more; COCO's is 100")
    sizes, frames, names = tuple(sizes), 0, dict[int, str]()
    boxes: list[tuple[npt.NDArray[np.int64], npt.NDArray[np.float32], npt.NDArray[np.int64]]] = []
    objects: list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], Floats]] = []
    right: dict[str, list[Bits]] = {size: [] for size in sizes}
    void: dict[str, list[Bits]] = {size: [] for size in sizes}
    for number, seen, real in side_by_side(found, truth):
        frames = number + 1
        crowd = _crowd(real, number)
        for kind in np.unique(real.class_id[~crowd]).tolist():
            names.setdefault(kind, real.name_of(kind))
        kept = _most_confident(seen, most)
        overlap, large, there = shared(kept, real, crowd), areas(kept), areas(real)
        for size in sizes:
            low, high = SIZES[size]
            hit, out = _matched(overlap, crowd, crowd | (there < low) | (there > high))
            outside = (large < low) | (large > high)
            right[size].append(hit)
            void[size].append(np.where(outside, out | (ALL & ~hit), out))
        boxes.append((kept.class_id, kept.confidence, np.full(len(kept), number)))
        objects.append((real.class_id[~crowd], np.full(int((~crowd).sum()), number), there[~crowd]))
    nothing = np.empty(0, np.int64)
    kinds, confidence, where = (np.concatenate([one[at] for one in boxes] or [nothing]) for at in range(3))
    real_kinds, real_where, real_areas = (np.concatenate([one[at] for one in objects] or [nothing]) for at in range(3))
    return Matches(
        frames,
        dict(sorted(names.items())),
        kinds,
        confidence.astype(np.float32, copy=False),
        where,
        {size: np.concatenate(several or [nothing]) for size, several in right.items()},
        {size: np.concatenate(several or [nothing]) for size, several in void.items()},
        real_kinds,
        real_where,
        real_areas.astype(np.float64, copy=False),
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
    masks = None if found.masks is None else found.masks[order]
    return Detections(found.xyxy[order], found.confidence[order], found.class_id[order], masks)


def _matched(shared: Floats, crowd: Flags, aside: Flags) -> tuple[Bits, Bits]:
    """For each found box, the thresholds at which it has an object, and at which that object does not count.

    Boxes choose in their order: the object that they overlap most and that is still free, one that
    stands ``aside`` only where there is none. A crowd is free for everyone.
    """
    rows, columns = np.nonzero(shared >= THRESHOLDS[0])
    overlap = shared[rows, columns]
    order = np.lexsort((-columns, -overlap, aside[columns], rows))  # of equals, the last
    reached = (1 << np.searchsorted(THRESHOLDS, overlap, side="right")) - 1
    right, void, taken = [0] * len(shared), [0] * len(shared), [0] * len(crowd)
    is_crowd, is_aside = crowd.tolist(), aside.tolist()
    for row, column, bits in zip(rows[order].tolist(), columns[order].tolist(), reached[order].tolist(), strict=True):
        made = bits & ~right[row] & ~taken[column]
        right[row] |= made
        if is_aside[column]:
            void[row] |= made
        if not is_crowd[column]:
            taken[column] |= made
    return np.array(right, np.int64), np.array(void, np.int64)
