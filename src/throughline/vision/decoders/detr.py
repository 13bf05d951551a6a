"""The layouts that the DETR line publishes: a fixed number of queries, each at most a few objects, and no doubles.

Raw: logits [batch, queries, classes], a sigmoid per class, and boxes [batch, queries, 4]:
centre, width and height as shares of the input. One tensor [batch, queries, 4 + classes]
holds both in YOLO-style exports, the scores already from 0 to 1.
Deployed: labels [batch, rows], boxes [batch, rows, 4] as x1, y1, x2, y2 and scores
[batch, rows], in the pixels that a second input ``orig_target_sizes`` names.
That is the input's own size here, so that frames come back as from every other family.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from throughline.contracts.artifacts import Array
from throughline.contracts.detections import Detections
from throughline.plugins import Plugin
from throughline.vision.decoders._heads import Best, another_layout, corners, sound
from throughline.vision.letterbox import Letterbox
from throughline.vision.preprocess import Preprocess

_EXPECTED = (
    "a DETR gives (batch, queries, classes) and (batch, queries, 4), both in one, "
    "or labels, boxes (batch, rows, 4) and scores"
)


def decode(
    outputs: Mapping[str, Array],
    fits: Sequence[Letterbox],
    *,
    labels: tuple[str, ...],
    conf: float,
    iou: float,
    max_det: int,
) -> list[Detections]:
    """The detections of each frame of a batch, in that frame's own pixels; there is nothing for ``iou`` to do."""
    if {"labels", "boxes", "scores"} <= outputs.keys():
        return _deployed(outputs, fits, labels, conf, max_det)
    boxes, scores = _apart(outputs, len(labels))
    return [
        _best(one_boxes, one_scores, fit.canvas, conf, max_det).on(fit, labels)
        for one_boxes, one_scores, fit in zip(boxes, scores, fits, strict=True)
    ]


def target_sizes(canvas: tuple[int, int], frames: int) -> npt.NDArray[np.int64]:
    """What to feed ``orig_target_sizes``: width and height of the input, for each frame."""
    return np.tile(np.array([canvas[1], canvas[0]], np.int64), (frames, 1))


def _apart(outputs: Mapping[str, Array], classes: int) -> tuple[Array, Array]:
    """Boxes, and scores from 0 to 1."""
    if any(output.ndim != 3 for output in outputs.values()):
        raise another_layout(outputs, _EXPECTED)
    if len(outputs) == 1:
        (both,) = outputs.values()
        if both.shape[2] < 5 or (classes and both.shape[2] != 4 + classes):
            raise another_layout(outputs, _EXPECTED)
        return both[..., :4], both[..., 4:]
    if len(outputs) != 2:
        raise another_layout(outputs, _EXPECTED)
    # A model of four classes has two tensors of one shape: then the name must tell.
    boxes, logits = sorted(
        outputs.items(), key=lambda item: (item[1].shape[2] != 4, "box" not in item[0] and "det" not in item[0])
    )
    if boxes[1].shape[2] != 4 or boxes[1].shape[1] != logits[1].shape[1]:
        raise another_layout(outputs, _EXPECTED)
    return boxes[1], _sigmoid(logits[1])


def _best(xywh: Array, scores: Array, canvas: tuple[int, int], conf: float, max_det: int) -> Best:
    """The surest pairs of a query and a class."""
    pairs = np.flatnonzero((scores >= conf) & sound(xywh)[:, None])
    confidence = scores.ravel()[pairs].astype(np.float32)
    first = np.argsort(-confidence, kind="stable")[:max_det]
    queries, class_id = np.divmod(pairs[first], scores.shape[1])
    height, width = canvas
    pixels = xywh[queries].astype(np.float32) * np.array([width, height, width, height], np.float32)
    return Best(queries, corners(pixels), confidence[first], class_id)


def _deployed(
    outputs: Mapping[str, Array], fits: Sequence[Letterbox], labels: tuple[str, ...], conf: float, max_det: int
) -> list[Detections]:
    kinds, boxes, scores = outputs["labels"], outputs["boxes"], outputs["scores"]
    if boxes.ndim != 3 or boxes.shape[2] != 4 or not kinds.shape == scores.shape == boxes.shape[:2]:
        raise another_layout(outputs, _EXPECTED)
    found = []
    for kind, xyxy, score, fit in zip(kinds, boxes, scores, fits, strict=True):
        rows = np.flatnonzero((score >= conf) & sound(xyxy))
        rows = rows[np.argsort(-score[rows], kind="stable")][:max_det]
        best = Best(rows, xyxy[rows].astype(np.float32), score[rows].astype(np.float32), kind[rows].astype(np.int64))
        found.append(best.on(fit, labels))
    return found


def _sigmoid(logits: Array) -> Array:
    # By tanh, which does not overflow however far from zero a logit is.
    return np.asarray(0.5 + 0.5 * np.tanh(logits.astype(np.float32) / 2), np.float32)


PLUGIN = Plugin(
    make=lambda: decode,
    summary="RT-DETR and D-FINE exports, raw or deployed",
    facts={"preprocess": Preprocess(stretch=True), "feeds": {"orig_target_sizes": target_sizes}},
)
