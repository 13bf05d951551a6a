"""A frame of any size into a model's input, and boxes back into the frame's own pixels.

The picture is scaled to fit, centred, and the rest is filled with grey. The
inverse is exact: what the forward step did is kept as whole pixels and one
ratio per axis, so no box drifts by the rounding of the resize.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from throughline.contracts.errors import InputError
from throughline.contracts.frames import Picture
from throughline.vision.scaling import room, scaled

GREY = 114
"""What detectors are trained to see as "nothing here"."""


@dataclass(frozen=True, slots=True)
class Letterbox:
    """How a frame of one size lies inside a model input of another.

    Attributes:
        frame: height and width of the frame.
        canvas: height and width of the model's input.
        picture: height and width of the scaled picture inside the canvas.
        corner: top and left of the picture inside the canvas.
    """

    frame: tuple[int, int]
    canvas: tuple[int, int]
    picture: tuple[int, int]
    corner: tuple[int, int]

    @classmethod
    def fit(cls, frame: tuple[int, int], canvas: tuple[int, int]) -> Letterbox:
        """The largest centred picture that keeps the frame's proportions."""
        if min(*frame, *canvas) < 1:
            raise InputError(f"cannot fit {frame} into {canvas}", "every side is at least one pixel")
        scale = min(canvas[0] / frame[0], canvas[1] / frame[1])
        height, width = (max(1, min(room, round(side * scale))) for side, room in zip(frame, canvas, strict=True))
        return cls(frame, canvas, (height, width), ((canvas[0] - height) // 2, (canvas[1] - width) // 2))

    def apply(self, picture: npt.NDArray[np.uint8] | Picture, into: npt.NDArray[np.float32]) -> None:
        """Write a picture into one 3 x height x width slot of a batch: RGB from 0 to 1."""
        import cv2

        size = picture.shape[:2] if isinstance(picture, np.ndarray) else picture.size
        if size != self.frame:
            raise InputError(f"the frame is {size}; this letterbox was made for {self.frame}")
        small = scaled(picture, self.picture)
        (height, width), (top, left) = self.picture, self.corner
        across = slice(top, top + height)
        for margin in (into[:, :top], into[:, top + height :], into[:, across, :left], into[:, across, left + width :]):
            margin.fill(GREY / 255)
        white = np.float32(1 / np.iinfo(small.dtype).max)
        channels = cv2.split(small, list(room("channels", (3, height, width), small.dtype)))
        for channel, values in zip(into[:, across, left : left + width], channels, strict=True):
            np.copyto(channel, values)
            channel *= white

    def to_canvas(self, xyxy: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
        """Boxes of the frame, in the pixels of the model's input."""
        scale, shift = self._scale_and_shift()
        return (xyxy * scale + shift).astype(np.float32)

    def to_frame(self, xyxy: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
        """Boxes of the model's input, in the pixels of the frame and inside it."""
        scale, shift = self._scale_and_shift()
        height, width = self.frame
        return np.clip((xyxy - shift) / scale, 0, [width, height, width, height]).astype(np.float32)

    def _scale_and_shift(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        x, y = self.picture[1] / self.frame[1], self.picture[0] / self.frame[0]
        top, left = self.corner
        return np.array([x, y, x, y]), np.array([left, top, left, top], np.float64)
