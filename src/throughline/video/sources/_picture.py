"""A decoded picture as it is displayed: RGB in the stream's own colours, upright, and no more of it than is asked for.

Sizes are stored pixels: where a stream says that its pixels are not square, the picture is
not stretched, because boxes are measured in the pixels that a decoder gives.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, final

import numpy as np
import numpy.typing as npt

from throughline.video.sources._siting import UNKNOWN, sited
from throughline.video.sources._turn import Turn
from throughline.vision.scaling import room, scaled, thinned

if TYPE_CHECKING:
    import av

# AVColorSpace -> the matrix as swscale names it
_MATRIX: Final = {1: "ITU709", 4: "FCC", 5: "ITU601", 6: "ITU601", 7: "SMPTE240M", 9: "BT2020", 10: "BT2020"}
_WEIGHTS: Final = {
    "ITU709": (0.2126, 0.0722),
    "FCC": (0.30, 0.11),
    "ITU601": (0.299, 0.114),
    "SMPTE240M": (0.212, 0.087),
    "BT2020": (0.2627, 0.0593),
}
"""How much of brightness is red, and how much is blue."""
_HD: Final = 720
_RGB_SPACE: Final = 0
_FULL: Final = 2
_DEEP: Final = {"": 8, "10le": 10, "12le": 12}
_BITS: Final = {
    **{f"yuv{layout}p{deep}": bits for layout in ("420", "422", "444") for deep, bits in _DEEP.items()},
    **{f"yuvj{layout}p": 8 for layout in ("420", "422", "444")},
}
"""The layouts whose three planes can be scaled one by one; every other is converted first."""


def decoded(picture: av.VideoFrame, turn: Turn) -> npt.NDArray[np.uint8] | Planes:
    """The picture of a frame: by its planes where they can be read, else converted here and now."""
    if picture.format.name in _BITS and picture.colorspace != _RGB_SPACE:
        return Planes.of(picture, turn)
    return to_rgb(picture, turn)


@final
@dataclass(slots=True, weakref_slot=True, eq=False)
class Planes:
    """A ``contracts.frames.Picture`` that keeps what the decoder gave: brightness and two planes of colour.

    Attributes:
        layout: FFmpeg's name for how they lie.
        planes: brightness first; views of memory that is somebody else's.
        matrix: how colours were made from RGB, as swscale names it.
        full: whether black is 0, as computers have it, and not 16, as television has it.
        turn: how the picture lies.
        picture: the decoder's own, where the planes are views of it.
        siting: where colours lie between pixels, where that has to be known and ``picture`` does not know it.
    """

    layout: str
    planes: tuple[npt.NDArray[Any], ...]
    matrix: str
    full: bool
    turn: Turn
    picture: av.VideoFrame | None = None
    siting: str = UNKNOWN

    @classmethod
    def of(cls, picture: av.VideoFrame, turn: Turn) -> Planes:
        """As the decoder gave it."""
        layout = picture.format.name
        return cls(layout, tuple(_views(picture, layout)), matrix_of(picture), is_full(picture), turn, picture)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width, upright."""
        height, width = self.planes[0].shape
        width, height = self.turn.size(width, height)
        return height, width

    def keep(self) -> None:
        """Copy what is somebody else's memory, and let go of that."""
        own = tuple(plane if plane.flags.owndata else plane.copy() for plane in self.planes)
        self.planes, self.picture = own, None

    def rgb(self) -> npt.NDArray[np.uint8]:
        """All of it."""
        return self.turn.apply(_converted(self.picture or self._rebuilt(), self.matrix, self.full))

    def scaled(self, size: tuple[int, int]) -> npt.NDArray[Any]:
        """Each plane at this size, and only then made RGB. Colours have no fine texture that could turn into noise."""
        import cv2

        height, width = self.turn.stored(size)
        light, *colours = self.planes
        small = room("planes", (3, height, width), light.dtype)
        scaled(light, (height, width), small[0])
        for plane, place in zip(colours, small[1:], strict=True):
            cv2.resize(thinned(plane, height), (width, height), dst=place)
        merged = cv2.merge(list(small), dst=room("merged", (height, width, 3), light.dtype))
        return self.turn.apply(cv2.transform(merged, self._to_rgb(merged.dtype)))

    def colours(self, rows: npt.NDArray[np.intp], columns: npt.NDArray[np.intp]) -> npt.NDArray[np.uint8]:
        """RGB at these places."""
        rows, columns = self.turn.places(rows, columns, self.size)
        light, *others = self.planes
        down, across = rows * others[0].shape[0] // light.shape[0], columns * others[0].shape[1] // light.shape[1]
        values = [light[rows, columns], *(plane[down, across] for plane in others)]
        matrix = self._to_rgb(light.dtype).astype(np.float32)
        mixed = np.stack(values, axis=-1).astype(np.float32) @ matrix[:, :3].T + matrix[:, 3]
        most = np.iinfo(light.dtype).max
        eight_bits: npt.NDArray[np.uint8] = (np.clip(np.rint(mixed), 0, most) * (255 / most)).astype(np.uint8)
        return eight_bits

    def _rebuilt(self) -> av.VideoFrame:
        import av

        planes = self.planes
        height, width = planes[0].shape
        picture = av.VideoFrame(width, height, self.layout)
        for place, plane in zip(_views(picture, self.layout), planes, strict=True):
            place[:] = plane
        return picture if self.siting == UNKNOWN else sited(picture, self.siting)

    def _to_rgb(self, kind: np.dtype[Any]) -> npt.NDArray[np.float64]:
        """What takes stored brightness and colours to RGB over the whole range of ``kind``: 3 x 4."""
        bits = _BITS[self.layout]
        red, blue = _WEIGHTS[self.matrix]
        green, unit, most = 1 - red - blue, 2.0 ** (bits - 8), float(np.iinfo(kind).max)
        black, light, colour = (0.0, 2.0**bits - 1, 2.0**bits - 1) if self.full else (16 * unit, 219 * unit, 224 * unit)
        u, v = 2 * (1 - blue) / colour, 2 * (1 - red) / colour
        mixing = np.array([[1 / light, 0, v], [1 / light, -u * blue / green, -v * red / green], [1 / light, u, 0]])
        shift = -mixing @ [black, 128 * unit, 128 * unit]
        return most * np.column_stack([mixing, shift])


def to_rgb(picture: av.VideoFrame, turn: Turn) -> npt.NDArray[np.uint8]:
    """Height x width x 3, RGB; the array is its own and stays when the decoder goes on."""
    if picture.format.is_rgb or picture.format.name.startswith("gray") or picture.colorspace == _RGB_SPACE:
        image: Any = picture.reformat(format="rgb24").to_ndarray()
        return turn.apply(image)
    return turn.apply(_converted(picture, matrix_of(picture), is_full(picture)))


def shapes_of(layout: str, height: int, width: int) -> tuple[tuple[int, int], ...]:
    """Rows and columns of each plane of a picture of this layout and size."""
    down, across = layout.startswith(("yuv420", "yuvj420")), not layout.startswith(("yuv444", "yuvj444"))
    colours = -(-height // (1 + down)), -(-width // (1 + across))
    return (height, width), colours, colours


def kind_of_numbers(layout: str) -> np.dtype[Any]:
    """What the numbers of a layout's planes are."""
    return np.dtype(np.uint8 if _BITS[layout] == 8 else "<u2")


def _views(picture: av.VideoFrame, layout: str) -> Iterator[npt.NDArray[Any]]:
    """The three planes where they are: this memory stays as long as somebody holds a view of it."""
    for plane in picture.planes:
        values = np.frombuffer(memoryview(plane), kind_of_numbers(layout))
        yield values.reshape(plane.height, -1)[:, : plane.width]


def _converted(picture: av.VideoFrame, matrix: str, full: bool) -> npt.NDArray[np.uint8]:
    """To RGB over the whole range."""
    image: Any = picture.reformat(
        format="rgb24",
        src_colorspace=matrix,
        dst_colorspace="DEFAULT",
        src_color_range="JPEG" if full else "MPEG",
        dst_color_range="JPEG",
    ).to_ndarray()
    return np.asarray(image, np.uint8)


def matrix_of(picture: av.VideoFrame) -> str:
    """The stream's colour matrix; where it does not say, what players take for its size."""
    return _MATRIX.get(picture.colorspace, "ITU709" if picture.height >= _HD else "ITU601")


def is_full(picture: av.VideoFrame) -> bool:
    """Whether black is 0, as computers have it, and not 16, as television has it."""
    return picture.color_range == _FULL or picture.format.name.startswith("yuvj")
