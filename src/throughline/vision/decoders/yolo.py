"""The layouts that YOLO exports of version 8 and later publish.

Plain: [batch, 4 + classes, places]: centre x, centre y, width and height in pixels
of the model's input, then one score per class from 0 to 1. Boxes overlap; the best of
each object is kept here.

End to end (version 10, 26, and any export with NMS built in): [batch, rows, 6]: x1, y1,
x2, y2, score, class. The model has kept the best itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from throughline.contracts.artifacts import Array
from throughline.contracts.detections import Detections
from throughline.plugins import Plugin
from throughline.vision.decoders._heads import another_layout, best_places, finished_rows, first_of
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
    """The detections of each frame of a batch, in that frame's own pixels."""
    classes = f"4 + {len(labels)}" if labels else "4 + classes"
    expected = f"a YOLO head gives (batch, {classes}, places), or (batch, rows, 6) with NMS built in"
    raw = first_of(outputs, 3, expected)
    # No plain head has only six places: the smallest input already has 21.
    if raw.shape[2] == 6 and not (labels and raw.shape[1] == 4 + len(labels)):
        found = (finished_rows(rows, conf=conf, max_det=max_det) for rows in raw)
    elif raw.shape[1] >= 5 and (not labels or raw.shape[1] == 4 + len(labels)):
        found = (best_places(one[:4].T, one[4:].T, conf=conf, iou=iou, max_det=max_det) for one in raw)
    else:
        raise another_layout(outputs, expected)
    return [best.on(fit, labels) for best, fit in zip(found, fits, strict=True)]


PLUGIN = Plugin(
    make=lambda: decode,
    summary="YOLO exports, version 8 and later, with or without built-in NMS",
    facts={"preprocess": PLAIN},
)
