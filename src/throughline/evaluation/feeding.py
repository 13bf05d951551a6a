"""Real inputs for a model, made from pictures just as the model will see them when it works."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from throughline.contracts.artifacts import Array, Artifact, Predictor
from throughline.contracts.frames import Frame
from throughline.contracts.samples import Sample
from throughline.models.transforms import Feeds
from throughline.vision.detector import Detector, detector_for

CALIBRATION: Final = 96
"""So many pictures, evenly spread, calibrate INT8 as well as thousands."""


def feeds_of(
    artifact: Artifact, predictor: Predictor, pictures: Callable[[], Iterable[Sample]], **options: object
) -> Feeds:
    """The pictures one at a time as inputs of the model; asked again, it gives the same again.

    Args:
        artifact: what is known of the model.
        predictor: the model, for the names and types of its inputs.
        pictures: gives the samples, each time from the first.
        options: ``decoder`` and ``imgsz``, as ``detector_for`` takes them.
    """

    def feeds() -> Iterator[Mapping[str, Array]]:
        for sample in pictures():
            image = sample.read()
            size = (image.shape[0], image.shape[1])
            detector: Detector = detector_for(artifact, predictor, frame=size, **options)  # type: ignore[arg-type]
            batch = detector.buffer(1)
            detector.fill(batch, [Frame(0, 0.0, image, sample.name)])
            yield detector.inputs_for(batch)

    return feeds
