"""The layout that NanoDet publishes: per stride, a score for each class and four distances as distributions.

For each of the strides 8, 16 and 32, [cells, classes] scores and [cells, 4 x bins]:
for the left, upper, right and lower side one weight for each whole number of strides
from the cell's centre; the distance is their expected value. Exports name and order
the tensors differently and often leave the batch axis out, so they are matched by shape.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil

import numpy as np

from throughline.contracts.artifacts import Array
from throughline.contracts.detections import Detections
from throughline.contracts.errors import InputError
from throughline.plugins import Plugin
from throughline.vision.decoders._heads import Floats, another_layout, best_places, sound
from throughline.vision.letterbox import Letterbox
from throughline.vision.preprocess import Preprocess

_STRIDES = (8, 16, 32)
_BINS = 8
_EXPECTED = f"NanoDet gives, for each stride of {_STRIDES}, (cells, classes) and (cells, {4 * _BINS})"


def decode(
    outputs: Mapping[str, Array],
    fits: Sequence[Letterbox],
    *,
    labels: tuple[str, ...],
    conf: float,
    iou: float,
    max_det: int,
) -> list[Detections]:
    """The detections of each frame of a batch, in that frame's own pixels."""
    tensors = [output[None] if output.ndim == 2 else output for output in outputs.values()]
    if any(tensor.ndim != 3 for tensor in tensors):
        raise another_layout(outputs, _EXPECTED)
    if tensors and len(tensors[0]) != len(fits):
        raise InputError(
            f"the outputs hold {len(tensors[0])} frames and {len(fits)} were given",
            "this export takes one frame at a time: --batch 1",
        )
    levels = [_level(tensors, fits[0].canvas, stride, len(labels), outputs) for stride in _STRIDES] if fits else []
    found = []
    for frame, fit in enumerate(fits):
        boxes, scores = [], []
        for (stride_scores, distances), stride in zip(levels, _STRIDES, strict=True):
            some = np.flatnonzero((stride_scores[frame].max(axis=1) >= conf) & sound(distances[frame]))
            boxes.append(_boxes(distances[frame][some].astype(np.float32), some, fit.canvas, stride))
            scores.append(stride_scores[frame][some])
        best = best_places(np.concatenate(boxes), np.concatenate(scores), conf=conf, iou=iou, max_det=max_det)
        found.append(best.on(fit, labels))
    return found


def _level(
    tensors: list[Array], canvas: tuple[int, int], stride: int, classes: int, outputs: Mapping[str, Array]
) -> tuple[Array, Array]:
    """The scores and the distances of one stride, found by their number of cells."""
    cells = ceil(canvas[0] / stride) * ceil(canvas[1] / stride)
    here = [tensor for tensor in tensors if tensor.shape[1] == cells]
    distances = [tensor for tensor in here if tensor.shape[2] == 4 * _BINS]
    scores = [tensor for tensor in here if tensor.shape[2] == classes or (not classes and tensor.shape[2] != 4 * _BINS)]
    if len(here) != 2 or len(distances) != 1 or len(scores) != 1:
        raise another_layout(outputs, f"{_EXPECTED}, {cells} cells of stride {stride} for {canvas}")
    return scores[0], distances[0]


def _boxes(weights: Array, cells: Array, canvas: tuple[int, int], stride: int) -> Floats:
    """Boxes as centre, width and height, from what these cells say of their four sides."""
    bins = weights.reshape(-1, 4, _BINS)
    likely = np.exp(bins - bins.max(axis=2, keepdims=True))
    left, top, right, bottom = ((likely @ np.arange(_BINS, dtype=np.float32)) / likely.sum(axis=2)).T * stride
    row, column = np.divmod(cells, ceil(canvas[1] / stride))
    x, y = (column + 0.5) * stride, (row + 0.5) * stride
    sides = (x + (right - left) / 2, y + (bottom - top) / 2, left + right, top + bottom)
    return np.stack(sides, axis=1).astype(np.float32)


PLUGIN = Plugin(
    make=lambda: decode,
    summary="NanoDet exports: per-stride scores and side distances",
    facts={
        "preprocess": Preprocess(scale=255, mean=(103.53, 116.28, 123.675), std=(57.375, 57.12, 58.395), bgr=True),
    },
)
