"""What a model says of every picture of a set, asked one picture at a time as it will be when it works."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np

from throughline.contracts.detections import Detections
from throughline.contracts.frames import Frame
from throughline.contracts.samples import Sample
from throughline.vision.detector import Detector


def answers(
    detector_of: Callable[[tuple[int, int]], Detector],
    data: Iterable[Sample],
    *,
    watch: Callable[[Detections], None] | None = None,
) -> list[Detections]:
    """What a model says of every picture, in their order.

    Args:
        detector_of: makes the detector for a frame's height and width; asked once for each size.
        data: the pictures.
        watch: told of each answer as it comes.
    """
    detectors: dict[tuple[int, int], Detector] = {}
    said = []
    for number, sample in enumerate(data):
        image = sample.read()
        size = (image.shape[0], image.shape[1])
        if size not in detectors:
            detectors[size] = detector_of(size)
        detector = detectors[size]
        batch = detector.buffer(1)
        fits = detector.fill(batch, [Frame(number, 0.0, image, sample.name)])
        said += detector.read(detector.predict(batch), fits)
        if watch is not None:
            watch(said[-1])
    return said


def in_labels(found: Detections, labels: tuple[str, ...]) -> Detections:
    """The same answers with class numbers that count into other labels, by name; what these lack is left out."""
    place = {name: number for number, name in enumerate(labels)}
    numbers = np.array([place.get(found.name_of(kind), -1) for kind in found.class_id.tolist()], np.int64)
    return replace(found[numbers >= 0], class_id=numbers[numbers >= 0], labels=labels)
