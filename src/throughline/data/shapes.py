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
    turns = (
        [_turns(points, height, width) for points in shape.parts]
        if isinstance(shape, Polygons)
        else [np.cumsum(shape.counts)]
    )
    turns = [one[one < height * width] for one in turns]
    if not any(map(len, turns)):
        return Crop(0, 0, np.zeros((0, 0), np.bool_))
    left = min(int(one.min()) for one in turns if len(one)) // height
    right = min(width, max(int(one.max()) for one in turns if len(one)) // height + 2)
    if isinstance(shape, Runs):
        right = width if len(shape.counts) % 2 == 0 else right
    columns = np.zeros((right - left, height), np.bool_)
    for one in turns:
        flips = np.bincount(one - left * height, minlength=columns.size)[: columns.size]
        columns |= (np.cumsum(flips) % 2 == 1).reshape(columns.shape)
    filled = columns.T
    rows, across = np.flatnonzero(filled.any(axis=1)), np.flatnonzero(filled.any(axis=0))
    if not len(rows):
        return Crop(0, 0, np.zeros((0, 0), np.bool_))
    top, bottom, first, last = int(rows[0]), int(rows[-1]) + 1, int(across[0]), int(across[-1]) + 1
    return Crop(top, left + first, np.ascontiguousarray(filled[top:bottom, first:last]))


def _turns(points: npt.NDArray[np.float64], height: int, width: int) -> npt.NDArray[np.int64]:
    """Where, counted down one column after the other, a polygon begins or ends: what maskApi.c's rleFrPoly does."""
    corners = (_FINE * points + 0.5).astype(np.int64)  # towards zero, as C does
    starts, ends = corners, np.roll(corners, -1, axis=0)
    across, along = [], []
    for (xs, ys), (xe, ye) in zip(starts.tolist(), ends.tolist(), strict=True):
        wide, tall = abs(xe - xs), abs(ye - ys)
        steep = wide < tall
        flip = ys > ye if steep else xs > xe
        if flip:
            xs, ys, xe, ye = xe, ye, xs, ys
        steps = np.arange(max(wide, tall) + 1)
        if flip:
            steps = steps[::-1]
        if steep:
            slope = (xe - xs) / tall
            across.append((xs + slope * steps + 0.5).astype(np.int64))
            along.append(steps + ys)
        else:
            slope = (ye - ys) / wide if wide else 0.0
            across.append(steps + xs)
            along.append((ys + slope * steps + 0.5).astype(np.int64))
    u, v = np.concatenate(across), np.concatenate(along)
    moved = np.flatnonzero(u[1:] != u[:-1]) + 1
    before, after = u[moved - 1], u[moved]
    x = (np.where(after < before, after, after - 1) + 0.5) / _FINE - 0.5
    y = (np.minimum(v[moved], v[moved - 1]) + 0.5) / _FINE - 0.5
    kept = (np.floor(x) == x) & (x >= 0) & (x <= width - 1)
    rows = np.ceil(np.clip(y[kept], 0, height))
    return np.asarray(x[kept] * height + rows, np.int64)


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
