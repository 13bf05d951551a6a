"""A model made ready for frames: how a picture gets into it, and how its answers are read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, final

import numpy as np
import numpy.typing as npt

from throughline.contracts.artifacts import Array, Artifact, Predictor
from throughline.contracts.detections import Detections
from throughline.contracts.errors import InputError, nearest
from throughline.contracts.frames import Frame
from throughline.models.backends import UNKNOWN
from throughline.vision.canvas import canvas_for
from throughline.vision.decoders import DECODERS
from throughline.vision.letterbox import Letterbox
from throughline.vision.preprocess import PLAIN, Preprocess, normalise

USUAL_SIZE: Final = 640
"""The longer input side of a model that leaves it open and does not say what it was trained on."""
USUAL_STRIDE: Final = 32
"""What a model's input sides are multiples of, where nobody has said."""
_WEIGHTS: Final = ("safetensors", "checkpoint")


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
        preprocess: how the model wants to see pictures.
        feeds: what it takes besides pictures, by name: made from ``canvas`` and the batch's size.
    """

    predictor: Predictor
    decode: Callable[..., list[Detections]]
    canvas: tuple[int, int]
    labels: tuple[str, ...] = ()
    conf: float = 0.25
    iou: float = 0.7
    max_det: int = 300
    classes: tuple[int, ...] | None = None
    preprocess: Preprocess = PLAIN
    feeds: Mapping[str, Callable[[tuple[int, int], int], Array]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        unfed = [spec for spec in self.predictor.inputs[1:] if spec.name not in self.feeds]
        if unfed:
            raise InputError(
                f"the model takes more than pictures: {', '.join(map(str, unfed))}",
                "give the --decoder that knows what these are, or export the model with pictures as its only input",
            )

    def buffer(self, frames: int) -> npt.NDArray[np.float32]:
        """Room for a batch of frames."""
        return np.empty((frames, 3, *self.canvas), np.float32)

    def fill(self, batch: npt.NDArray[np.float32], frames: Sequence[Frame]) -> list[Letterbox]:
        """Write frames into a batch as the model wants to see them, and say how each lies there."""
        fits = []
        for frame, slot in zip(frames, batch, strict=True):
            fits.append(self.preprocess.fit(frame.size, self.canvas))
            fits[-1].apply(frame.picture, slot)
        normalise(batch, self.preprocess)
        return fits

    def predict(self, batch: npt.NDArray[np.float32]) -> dict[str, Array]:
        """The model's raw answers for a batch."""
        return self.predictor.predict(self.inputs_for(batch))

    def inputs_for(self, batch: npt.NDArray[np.float32]) -> dict[str, Array]:
        """All that the model is given for a batch, by name."""
        pictures, *others = self.predictor.inputs
        feeds: dict[str, Array] = {
            pictures.name: batch if pictures.dtype == UNKNOWN else batch.astype(pictures.dtype, copy=False)
        }
        for spec in others:
            feeds[spec.name] = self.feeds[spec.name](self.canvas, len(batch)).astype(spec.dtype, copy=False)
        return feeds

    def read(self, outputs: Mapping[str, Array], fits: Sequence[Letterbox]) -> list[Detections]:
        """What was found in each frame of a batch."""
        found = self.decode(outputs, fits, labels=self.labels, conf=self.conf, iou=self.iou, max_det=self.max_det)
        if self.classes is None:
            return found
        return [one[np.isin(one.class_id, self.classes)] for one in found]


def detector_for(
    artifact: Artifact,
    predictor: Predictor,
    *,
    decoder: str | None = None,
    frame: tuple[int, int] | None = None,
    imgsz: int | None = None,
    conf: float = 0.25,
    iou: float = 0.7,
    max_det: int = 300,
    classes: tuple[int, ...] | None = None,
) -> Detector:
    """A model that is open, ready for pictures of this height and width; for a square input where none is given."""
    passport, fixed = artifact.passport, input_size(artifact)
    family = decoder or passport.decoder
    if family is None:
        raise InputError(
            f"{artifact.path}: its outputs ({', '.join(map(str, artifact.outputs))}) do not say how they are read",
            f"give a decoder, one of: {', '.join(DECODERS.names())}",
        )
    if fixed is not None and imgsz not in (None, max(fixed)):
        raise InputError(
            f"imgsz={imgsz}: {artifact.path} takes pictures of {fixed[0]}x{fixed[1]} only", "leave imgsz away"
        )
    facts = DECODERS.get(family).facts
    preprocess: Preprocess = facts.get("preprocess", PLAIN)
    longer = imgsz or (max(passport.imgsz) if passport.imgsz else USUAL_SIZE)
    shape = frame if frame is not None and min(frame) else (longer, longer)
    open_sides = frame is not None and not preprocess.stretch
    return Detector(
        predictor,
        DECODERS.make(family),
        fixed or canvas_for(shape, longer, passport.stride or USUAL_STRIDE, dynamic=open_sides),
        artifact.labels,
        conf,
        iou,
        max_det,
        classes,
        preprocess,
        facts.get("feeds", {}),
    )


def input_size(artifact: Artifact) -> tuple[int, int] | None:
    """Height and width of the pictures that a model takes; None where it leaves them open, or are weights alone."""
    if not artifact.inputs and artifact.format in _WEIGHTS:
        return None  # what builds the network knows what it takes, and no file does
    shape = artifact.inputs[0].shape if artifact.inputs else ()
    if len(shape) != 4 or (isinstance(shape[1], int) and shape[1] != 3):
        raise InputError(
            f"{artifact.path} takes {artifact.inputs[0] if artifact.inputs else 'nothing'}; a model over video takes "
            "pictures: batch x 3 x height x width",
            "give a model that was exported for pictures",
        )
    height, width = shape[2:]
    return (height, width) if isinstance(height, int) and isinstance(width, int) else None


def class_numbers(text: str | None, labels: tuple[str, ...]) -> tuple[int, ...] | None:
    """Classes that were named or numbered in one text, with commas between, as numbers; None for all."""
    if text is None:
        return None
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if not name.isdecimal() and name not in labels]
    if unknown or not names:
        asked = unknown[0] if unknown else text
        raise InputError(f"--classes: the model has no class {asked!r}", nearest(asked, labels))
    return tuple(sorted({int(name) if name.isdecimal() else labels.index(name) for name in names}))
