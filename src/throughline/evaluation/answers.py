"""What a model says of every picture of a set, asked one picture at a time as it will be when it works."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np

from throughline.contracts.detections import Detections
from throughline.contracts.errors import InputError
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


def in_common(
    said: Sequence[Detections], ours: tuple[str, ...], theirs: tuple[str, ...], notes: list[str]
) -> list[Detections]:
    """The answers in the data's class numbers, matched by name where both sides have names.

    Args:
        said: the model's answers.
        ours: the names of its classes.
        theirs: the names of the data's.
        notes: takes what the other side lacks.
    """
    if not ours and theirs:
        highest = max((int(one.class_id.max()) for one in said if len(one)), default=-1)
        if highest >= len(theirs):
            raise InputError(
                f"the model says class {highest} and names none; the data have {len(theirs)} classes",
                "write the model's class names into its passport: throughline inspect MODEL --labels",
            )
        notes.append("the model names no classes: its numbers were taken for the data's")
    if not ours or not theirs or ours == theirs:
        return [replace(one, labels=theirs or ours) for one in said]
    if not set(ours) & set(theirs):
        raise InputError(
            f"the model's classes ({_few(ours)}) and the data's ({_few(theirs)}) have no name in common",
            "give data with the model's classes, or the names that they share: throughline inspect MODEL --labels",
        )
    if unknown := [name for name in theirs if name not in ours]:
        notes.append(f"the model does not know {_few(unknown)}: their objects count as missed")
    if spare := [name for name in ours if name not in theirs]:
        notes.append(f"the data do not have {_few(spare)}: what the model says of them was left out")
    return [in_labels(one, theirs) for one in said]


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
