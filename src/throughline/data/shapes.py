"""The outline of an object as it is written, and the mask that it stands for.

Polygons are filled by the rule of COCO's own tools, pixel for pixel, so that a metric
computed here and there is the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from throughline.contracts.errors import InputError
from throughline.contracts.masks import Crop

_FINE = 5  # points a pixel, along an edge
_LONGEST = 500_000


@dataclass(frozen=True, slots=True, eq=False)
class Polygons:
    """One object in one or several pieces, each k x 2 points in pixels."""

    parts: tuple[npt.NDArray[np.float64], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Runs:
    """How many pixels are not the object, then how many are, and so on, down one column after the other."""

    counts: npt.NDArray[np.int64]


Shape: TypeAlias = Polygons | Runs


def box_of(shape: Shape, size: tuple[int, int]) -> tuple[float, float, float, float]:
    """The smallest box around it, as x1, y1, x2, y2."""
    if isinstance(shape, Polygons):
        points = np.concatenate(shape.parts)
        (x1, y1), (x2, y2) = points.min(axis=0), points.max(axis=0)
        return float(x1), float(y1), float(x2), float(y2)
    top, left, pixels = crop_of(shape, size)
    height, width = pixels.shape
    return float(left), float(top), float(left + width), float(top + height)


def crop_of(shape: Shape, size: tuple[int, int]) -> Crop:
    """Its mask in a picture of this height and width."""
    height, width = size
    if isinstance(shape, Runs):
        is_object = np.arange(len(shape.counts)) % 2 == 1
        return _cut(np.repeat(is_object, shape.counts).reshape(width, height), 0, 0)
    turns = [one for points in shape.parts if len((one := _turns(points, height, width))[0])]
    if not turns:
        return _NOTHING
    left, top = min(int(columns.min()) for columns, _ in turns), min(int(rows.min()) for _, rows in turns)
    right, bottom = max(int(columns.max()) for columns, _ in turns), max(int(rows.max()) for _, rows in turns)
    filled = np.zeros((right - left + 1, bottom - top + 1), np.bool_)
    for columns, rows in turns:
        flips = np.bincount((columns - left) * filled.shape[1] + rows - top, minlength=filled.size)
        filled |= (np.cumsum(flips, dtype=np.int32) & 1).astype(np.bool_).reshape(filled.shape)
    return _cut(filled, top, left)


_NOTHING = Crop(0, 0, np.zeros((0, 0), np.bool_))


def _cut(columns: npt.NDArray[np.bool_], top: int, left: int) -> Crop:
    """From a mask given column by column, that begins there, what holds the object."""
    rows, across = np.flatnonzero(columns.any(axis=0)), np.flatnonzero(columns.any(axis=1))
    if not len(rows):
        return _NOTHING
    first, last, begins, ends = int(rows[0]), int(rows[-1]) + 1, int(across[0]), int(across[-1]) + 1
    return Crop(top + first, left + begins, np.ascontiguousarray(columns[begins:ends, first:last].T))


def _turns(
    points: npt.NDArray[np.float64], height: int, width: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """In which columns, and there from which row on, a polygon begins or ends: what maskApi.c's rleFrPoly does.

    Every column has an even number of turns, the last of which may be just below it.
    """
    starts = (_FINE * points + 0.5).astype(np.int64)  # towards zero, as C does
    ends = np.roll(starts, -1, axis=0)
    wide, tall = np.abs(ends - starts).T
    steep = wide < tall
    flip = np.where(steep, starts[:, 1] > ends[:, 1], starts[:, 0] > ends[:, 0])
    begin, end = np.where(flip[:, None], ends, starts), np.where(flip[:, None], starts, ends)
    steps = np.maximum(wide, tall)
    rise = np.where(steep, end[:, 0] - begin[:, 0], end[:, 1] - begin[:, 1])
    slope = rise / np.maximum(steps, 1)
    edge = np.repeat(np.arange(len(points)), steps + 1)
    at = np.arange(len(edge)) - np.repeat(np.cumsum(steps + 1) - steps - 1, steps + 1)
    at = np.where(flip[edge], steps[edge] - at, at)
    lying, standing = begin[edge, 0], begin[edge, 1]
    across = np.where(steep[edge], (lying + slope[edge] * at + 0.5).astype(np.int64), lying + at)
    along = np.where(steep[edge], standing + at, (standing + slope[edge] * at + 0.5).astype(np.int64))
    moved = np.flatnonzero(across[1:] != across[:-1]) + 1
    before, after = across[moved - 1], across[moved]
    x = (np.where(after < before, after, after - 1) + 0.5) / _FINE - 0.5
    y = (np.minimum(along[moved], along[moved - 1]) + 0.5) / _FINE - 0.5
    kept = (np.floor(x) == x) & (x >= 0) & (x <= width - 1)
    return x[kept].astype(np.int64), np.ceil(np.clip(y[kept], 0, height)).astype(np.int64)


def polygons_from(parts: Sequence[npt.NDArray[np.float64]]) -> Polygons:
    """An outline in one or several pieces, unless it is longer than any object's."""
    length = sum(float(np.abs(points - np.roll(points, -1, axis=0)).max(axis=1).sum()) for points in parts)
    if length > _LONGEST:
        raise InputError(f"an outline of {length:,.0f} pixels' length; at most {_LONGEST:,} are drawn")
    return Polygons(tuple(parts))


def runs_from(counts: str | Sequence[int], size: tuple[int, int]) -> Runs:
    """COCO's run lengths, as numbers or as the text that they are packed into, held against the picture's size."""
    height, width = size
    numbers = _unpacked(counts) if isinstance(counts, str) else list(counts)
    if any(type(number) is not int or not 0 <= number <= height * width for number in numbers):
        raise InputError("run lengths that are no counts of pixels")
    if sum(numbers) != height * width:
        raise InputError(f"run lengths of {sum(numbers):,} pixels for a picture of {height * width:,}")
    return Runs(np.asarray(numbers, np.int64))


def _unpacked(text: str) -> list[int]:
    """Five bits a character, the lowest first; from the fourth number on as the change since the one two before."""
    numbers: list[int] = []
    value = shift = 0
    for char in text.encode("ascii", "replace"):
        digits = char - 48
        if not 0 <= digits < 64 or shift > 40:
            raise InputError("run lengths that are not packed as COCO's are")
        value |= (digits & 31) << shift
        shift += 5
        if not digits & 32:
            if digits & 16:
                value -= 1 << shift
            numbers.append(value + numbers[-2] if len(numbers) > 2 else value)
            value = shift = 0
    if shift:
        raise InputError("run lengths that end in the middle of a number")
    return numbers
