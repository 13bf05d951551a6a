"""A picture with its place in time: what sources give and everything downstream takes.

A decoder's picture is not RGB, and making it so at full size costs more than the rest of
what most frames go through. So a frame may hold the picture as it was decoded: what is
asked of it (a smaller picture, a few colours, its size) is made from that directly, and
``image`` only when somebody reads it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, final, runtime_checkable

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]


@runtime_checkable
class Picture(Protocol):
    """A picture that is still as it was decoded. Upright, as displayed, whatever is asked of it."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""

    def rgb(self) -> Image:
        """All of it: height x width x 3."""

    def scaled(self, size: tuple[int, int]) -> npt.NDArray[Any]:
        """RGB of this height and width, ``uint8`` or ``uint16``, from black 0 to white at the type's largest value."""

    def colours(self, rows: npt.NDArray[np.intp], columns: npt.NDArray[np.intp]) -> Image:
        """RGB at these places, which are broadcast against each other."""


@final
@dataclass(frozen=True, eq=False)
class Frame:
    """One picture of a source, upright, as displayed.

    Attributes:
        index: its number in the source, from 0, counted before any stride.
        seconds: presentation time from the start of the source.
        picture: height x width x 3, RGB, ``uint8``; or a picture that can give that.
        source: which source it came from.
    """

    index: int
    seconds: float
    picture: Image | Picture
    source: str

    @cached_property
    def image(self) -> Image:
        """Height x width x 3, RGB, ``uint8``; converted when it is first read."""
        return self.picture if isinstance(self.picture, np.ndarray) else self.picture.rgb()

    @property
    def size(self) -> tuple[int, int]:
        """Height and width; converts nothing."""
        height, width = self.picture.shape[:2] if isinstance(self.picture, np.ndarray) else self.picture.size
        return height, width

    def colours(self, rows: npt.NDArray[np.intp], columns: npt.NDArray[np.intp]) -> Image:
        """RGB at these places, without converting the rest."""
        return (
            self.picture[rows, columns] if isinstance(self.picture, np.ndarray) else self.picture.colours(rows, columns)
        )
