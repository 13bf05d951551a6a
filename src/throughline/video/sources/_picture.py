"""A decoded picture as it is displayed: 8-bit RGB in the stream's own colours, upright.

Sizes are stored pixels: where a stream says that its pixels are not square, the picture is
not stretched, because boxes are measured in the pixels that a decoder gives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import av

# AVColorSpace -> the matrix as swscale names it
_MATRIX = {1: "ITU709", 4: "FCC", 5: "ITU601", 6: "ITU601", 7: "SMPTE240M", 9: "BT2020", 10: "BT2020"}
_HD = 720
_RGB_SPACE = 0
_FULL = 2


def to_rgb(picture: av.VideoFrame, turn: Turn | None = None) -> npt.NDArray[np.uint8]:
    """Height x width x 3, RGB; the array is its own and stays when the decoder goes on."""
    image: Any
    if picture.format.is_rgb or picture.format.name.startswith("gray") or picture.colorspace == _RGB_SPACE:
        image = picture.reformat(format="rgb24").to_ndarray()
    else:
        full = picture.color_range == _FULL or picture.format.name.startswith("yuvj")
        image = picture.reformat(
            format="rgb24",
            src_colorspace=matrix_of(picture),
            dst_colorspace="DEFAULT",
            src_color_range="JPEG" if full else "MPEG",
            dst_color_range="JPEG",
        ).to_ndarray()
    return (turn or Turn.of(picture)).apply(image)


def matrix_of(picture: av.VideoFrame) -> str:
    """The stream's colour matrix; where it does not say, what players take for its size."""
    return _MATRIX.get(picture.colorspace, "ITU709" if picture.height >= _HD else "ITU601")


class Turn:
    """One of the eight ways in which a stored picture can lie."""

    __slots__ = ("mirrored", "transposed", "upended")

    def __init__(self, transposed: bool = False, mirrored: bool = False, upended: bool = False) -> None:
        self.transposed, self.mirrored, self.upended = transposed, mirrored, upended

    @classmethod
    def of(cls, picture: av.VideoFrame) -> Turn:
        """As the frame's display matrix says: x' = ax + cy, y' = bx + dy."""
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

    def apply(self, image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """The picture upright."""
        if self.transposed:
            image = image.transpose(1, 0, 2)
        if self.mirrored:
            image = image[:, ::-1]
        if self.upended:
            image = image[::-1]
        return np.ascontiguousarray(image)
