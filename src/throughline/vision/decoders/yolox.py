"""The layout that YOLOX publishes: one row per cell of the grids, in units of the cell.

[batch, cells, 5 + classes]: the centre as an offset from the cell's corner in cells,
the logarithms of width and height in cells, objectness, then classes. The grids of
strides 8, 16 and 32 (and 64 in the largest models) follow each other, row by row.
Its models look at BGR from 0 to 255.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from throughline.contracts.artifacts import Array
from throughline.contracts.detections import Detections
from throughline.plugins import Plugin
from throughline.vision.decoders._heads import Floats, another_layout, best_places, first_of, sound
from throughline.vision.letterbox import Letterbox
from throughline.vision.preprocess import Preprocess

_STRIDES = ((8, 16, 32), (8, 16, 32, 64))


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
    classes = f"5 + {len(labels)}" if labels else "5 + classes"
    expected = f"a YOLOX head gives (batch, cells of strides 8, 16 and 32, {classes})"
    raw = first_of(outputs, 3, expected)
    if raw.shape[2] < 6 or (labels and raw.shape[2] != 5 + len(labels)):
        raise another_layout(outputs, expected)
    found = []
    for rows, fit in zip(raw, fits, strict=True):
        cells = next((grid for strides in _STRIDES if len(grid := _cells(fit.canvas, strides)) == len(rows)), None)
        if cells is None:
            raise another_layout(outputs, f"{expected}: {len(_cells(fit.canvas, _STRIDES[0]))} for {fit.canvas}")
        seen = (rows[:, 4] >= conf) & sound(rows)
        rows, cells = rows[seen].astype(np.float32), cells[seen]
        # A cell as wide as e^20 strides is no object; without the limit it would overflow with a warning.
        sizes = np.exp(np.minimum(rows[:, 2:4], 20)) * cells[:, 2:]
        xywh = np.concatenate([(rows[:, :2] + cells[:, :2]) * cells[:, 2:], sizes], axis=1)
        best = best_places(xywh, rows[:, 4:5] * rows[:, 5:], conf=conf, iou=iou, max_det=max_det)
        found.append(best.on(fit, labels))
    return found


def _cells(canvas: tuple[int, int], strides: tuple[int, ...]) -> Floats:
    """Column, row and stride of every cell, in the order of the output."""
    grids = []
    for stride in strides:
        rows, columns = np.mgrid[: canvas[0] // stride, : canvas[1] // stride]
        grids.append(np.stack([columns.ravel(), rows.ravel(), np.full(rows.size, stride)], axis=1))
    return np.concatenate(grids).astype(np.float32)


PLUGIN = Plugin(
    make=lambda: decode,
    summary="YOLOX exports: offsets within grid cells",
    facts={"preprocess": Preprocess(scale=255, bgr=True)},
)
