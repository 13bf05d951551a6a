"""The layout that YOLO segmentation exports publish: boxes as ever, and a recipe for each one's mask.

[batch, 4 + classes + m, places] and prototypes [batch, m, height, width]: a mask is the
sum of the prototypes, each times the place's coefficient; above zero lies the object.
With NMS built in, [batch, rows, 6 + m] takes the first one's place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import ceil, floor

import numpy as np

from throughline.contracts.artifacts import Array
from throughline.contracts.detections import Detections
from throughline.contracts.masks import Crop, Masks
from throughline.plugins import Plugin
from throughline.vision.decoders._heads import Floats, another_layout, best_places, finished_rows, first_of
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
    """The detections of each frame of a batch, each with its mask, in that frame's own pixels."""
    classes = len(labels) or "classes"
    expected = (
        f"YOLO segmentation gives (batch, 4 + {classes} + m, places) or (batch, rows, 6 + m), "
        "and (batch, m, height, width)"
    )
    raw, prototypes = first_of(outputs, 3, expected), first_of(outputs, 4, expected)
    masks = prototypes.shape[1]
    plain = raw.shape[1] == 4 + len(labels) + masks if labels else raw.shape[1] >= 5 + masks
    finished = raw.shape[2] == 6 + masks and not (labels and plain)
    if not (plain or finished):
        raise another_layout(outputs, expected)
    found = []
    for one, recipe, fit in zip(raw, prototypes, fits, strict=True):
        if finished:
            best = finished_rows(one, conf=conf, max_det=max_det)
            coefficients = one[best.places, 6:]
        else:
            scores = one[4 : one.shape[0] - masks].T
            best = best_places(one[:4].T, scores, conf=conf, iou=iou, max_det=max_det)
            coefficients = one[-masks:, best.places].T
        boxes = best.on(fit, labels)
        found.append(replace(boxes, masks=_masks(coefficients, recipe, boxes.xyxy, fit)))
    return found


def _masks(coefficients: Array, prototypes: Array, xyxy: Floats, fit: Letterbox) -> Masks:
    """Each object's mask in the frame, looked up for the pixels of its own box alone."""
    import cv2

    crops = []
    count, height, width = prototypes.shape
    with np.errstate(invalid="ignore", over="ignore"):  # what is no number lies in no mask
        recipes = coefficients.astype(np.float32) @ prototypes.reshape(count, -1).astype(np.float32)
    down, across = height / fit.canvas[0], width / fit.canvas[1]
    y_step, x_step = fit.picture[0] / fit.frame[0] * down, fit.picture[1] / fit.frame[1] * across
    for recipe, (x1, y1, x2, y2) in zip(recipes, xyxy.tolist(), strict=True):
        left, top, right, bottom = floor(x1), floor(y1), ceil(x2), ceil(y2)
        if right <= left or bottom <= top:
            crops.append(Crop(top, left, np.zeros((0, 0), np.bool_)))
            continue
        # From the centre of a frame's pixel to its place among the prototype's pixels' centres.
        lookup = np.array(
            [
                [x_step, 0, (left + 0.5) * x_step + fit.corner[1] * across - 0.5],
                [0, y_step, (top + 0.5) * y_step + fit.corner[0] * down - 0.5],
            ]
        )
        inside = cv2.warpAffine(
            recipe.reshape(height, width),
            lookup,
            (right - left, bottom - top),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        crops.append(Crop(top, left, inside > 0))
    return Masks(fit.frame, tuple(crops))


PLUGIN = Plugin(
    make=lambda: decode,
    summary="YOLO segmentation exports: boxes with masks",
    facts={"preprocess": PLAIN},
)
