"""A smaller or larger picture: fast at any ratio, and without the noise of pixels that are skipped.

Plain linear scaling looks at four pixels whatever the ratio, so of an 8K picture in a
640 pixel input it skips nine tenths, and fine texture turns into noise. Averaging every
pixel costs as much as decoding. In between: linear to twice the size, then the mean of four.
Rows that would hardly count are not read at all: a large picture lies in slow memory.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import numpy.typing as npt

from throughline.contracts.frames import Picture

_STEEP = 2.0
"""From here on, linear scaling alone would skip pixels."""

_rooms = threading.local()


def scaled(
    picture: npt.NDArray[Any] | Picture, size: tuple[int, int], into: npt.NDArray[Any] | None = None
) -> npt.NDArray[Any]:
    """The picture, or one channel of it, at this height and width; written to ``into`` where that is given."""
    import cv2

    if isinstance(picture, Picture):
        return picture.scaled(size)
    height, width = size
    if picture.shape[:2] == size and into is None:
        return picture
    result: npt.NDArray[Any]
    if picture.shape[0] > _STEEP * height or picture.shape[1] > _STEEP * width:
        twice = room("twice", (2 * height, 2 * width, *picture.shape[2:]), picture.dtype)
        cv2.resize(thinned(picture, 2 * height), (2 * width, 2 * height), dst=twice, interpolation=cv2.INTER_LINEAR)
        result = cv2.resize(twice, (width, height), dst=into, interpolation=cv2.INTER_AREA)
    else:
        result = cv2.resize(picture, (width, height), dst=into, interpolation=cv2.INTER_LINEAR)
    return result


def thinned(picture: npt.NDArray[Any], height: int) -> npt.NDArray[Any]:
    """Of every few rows the middle one, as many as linear scaling to this height has a use for; nothing is copied.

    A picture that is three times as high loses nothing: linear scaling reads just these rows. At six times, it would
    mix the two in the middle.
    """
    step = max(1, picture.shape[0] // height)
    while picture.shape[0] % step:  # rows that do not come out even would shift the picture
        step -= 1
    return picture[step // 2 :: step]


def room(use: str, shape: tuple[int, ...], kind: np.dtype[Any]) -> npt.NDArray[Any]:
    """Room for what is needed for a moment and does not leave its caller: one for each use and thread, kept.

    Fresh memory for each frame would cost as much as the arithmetic on it.
    """
    kept: npt.NDArray[Any] | None = getattr(_rooms, use, None)
    if kept is None or kept.shape != shape or kept.dtype != kind:
        kept = np.empty(shape, kind)
        setattr(_rooms, use, kept)
    return kept
