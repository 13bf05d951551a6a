"""A picture with its place in time: what sources give and everything downstream takes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture of a source, upright, as displayed.

    Attributes:
        index: its number in the source, from 0, counted before any stride.
        seconds: presentation time from the start of the source.
        image: height x width x 3, RGB, ``uint8``.
        source: which source it came from.
    """

    index: int
    seconds: float
    image: npt.NDArray[np.uint8]
    source: str
