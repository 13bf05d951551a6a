"""What the heads have in common: find the tensor by its shape, then places with scores become the best boxes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from throughline.contracts.artifacts import Array
from throughline.contracts.detections import Detections
from throughline.contracts.errors import InputError
from throughline.vision.letterbox import Letterbox
from throughline.vision.suppress import suppress

_ABSURD = 1e6
"""No picture is as wide as that, in pixels."""
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Best:
    """The places that hold an object, best first, with boxes in pixels of the model's input."""

    places: npt.NDArray[np.int64]
    xyxy: Floats
    confidence: Floats
    class_id: npt.NDArray[np.int64]

    def on(self, fit: Letterbox, labels: tuple[str, ...]) -> Detections:
        """The same in the frame's own pixels."""
        return Detections(fit.to_frame(self.xyxy), self.confidence, self.class_id, labels=labels)


def best_places(xywh: Array, scores: Array, *, conf: float, iou: float, max_det: int) -> Best:
    """Of places x 4 (centre, width, height) and places x classes: what scores enough and is nobody's double."""
    best = scores.max(axis=1)
    places = np.flatnonzero(best >= conf)
    places = places[sound(xywh[places]) & np.isfinite(best[places])]
    xyxy = corners(xywh[places].astype(np.float32))
    confidence, class_id = best[places].astype(np.float32), scores[places].argmax(axis=1)
    kept = suppress(xyxy, confidence, class_id, iou=iou, most=max_det)
    return Best(places[kept], xyxy[kept], confidence[kept], class_id[kept])


def finished_rows(rows: Array, *, conf: float, max_det: int) -> Best:
    """Rows that begin x1, y1, x2, y2, score, class: the model has suppressed the doubles itself.

    Rows of score 0 fill the table up to its fixed length.
    """
    score = rows[:, 4]
    places = np.flatnonzero((score >= conf) & (score > 0))
    places = places[sound(rows[places])]
    places = places[np.argsort(-score[places], kind="stable")][:max_det]
    xyxy, confidence = rows[places, :4].astype(np.float32), score[places].astype(np.float32)
    return Best(places, xyxy, confidence, np.rint(rows[places, 5]).astype(np.int64))


def sound(rows: Array) -> npt.NDArray[np.bool_]:
    """The rows to read on: a broken model's NaN, infinities and absurd numbers are no objects."""
    return np.asarray((np.abs(rows.astype(np.float64)) < _ABSURD).all(axis=1), np.bool_)


def corners(xywh: Floats) -> Floats:
    """Centre, width and height as x1, y1, x2, y2."""
    half = xywh[:, 2:] / 2
    return np.concatenate([xywh[:, :2] - half, xywh[:, :2] + half], axis=1)


def first_of(outputs: Mapping[str, Array], dimensions: int, expected: str) -> Array:
    """The first output with so many dimensions."""
    for output in outputs.values():
        if output.ndim == dimensions:
            return output
    raise another_layout(outputs, expected)


def another_layout(outputs: Mapping[str, Array], expected: str) -> InputError:
    """The outputs are not what this family publishes."""
    seen = ", ".join(f"{name} has shape {output.shape}" for name, output in outputs.items()) or "there is no output"
    return InputError(f"{seen}; {expected}", "name the family that the model belongs to: --decoder")
