"""How a stored picture lies, and how it comes upright: cameras that are held sideways store sideways pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import av


@final
@dataclass(frozen=True, slots=True)
class Turn:
    """One of the eight ways in which a stored picture can lie."""

    transposed: bool = False
    mirrored: bool = False
    upended: bool = False

    @classmethod
    def of(cls, picture: av.VideoFrame) -> Turn:
        """As the frame's display matrix says: x' = ax + cy, y' = bx + dy. For a whole stream: see ``Turns``."""
        data: Any = picture.side_data.get("DISPLAYMATRIX")
        if data is None:
            return cls()
        a, b, _, c, d = np.frombuffer(bytes(data), np.int32)[:5].tolist()
        if abs(b) + abs(c) > abs(a) + abs(d):
            return cls(True, c < 0, b < 0)
        return cls(False, a < 0, d < 0)

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height once it lies upright."""
        return (height, width) if self.transposed else (width, height)

    def stored(self, size: tuple[int, int]) -> tuple[int, int]:
        """Height and width, upright, as they are stored."""
        return (size[1], size[0]) if self.transposed else size

    def apply(self, image: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The picture upright."""
        if self.transposed:
            image = image.transpose(1, 0, 2)
        if self.mirrored:
            image = image[:, ::-1]
        if self.upended:
            image = image[::-1]
        return np.ascontiguousarray(image)

    def places(
        self, rows: npt.NDArray[np.intp], columns: npt.NDArray[np.intp], size: tuple[int, int]
    ) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
        """Where places of the upright picture, which has this height and width, are stored."""
        rows = size[0] - 1 - rows if self.upended else rows
        columns = size[1] - 1 - columns if self.mirrored else columns
        return (columns, rows) if self.transposed else (rows, columns)


@final
class Turns:
    """How the pictures of one stream lie: the matrix is read for the first, and where the angle changes.

    Reading it ties a picture to itself, and such a knot is only undone when Python looks for
    knots: read for each picture, whole seconds of video would stay in memory.
    """

    def __init__(self) -> None:
        self._angle: int | None = None
        self._turn = Turn()

    def of(self, picture: av.VideoFrame) -> Turn:
        """How this picture lies."""
        angle = picture.rotation
        if angle != self._angle:
            self._angle, self._turn = angle, Turn.of(picture)
        return self._turn
