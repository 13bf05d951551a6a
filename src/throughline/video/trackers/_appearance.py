"""What an object looks like, in 128 bytes: cheap enough to ask only when place and motion cannot tell.

The colours of the upper and of the lower half of the box's middle, counted in
64 bins each: clothes above, clothes below, whichever way somebody faces.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from throughline.contracts.frames import Frame

LENGTH: Final = 128
_DOWN: Final = 12
_SPREAD_ACROSS: Final = np.linspace(-0.3, 0.3, _DOWN)
_SPREAD_DOWN: Final = np.linspace(-0.45, 0.45, 2 * _DOWN)
_HALF: Final = np.repeat((0, LENGTH // 2), _DOWN)[:, None]
_LEVEL: Final = np.minimum(np.sqrt(np.arange(256)) / 4, 3).astype(np.intp)
"""Four levels a channel, finer in the dark, where most of what cameras see at night lies."""
_RED, _GREEN, _BLUE = 16 * _LEVEL, 4 * _LEVEL, _LEVEL

Look = npt.NDArray[np.uint8]


def looks_of(frame: Frame, boxes: npt.NDArray[np.float64]) -> Look:
    """Describe what is in each centred box: 255 times the root of each bin's share; zeros where nothing is."""
    height, width = frame.size
    across = np.floor(boxes[:, :1] + boxes[:, 2:3] * _SPREAD_ACROSS)
    down = np.floor(boxes[:, 1:2] + boxes[:, 3:] * _SPREAD_DOWN)
    columns = np.minimum(np.maximum(across, 0), width - 1)
    rows = np.minimum(np.maximum(down, 0), height - 1)
    colours = frame.colours(rows.astype(np.intp)[:, :, None], columns.astype(np.intp)[:, None])
    bins = _RED[colours[..., 0]]
    bins += _GREEN[colours[..., 1]]
    bins += _BLUE[colours[..., 2]]
    bins += _HALF
    bins += (np.arange(len(boxes)) * LENGTH)[:, None, None]
    visible = (rows == down)[:, :, None] & (columns == across)[:, None]
    counts = np.bincount(bins[visible], minlength=len(boxes) * LENGTH).reshape(-1, LENGTH)
    looks: Look = (255 * np.sqrt(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1))).astype(np.uint8)
    return looks


def difference(first: Look, second: Look) -> npt.NDArray[np.float64]:
    """Hellinger's distance, 0 to 1, of each description from its partner; 0.5 where one is missing."""
    a, b = first.astype(np.float32), second.astype(np.float32)  # whole numbers whose sums stay so: exact
    both, one, other = (np.einsum("ij,ij->i", *sides).astype(np.float64) for sides in ((a, b), (a, a), (b, b)))
    lengths = np.sqrt(one) * np.sqrt(other)
    alike = np.divide(both, lengths, out=np.full(lengths.shape, 0.75), where=lengths > 0)
    apart: npt.NDArray[np.float64] = np.sqrt(np.maximum(1 - alike, 0))
    return apart
