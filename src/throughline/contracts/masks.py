"""Masks, each kept as the rectangle that holds it.

Thirty objects of a 4K frame are 250 MB as full pictures and one or two as what they
are: a few pixels each. The full pictures are made when somebody asks for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from throughline.contracts.errors import InputError


class Crop(NamedTuple):
    """One mask: its pixels, from this row and column of the frame on; everything else is not the object."""

    top: int
    left: int
    pixels: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Masks:
    """One mask a row, all of one frame's size; None for an object whose model gives no masks.

    Attributes:
        size: height and width of the frame.
        crops: the rows.
    """

    size: tuple[int, int]
    crops: tuple[Crop | None, ...]

    def __post_init__(self) -> None:
        height, width = self.size
        for top, left, pixels in filter(None, self.crops):
            if pixels.ndim != 2 or pixels.dtype != np.bool_:
                raise InputError(
                    f"a mask is {pixels.dtype} of shape {pixels.shape}; it must be booleans, rows x columns"
                )
            if min(top, left) < 0 or top + pixels.shape[0] > height or left + pixels.shape[1] > width:
                raise InputError(
                    f"a mask of shape {pixels.shape} begins at row {top}, column {left}; "
                    f"the frame is {height} x {width}",
                    "cut it at the frame's edges",
                )

    @classmethod
    def of(cls, full: npt.NDArray[np.bool_]) -> Masks:
        """From full pictures, n x height x width."""
        if full.ndim != 3:
            raise InputError(f"masks have shape {full.shape}; they must be (n, height, width)")
        height, width = full.shape[1:]
        return cls((height, width), tuple(map(_cropped, full)))

    @classmethod
    def stacked(cls, parts: Sequence[tuple[Masks | None, int]]) -> Masks | None:
        """Those of several results, each with its number of rows, one after the other; None where nobody has any."""
        sizes = {masks.size for masks, _ in parts if masks is not None}
        if not sizes:
            return None
        if len(sizes) > 1:
            raise InputError(
                f"masks of frames of different sizes: {sorted(sizes)}", "put together what is of one frame"
            )
        rows = ((None,) * count if masks is None else masks.crops for masks, count in parts)
        return cls(sizes.pop(), tuple(crop for crops in rows for crop in crops))

    def __len__(self) -> int:
        return len(self.crops)

    def __getitem__(self, rows: npt.NDArray[Any] | slice) -> Masks:
        """The same with only these rows (booleans, indices or a slice)."""
        chosen = np.arange(len(self.crops))[rows].tolist()
        return Masks(self.size, tuple(self.crops[row] for row in chosen))

    def full(self) -> npt.NDArray[np.bool_]:
        """Full pictures, n x height x width; an object without a mask covers nothing."""
        pictures = np.zeros((len(self.crops), *self.size), np.bool_)
        for picture, crop in zip(pictures, self.crops, strict=True):
            if crop is not None:
                height, width = crop.pixels.shape
                picture[crop.top : crop.top + height, crop.left : crop.left + width] = crop.pixels
        return pictures

    def rle(self, row: int) -> dict[str, Any] | None:
        """One mask as COCO's compressed run lengths, ``{"size": [height, width], "counts": "..."}``."""
        crop = self.crops[row]
        return None if crop is None else {"size": list(self.size), "counts": _text(_runs(crop, *self.size))}


def _cropped(full: npt.NDArray[np.bool_]) -> Crop:
    rows = np.flatnonzero(full.any(axis=1))
    if not len(rows):
        return Crop(0, 0, np.zeros((0, 0), np.bool_))
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    columns = np.flatnonzero(full[top:bottom].any(axis=0))
    left, right = int(columns[0]), int(columns[-1]) + 1
    return Crop(top, left, full[top:bottom, left:right].astype(np.bool_, copy=True))


def _runs(crop: Crop, height: int, width: int) -> npt.NDArray[np.int64]:
    """How many pixels are not the object, then how many are, and so on, down one column after the other."""
    tall, wide = crop.pixels.shape
    edged = np.zeros((tall + 2, wide), np.bool_)
    edged[1:-1] = crop.pixels
    row, column = np.divmod(np.flatnonzero(edged[1:] != edged[:-1]), max(1, wide))
    edges = np.sort((crop.left + column) * height + crop.top + row)
    over = np.flatnonzero(edges[1:] == edges[:-1])  # from the lower end of one column to the top of the next
    edges = np.delete(edges, np.concatenate([over, over + 1]))
    runs = np.diff(edges, prepend=0, append=height * width)
    return np.asarray(runs if runs[-1] or len(runs) == 1 else runs[:-1], np.int64)


def _text(runs: npt.NDArray[np.int64]) -> str:
    """Run lengths as COCO prints them: from the fourth on as the change since the one two before.

    Each number is written five bits a character, the lowest first; a sixth bit says that
    more follow, and the last character's fifth is the sign.
    """
    numbers = runs.copy()
    numbers[3:] -= runs[1:-2]
    bits = int(np.abs(numbers).max()).bit_length() + 1
    shifts = np.arange(0, bits, 5)
    digits = (numbers[:, None] >> shifts) & 31
    rest = numbers[:, None] >> (shifts + 5)
    more = np.where(digits & 16, rest != -1, rest != 0)
    written = np.ones_like(more)
    written[:, 1:] = np.logical_and.accumulate(more, axis=1)[:, :-1]
    return bytes(((digits | more * 32) + 48).astype(np.uint8)[written]).decode("ascii")
