"""The layout that YOLO exports of version 8 and later publish: one row per channel, one column per place.

``output0`` is [batch, 4 + classes, places]: centre x, centre y, width and height
in pixels of the model's input, then one score per class from 0 to 1. Boxes
overlap; the best of each object is kept here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from throughline.contracts.artifacts import Array
from throughline.contracts.detections import Detections
from throughline.contracts.errors import InputError
from throughline.plugins import Plugin
from throughline.vision.letterbox import Letterbox
from throughline.vision.suppress import suppress


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
    raw = next(iter(outputs.values()))
    if raw.ndim != 3 or raw.shape[1] < 5 or (labels and raw.shape[1] != 4 + len(labels)):
        expected = f"4 + {len(labels)}" if labels else "4 + classes"
        raise InputError(f"the output has shape {raw.shape}; a YOLO head gives (batch, {expected}, places)")
    return [_one(rows, fit, labels, conf, iou, max_det) for rows, fit in zip(raw, fits, strict=True)]


def _one(rows: Array, fit: Letterbox, labels: tuple[str, ...], conf: float, iou: float, max_det: int) -> Detections:
    scores = rows[4:]
    best = scores.max(axis=0)
    places = np.flatnonzero(best >= conf)
    if not len(places):
        return Detections.empty(labels)
    x, y, width, height = rows[:4, places].astype(np.float32)
    xyxy = np.stack([x - width / 2, y - height / 2, x + width / 2, y + height / 2], axis=1)
    confidence, class_id = best[places].astype(np.float32), scores[:, places].argmax(axis=0)
    kept = suppress(xyxy, confidence, class_id, iou=iou, most=max_det)
    return Detections(fit.to_frame(xyxy[kept]), confidence[kept], class_id[kept], labels=labels)


PLUGIN = Plugin(make=lambda: decode, summary="YOLO exports, version 8 and later, without built-in NMS")
