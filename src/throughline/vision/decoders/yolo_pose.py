"""The layout that YOLO pose exports publish: boxes of people, each with its keypoints.

[batch, 4 + 1 + 3k, places], or [batch, rows, 6 + 3k] with NMS built in: after the box
and its scores x, y and visibility of each keypoint, in pixels of the model's input. They
become ``data["keypoints"]``, objects x k x 3, in the frame's pixels and inside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from throughline.contracts.artifacts import Array
from throughline.contracts.detections import Detections
from throughline.plugins import Plugin
from throughline.vision.decoders._heads import Floats, another_layout, best_places, finished_rows, first_of, sound
from throughline.vision.letterbox import Letterbox
from throughline.vision.preprocess import PLAIN


def decode(
    outputs: Mapping[str, Array],
    fits: Sequence[Letterbox],
    *,
    labels: tuple[str, ...],
    conf: float,
    iou: float,
    max_det: int,
) -> list[Detections]:
    """The detections of each frame of a batch with their keypoints, in that frame's own pixels."""
    classes = max(1, len(labels))
    expected = f"YOLO pose gives (batch, 4 + {classes} + 3k, places) or (batch, rows, 6 + 3k)"
    raw = first_of(outputs, 3, expected)
    # There are always more places, or rows, than numbers that describe one.
    finished = raw.shape[1] > raw.shape[2]
    numbers = raw.shape[2] - 6 if finished else raw.shape[1] - 4 - classes
    if numbers < 3 or numbers % 3:
        raise another_layout(outputs, expected)
    found = []
    for one, fit in zip(raw, fits, strict=True):
        rows = one if finished else one.T
        rows = rows[sound(rows)]
        if finished:
            best = finished_rows(rows, conf=conf, max_det=max_det)
            points = rows[best.places, 6:]
        else:
            scores = rows[:, 4 : 4 + classes]
            best = best_places(rows[:, :4], scores, conf=conf, iou=iou, max_det=max_det)
            points = rows[best.places, 4 + classes :]
        found.append(replace(best.on(fit, labels), data={"keypoints": _on_frame(points, fit)}))
    return found


def _on_frame(points: Array, fit: Letterbox) -> Floats:
    triples = points.reshape(len(points), -1, 3).astype(np.float32)
    xy = fit.to_frame(np.tile(triples[..., :2], 2))[..., :2]
    return np.concatenate([xy, triples[..., 2:]], axis=2)


PLUGIN = Plugin(
    make=lambda: decode,
    summary="YOLO pose exports: people with keypoints",
    facts={"preprocess": PLAIN},
)
