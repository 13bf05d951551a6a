"""Which pictures, in which light, and which task: what is settled before a model is measured on labelled data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from throughline.contracts.artifacts import Artifact
from throughline.contracts.detections import Detections
from throughline.contracts.errors import InputError
from throughline.contracts.frames import Image
from throughline.contracts.samples import DataSet, Sample
from throughline.evaluation.slices import light_of

_TASKS: Final = {"detect": "detect", "track": "detect", "segment": "segment", "classify": "classify"}


def labelled(whole: DataSet, data: str, notes: list[str]) -> list[Sample]:
    """The pictures of which something is known."""
    samples = [sample for sample in whole if sample.truth is not None]
    if not samples or whole.task is None:
        raise InputError(
            f"{data}: nobody has said what is on these {len(whole):,} pictures, so there is nothing to measure against",
            "give labelled data: a data.yaml, a COCO file, MOTChallenge sequences, or a folder of class folders",
        )
    if len(samples) < len(whole):
        notes.append(f"{len(whole) - len(samples):,} of {len(whole):,} pictures have no labels and were left out")
    return samples


def task_of(artifact: Artifact, whole: DataSet) -> str:
    """What is measured: what the data are for, as far as the model does that."""
    task = _TASKS.get(str(whole.task))
    if task is None:
        raise InputError(f"the data are for '{whole.task}'", f"what can be measured is {', '.join(_TASKS)}")
    if artifact.task is not None and (artifact.task == "classify") != (task == "classify"):
        raise _no_match(artifact.task, task)
    return task


def answered(task: str, said: Sequence[Detections], notes: list[str]) -> str:
    """The task again, now that it is known what the model gives."""
    some = [one for one in said if len(one)]
    if some and (bool(some[0].of_frame.all()) != (task == "classify")):
        raise _no_match("classify" if task != "classify" else "detect", task)
    if task == "segment" and some and some[0].masks is None:
        notes.append("the data have masks and the model gives none: its boxes were measured")
        return "detect"
    return task


def noting_light(samples: Sequence[Sample], light: list[str]) -> Iterator[Sample]:
    """The samples one by one, each noted for its light when it is read."""
    for sample in samples:

        def read(sample: Sample = sample) -> Image:
            image = sample.read()
            light.append(light_of(image))
            return image

        yield replace(sample, read=read)


def _no_match(model: str, data: str) -> InputError:
    says = {"classify": "name a class for each picture as a whole"}
    return InputError(
        f"the data {says.get(data, 'have objects with places')}, and the model is for '{model}'",
        "give data of the kind that the model answers",
    )
