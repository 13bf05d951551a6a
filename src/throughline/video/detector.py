"""A model made ready for frames: how a picture gets into it, and how its answers are read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import numpy.typing as npt

from throughline.contracts.artifacts import Array, Predictor
from throughline.contracts.detections import Detections
from throughline.contracts.frames import Frame
from throughline.vision.letterbox import Letterbox


@final
@dataclass(frozen=True)
class Detector:
    """One model with everything that decides what it finds.

    Attributes:
        predictor: the opened model.
        decode: reads its outputs (see ``throughline.vision.decoders``).
        canvas: height and width of its input.
        labels: the names of its classes.
        conf: the least confidence that counts.
        iou: two boxes that overlap more are one object.
        max_det: the most detections of one frame.
        classes: keep these class numbers only; all when None.
    """

    predictor: Predictor
    decode: Callable[..., list[Detections]]
    canvas: tuple[int, int]
    labels: tuple[str, ...] = ()
    conf: float = 0.25
    iou: float = 0.7
    max_det: int = 300
    classes: tuple[int, ...] | None = None

    def buffer(self, frames: int) -> npt.NDArray[np.float32]:
        """Room for a batch of frames."""
        return np.empty((frames, 3, *self.canvas), np.float32)

    def place(self, frame: Frame, slot: npt.NDArray[np.float32]) -> Letterbox:
        """Write a frame into its slot of a batch, and say how it lies there."""
        fit = Letterbox.fit((frame.image.shape[0], frame.image.shape[1]), self.canvas)
        fit.apply(frame.image, slot)
        return fit

    def predict(self, batch: npt.NDArray[np.float32]) -> dict[str, Array]:
        """The model's raw answers for a batch."""
        spec = self.predictor.inputs[0]
        feed: npt.NDArray[Any] = batch.astype(spec.dtype, copy=False)
        return self.predictor.predict({spec.name: feed})

    def read(self, outputs: Mapping[str, Array], fits: Sequence[Letterbox]) -> list[Detections]:
        """What was found in each frame of a batch."""
        found = self.decode(outputs, fits, labels=self.labels, conf=self.conf, iou=self.iou, max_det=self.max_det)
        if self.classes is None:
            return found
        return [one[np.isin(one.class_id, self.classes)] for one in found]
