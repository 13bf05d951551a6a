"""What the camera adds: its tremble, its softness and its noise, in whole numbers only."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from throughline.testing.world.dice import Dice
from throughline.testing.world.look import Look


def tremble(seed: int, index: int, fps: int, reach: float) -> tuple[int, int]:
    """How far the camera has moved at this frame, in whole pixels, never further than ``reach``."""
    if reach <= 0:
        return 0, 0
    pace = 9 * index
    beat, part = pace // fps, pace % fps / fps
    ease = part * part * (3 - 2 * part)
    moved = []
    for axis in (0, 1):
        before, after = (Dice(seed, 3, axis, knot).between(-1, 1) for knot in (beat, beat + 1))
        moved.append(int((before + (after - before) * ease) * reach))
    return moved[0], moved[1]


def expose(picture: npt.NDArray[np.uint8], seed: int, index: int, look: Look) -> npt.NDArray[np.uint8]:
    """The picture as the sensor gives it."""
    if look.blur > 0:
        picture = _soften(picture, look.blur)
    if look.noise > 0:
        picture = _grain(picture, seed, index, look.noise)
    return picture


def _soften(picture: npt.NDArray[np.uint8], blur: float) -> npt.NDArray[np.uint8]:
    whole = int(blur)
    weights = [4] * whole + ([int((blur - whole) * 4 + 0.5)] if blur > whole else [])
    soft = picture.astype(np.uint16)
    for side in weights:
        for axis in (0, 1):
            wide = np.pad(soft, [(1, 1) if axis == a else (0, 0) for a in range(3)], mode="edge")
            before, after = (wide[:-2], wide[2:]) if axis == 0 else (wide[:, :-2], wide[:, 2:])
            soft = (soft * np.uint16(16 - 2 * side) + (before + after) * np.uint16(side) + np.uint16(8)) >> np.uint16(4)
    return soft.astype(np.uint8)


def _grain(picture: npt.NDArray[np.uint8], seed: int, index: int, deviation: float) -> npt.NDArray[np.uint8]:
    import cv2

    height, width = picture.shape[:2]
    brighter, darker = _noise(height, width, deviation)
    dice = Dice(seed, 4, index)
    y, x = dice.below(brighter.shape[0] - height + 1), dice.below(brighter.shape[1] - width + 1)
    window = (slice(y, y + height), slice(x, x + width))
    lit: npt.NDArray[np.uint8] = cv2.subtract(cv2.add(picture, brighter[window]), darker[window])
    return lit


@lru_cache(maxsize=4)
def _noise(height: int, width: int, deviation: float) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """A field of noise larger than the frame, split into what it adds and what it takes."""
    field = Dice(0, 5).bytes(4, height + 61, width + 67, 3).astype(np.int32).sum(axis=0) - 510
    # Four bytes add up to a bell of standard deviation 147.8, which is 256 x 0.5774.
    scaled = field * int(deviation * 4096 / 147.8) + 2048 >> 12
    return np.clip(scaled, 0, 255).astype(np.uint8), np.clip(-scaled, 0, 255).astype(np.uint8)
