"""What a family of models wants to see: numbers in its own range and channel order, the picture fitted its own way.

A letterbox writes RGB from 0 to 1, which most detectors take as it is. A family that
was trained on anything else says so in its plug-in's facts, as ``preprocess``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from throughline.vision.letterbox import Letterbox


@dataclass(frozen=True, slots=True)
class Preprocess:
    """How a picture becomes a model's input: ``(pixel from 0 to 1 * scale - mean) / std``, channel by channel.

    Attributes:
        scale: what white is before mean and std: 1, or 255.
        mean: what is taken off each channel, in the model's channel order and after scaling.
        std: what each channel is then divided by.
        bgr: the model's first channel is blue.
        stretch: the picture fills the whole input, its proportions given up; else it is letterboxed.
    """

    scale: float = 1.0
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    bgr: bool = False
    stretch: bool = False

    def fit(self, frame: tuple[int, int], canvas: tuple[int, int]) -> Letterbox:
        """How a frame of one size lies in an input of another."""
        return Letterbox(frame, canvas, canvas, (0, 0)) if self.stretch else Letterbox.fit(frame, canvas)


PLAIN = Preprocess()
"""RGB from 0 to 1, letterboxed: what a decoder that declares nothing takes."""

IMAGENET = Preprocess(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), stretch=True)
"""RGB by the mean and deviation of ImageNet's photographs, stretched to the input."""


def normalise(buffer: npt.NDArray[np.float32], preprocess: Preprocess) -> None:
    """Turn a batch that letterboxes have filled, n x 3 x height x width, into what the family takes. In place, once."""
    if preprocess.bgr:
        buffer[:, [0, 2]] = buffer[:, [2, 0]]
    for channel, (mean, std) in enumerate(zip(preprocess.mean, preprocess.std, strict=True)):
        plane = buffer[:, channel]
        if preprocess.scale != std:
            plane *= np.float32(preprocess.scale / std)
        if mean:
            plane -= np.float32(mean / std)
