"""A smaller or larger picture: fast at any ratio, and without the noise of pixels that are skipped.

Plain linear scaling looks at four pixels whatever the ratio, so of an 8K picture in a
640 pixel input it skips nine tenths, and fine texture turns into noise. Averaging every
pixel costs as much as decoding. In between: linear to twice the size, then the mean of four.
"""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from throughline.contracts.frames import Picture

_STEEP = 2.0
"""From here on, linear scaling alone would skip pixels."""


def scaled(picture: npt.NDArray[Any] | Picture, size: tuple[int, int]) -> npt.NDArray[Any]:
    """The picture, or one channel of it, at this height and width."""
    import cv2

    if isinstance(picture, Picture):
        return picture.scaled(size)
    height, width = size
    if picture.shape[:2] == size:
        return picture
    result: npt.NDArray[Any]
    if picture.shape[0] > _STEEP * height or picture.shape[1] > _STEEP * width:
        twice = cv2.resize(picture, (2 * width, 2 * height), interpolation=cv2.INTER_LINEAR)
        result = cv2.resize(twice, (width, height), interpolation=cv2.INTER_AREA)
    else:
        result = cv2.resize(picture, (width, height), interpolation=cv2.INTER_LINEAR)
    return result
