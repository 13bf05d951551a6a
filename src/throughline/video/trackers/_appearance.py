"""What an object looks like, in 128 bytes: cheap enough to ask only when place and motion cannot tell.

The colours of the upper and of the lower half of the box's middle, counted in
64 bins each: clothes above, clothes below, whichever way somebody faces.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

LENGTH: Final = 128
_DOWN: Final = 12
_SPREAD_ACROSS: Final = np.linspace(-0.3, 0.3, _DOWN)
_SPREAD_DOWN: Final = np.linspace(-0.45, 0.45, 2 * _DOWN)
_LEVEL: Final = np.minimum(np.sqrt(np.arange(256)) / 4, 3).astype(np.intp)
"""Four levels a channel, finer in the dark, where most of what cameras see at night lies."""

Look = npt.NDArray[np.uint8]


def look_of(image: npt.NDArray[np.uint8], box: npt.NDArray[np.float64]) -> Look:
    """Describe what is in a centred box: 255 times the square root of each bin's share; zeros where nothing is."""
    height, width = image.shape[:2]
    x, y, wide, high = box
    columns = (x + wide * _SPREAD_ACROSS).astype(np.intp)
    rows = (y + high * _SPREAD_DOWN).astype(np.intp)
    columns = columns[(columns >= 0) & (columns < width)]
    inside = (rows >= 0) & (rows < height)
    half = np.repeat((0, 64), _DOWN)[inside]
    rows = rows[inside]
    if not len(rows) or not len(columns):
        return np.zeros(LENGTH, np.uint8)
    level = _LEVEL[image[np.ix_(rows, columns)]]
    bins = level[..., 0] * 16 + level[..., 1] * 4 + level[..., 2] + half[:, None]
    counts = np.bincount(bins.ravel(), minlength=LENGTH)
    look: Look = (255 * np.sqrt(counts / counts.sum())).astype(np.uint8)
    return look


def difference(first: Look, second: Look) -> npt.NDArray[np.float64]:
    """Hellinger's distance, 0 to 1, of every description from every other; 0.5 where one is missing."""
    a, b = first.astype(np.float64), second.astype(np.float64)
    lengths = np.sqrt((a * a).sum(axis=1))[:, None] * np.sqrt((b * b).sum(axis=1))[None]
    alike = np.divide(a @ b.T, lengths, out=np.full(lengths.shape, 0.75), where=lengths > 0)
    apart: npt.NDArray[np.float64] = np.sqrt(np.maximum(1 - alike, 0))
    return apart
