"""How well masks cover what they should: object by object as COCO counts it, and in pixels a class.

Average precision is that of boxes with the overlap of masks in place of the overlap of boxes.
Mean intersection over union asks nothing about objects: all pixels that some sure enough object
of a class covers are its region, and each class's region is compared over all pictures together.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from throughline.contracts.detections import Detections
from throughline.contracts.errors import InputError
from throughline.contracts.masks import Crop
from throughline.evaluation._side_by_side import side_by_side
from throughline.evaluation.boxes import BoxScores, box_scores
from throughline.evaluation.matching import SIZES, Floats, match

SURE: Final = 0.25
"""How confident an object must be to count towards its class's region."""


@dataclass(frozen=True, slots=True, eq=False)
class Regions:
    """Pixels by picture and class.

    Attributes:
        names: the classes that either side has, by number.
        common: pixels that both sides give to the class: pictures x classes.
        whole: pixels that one of them does.
    """

    names: dict[int, str]
    common: npt.NDArray[np.int64]
    whole: npt.NDArray[np.int64]

    def by_class(self) -> dict[str, float]:
        """Intersection over union of each class over all pictures."""
        common, whole = self.common.sum(axis=0), self.whole.sum(axis=0)
        shares = zip(self.names.values(), common.tolist(), whole.tolist(), strict=True)
        return {name: part / both_sides for name, part, both_sides in shares if both_sides}


def score_masks(found: Iterable[Detections], truth: Iterable[Detections], *, most: int = 100) -> BoxScores:
    """As ``score_boxes``, by the overlap of masks; an object's size is that of its mask where the truth gives none.

    Args:
        found: the results, with masks.
        truth: what is really there, with masks.
        most: the most objects of one class and frame that count, the most confident first.
    """
    return box_scores(match(found, truth, most=most, sizes=SIZES, shared=mask_overlaps, areas=mask_areas))


def regions(found: Sequence[Detections], truth: Sequence[Detections], *, sure: float = SURE) -> Regions:
    """The pixels of each class on both sides.

    Args:
        found: the results, with masks.
        truth: what is really there, with masks.
        sure: objects of less confidence count for nothing.
    """
    common: dict[tuple[int, int], int] = {}
    whole: dict[tuple[int, int], int] = {}
    names: dict[int, str] = {}
    pictures = 0
    for number, seen, real in side_by_side(found, truth):
        pictures = number + 1
        seen = seen[seen.confidence >= sure]
        ours, theirs = _masks(seen, "results"), _masks(real, "truth")
        _same_frame(seen, real)
        for kind in np.union1d(seen.class_id, real.class_id).tolist():
            names.setdefault(kind, real.name_of(kind) if real.labels else seen.name_of(kind))
            a, b = _union(ours, seen.class_id == kind), _union(theirs, real.class_id == kind)
            both = _common(a, b)
            common[number, kind] = both
            whole[number, kind] = int(a.pixels.sum()) + int(b.pixels.sum()) - both
    names = dict(sorted(names.items()))
    column = {kind: at for at, kind in enumerate(names)}
    tables = np.zeros((2, pictures, len(names)), np.int64)
    for table, cells in zip(tables, (common, whole), strict=True):
        for (number, kind), pixels in cells.items():
            table[number, column[kind]] = pixels
    return Regions(names, tables[0], tables[1])


def mask_overlaps(found: Detections, truth: Detections, crowd: npt.NDArray[np.bool_]) -> Floats:
    """Intersection over union of every found mask with every true one; 0 where the classes differ.

    Of a crowd it is the share of the found mask that lies in it.
    """
    ours, theirs = _masks(found, "results"), _masks(truth, "truth")
    _same_frame(found, truth)
    own, there = mask_areas(found), mask_areas(truth, given=False)
    shared = np.zeros((len(found), len(truth)))
    for row, column in zip(*np.nonzero(found.class_id[:, None] == truth.class_id[None]), strict=True):
        both = _common(ours[row], theirs[column])
        whole = own[row] if crowd[column] else own[row] + there[column] - both
        shared[row, column] = both / whole if both else 0.0
    return shared


def mask_areas(found: Detections, given: bool = True) -> Floats:
    """How many pixels each mask has; what the data set says of an object's area comes first, as in COCO."""
    if given and (said := found.data.get("area")) is not None:
        return said.astype(np.float64)
    return np.array([crop.pixels.sum() for crop in _masks(found, "results")], np.float64)


def _masks(found: Detections, side: str) -> list[Crop]:
    """The masks of all rows: nothing where a row has none would be a wrong score without a word."""
    if not len(found):
        return []
    crops = [None] * len(found) if found.masks is None else list(found.masks.crops)
    known = [crop for crop in crops if crop is not None]
    if len(known) < len(crops):
        raise InputError(
            f"{len(crops) - len(known)} objects of the {side} have no mask",
            "give a segmentation model and data with masks, or evaluate boxes",
        )
    return known


def _same_frame(found: Detections, truth: Detections) -> None:
    sizes = [side.masks.size for side in (found, truth) if side.masks is not None and len(side)]
    if len(set(sizes)) > 1:
        raise InputError(
            f"masks of a picture of {sizes[0]} are compared with those of one of {sizes[1]} (height, width)",
            "bring both to the picture's own size",
        )


def _common(a: Crop, b: Crop) -> int:
    """How many pixels two masks share."""
    top, left = max(a.top, b.top), max(a.left, b.left)
    bottom = min(a.top + a.pixels.shape[0], b.top + b.pixels.shape[0])
    right = min(a.left + a.pixels.shape[1], b.left + b.pixels.shape[1])
    if bottom <= top or right <= left:
        return 0
    ours = a.pixels[top - a.top : bottom - a.top, left - a.left : right - a.left]
    theirs = b.pixels[top - b.top : bottom - b.top, left - b.left : right - b.left]
    return int(np.count_nonzero(ours & theirs))


def _union(crops: Sequence[Crop], chosen: npt.NDArray[np.bool_]) -> Crop:
    """What these cover together."""
    parts = [crops[row] for row in np.flatnonzero(chosen).tolist() if crops[row].pixels.size]
    if not parts:
        return Crop(0, 0, np.zeros((0, 0), np.bool_))
    top, left = min(one.top for one in parts), min(one.left for one in parts)
    bottom = max(one.top + one.pixels.shape[0] for one in parts)
    right = max(one.left + one.pixels.shape[1] for one in parts)
    canvas = np.zeros((bottom - top, right - left), np.bool_)
    for one in parts:
        high, wide = one.pixels.shape
        canvas[one.top - top : one.top - top + high, one.left - left : one.left - left + wide] |= one.pixels
    return Crop(top, left, canvas)
