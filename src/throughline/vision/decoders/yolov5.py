"""The layout that YOLOv5 exports publish (YOLOv6 and YOLOv7 too): one row per place, with an objectness.

[batch, places, 5 + classes]: centre x, centre y, width and height in pixels of the
model's input, how sure it is that there is an object, then how sure of each class if
there is one. The confidence of a class is the product of the two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from throughline.contracts.artifacts import Array
from throughline.contracts.detections import Detections
from throughline.plugins import Plugin
from throughline.vision.decoders._heads import another_layout, best_places, first_of, sound
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
    classes = f"5 + {len(labels)}" if labels else "5 + classes"
    expected = f"a YOLOv5 head gives (batch, places, {classes})"
    raw = first_of(outputs, 3, expected)
    if raw.shape[2] < 6 or (labels and raw.shape[2] != 5 + len(labels)):
        raise another_layout(outputs, expected)
    found = []
    for rows, fit in zip(raw, fits, strict=True):
        # No class can be surer than the object: most places need not be multiplied out.
        rows = rows[rows[:, 4] >= conf]
        rows = rows[sound(rows)]
        best = best_places(rows[:, :4], rows[:, 4:5] * rows[:, 5:], conf=conf, iou=iou, max_det=max_det)
        found.append(best.on(fit, labels))
    return found


PLUGIN = Plugin(
    make=lambda: decode,
    summary="YOLOv5 exports: boxes, objectness and classes",
    facts={"preprocess": PLAIN},
)
