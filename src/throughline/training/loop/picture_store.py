"""The pictures of a set, ready to be varied: read once and kept where they fit in memory, else read when asked for."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, final

import numpy as np
import numpy.typing as npt

from throughline import hardware
from throughline.contracts.errors import InputError
from throughline.contracts.samples import Sample
from throughline.vision.scaling import scaled

_SHARE_OF_MEMORY = 0.25

Shot = tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32], npt.NDArray[np.int64]]
"""A picture, the boxes on it in its own pixels, and their classes."""


@final
class PictureStore:
    """Pictures no larger than they are needed, with what is true of them. Safe to use from several threads."""

    def __init__(
        self, samples: Sequence[Sample], canvas: tuple[int, int], reserve: float, *, stretch: bool = False
    ) -> None:
        """They fit ``canvas`` enlarged by ``reserve``, so that a part of one can be looked at more closely."""
        self._stretch = stretch
        self._samples = samples
        self._canvas = tuple(round(side * (1 + reserve)) for side in canvas)
        most = self._canvas[0] * self._canvas[1] * 3
        self.kept = len(samples) * most < hardware.memory_available() * _SHARE_OF_MEMORY
        self._shots: list[Shot | None] = [None] * len(samples)
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._samples)

    def read_all(self) -> None:
        """Read every picture now, side by side, where they are kept."""
        if self.kept:
            with ThreadPoolExecutor(hardware.cores()) as pool:
                for _ in pool.map(self.shot, range(len(self))):
                    pass

    def shot(self, at: int) -> Shot:
        """One picture with what is on it."""
        known = self._shots[at]
        if known is not None:
            return known
        sample = self._samples[at]
        picture: Any = sample.read()
        height, width = picture.shape[:2]
        tall, wide = ratios((height, width), (self._canvas[0], self._canvas[1]), self._stretch)
        size = max(1, round(height * min(1.0, tall))), max(1, round(width * min(1.0, wide)))
        small = np.ascontiguousarray(scaled(picture, size))
        if sample.truth is None:
            raise InputError(f"{sample.name}: nobody has said what is on it", "label it, or take it out")
        y, x = size[0] / height, size[1] / width
        boxes = (sample.truth.xyxy * np.array([x, y, x, y], np.float32)).astype(np.float32)
        made = small, boxes, sample.truth.class_id
        if self.kept:
            with self._lock:
                self._shots[at] = made
        return made


def ratios(size: tuple[int, int], canvas: tuple[int, int], stretch: bool) -> tuple[float, float]:
    """How much taller and wider a picture becomes that is to fill a canvas, or to lie in it as it is shaped."""
    tall, wide = canvas[0] / size[0], canvas[1] / size[1]
    return (tall, wide) if stretch else (min(tall, wide), min(tall, wide))


def varied(
    shot: Shot,
    canvas: tuple[int, int],
    dice: np.random.Generator,
    *,
    flip: float,
    scale: float,
    stretch: bool = False,
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """A picture somewhere on a canvas, larger or smaller, perhaps mirrored, and the boxes that are still to be seen."""
    import cv2

    from throughline.vision.letterbox import GREY

    picture, boxes, kinds = shot
    height, width = picture.shape[:2]
    zoom = float(dice.uniform(1 - scale, 1 + scale))
    tall, wide = (ratio * zoom for ratio in ratios((height, width), canvas, stretch))
    spare = canvas[0] - height * tall, canvas[1] - width * wide
    top, left = (float(dice.uniform(min(0.0, room), max(0.0, room))) for room in spare)
    mirrored = dice.random() < flip
    down, side = (tall - 1) / 2, (wide - 1) / 2  # boxes count from a pixel's edge, and OpenCV from its centre
    across = [-wide, 0, canvas[1] - left - side - 1] if mirrored else [wide, 0, left + side]
    matrix = np.array([across, [0, tall, top + down]], np.float64)
    placed = cv2.warpAffine(
        picture, matrix, (canvas[1], canvas[0]), flags=cv2.INTER_LINEAR, borderValue=(GREY, GREY, GREY)
    )
    moved = boxes * np.array([wide, tall, wide, tall], np.float32) + np.array([left, top, left, top], np.float32)
    if mirrored:
        moved = moved[:, [2, 1, 0, 3]] * np.array([-1, 1, -1, 1], np.float32)
        moved += np.array([canvas[1], 0, canvas[1], 0], np.float32)
    clipped = moved.clip(0, np.array([canvas[1], canvas[0], canvas[1], canvas[0]], np.float32))
    size, whole = clipped[:, 2:] - clipped[:, :2], moved[:, 2:] - moved[:, :2]
    kept = (size.min(1) >= _LEAST_SIDE) & (size.prod(1) >= _LEAST_SHARE * whole.prod(1))
    return placed, clipped[kept].astype(np.float32), kinds[kept]


_LEAST_SIDE, _LEAST_SHARE = 3, 0.3
"""A box of which less is to be seen is no longer asked for."""
