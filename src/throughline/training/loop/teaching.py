"""What a teacher says is on pictures, taken for the truth: a smaller network learns to see what a larger one sees.

The pictures need no labels, and the teacher may be any model that runs here, however it is made. Of labelled pictures
those to be judged by keep their labels, so that the pupil is measured by the world and not by its teacher.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Final, final

from throughline.contracts.artifacts import Artifact
from throughline.contracts.errors import InputError
from throughline.contracts.samples import DataSet
from throughline.evaluation.answers import answers
from throughline.models.artifact import read_artifact
from throughline.models.session import open_model
from throughline.vision.detector import detector_for

_SURE: Final = 0.4
"""From which confidence on a box is taken for one that is there."""


@final
class Teacher:
    """A model whose answers are learned.

    Attributes:
        artifact: the model, and what is known of it.
    """

    def __init__(self, model: str, say: Callable[[str], None], *, trust: bool = False) -> None:
        """Read what is known of it; it is opened when it is asked."""
        self.artifact: Artifact = read_artifact(Path(model))
        self._say, self._trust = say, trust
        if self.artifact.passport.decoder is None or not self.artifact.labels:
            raise InputError(
                f"teacher: {model} does not say how its outputs are read, or what its classes are",
                f"throughline inspect {model} --decoder NAME --labels FILE",
            )

    def named(self) -> dict[str, str]:
        """What a passport says of it."""
        return {"name": self.artifact.path.name, "sha256": self.artifact.sha256}

    def judging(self, data: DataSet) -> DataSet:
        """The pictures to be judged by: as they are where they are labelled, else as the teacher says."""
        if data.task is None or any(sample.truth is None for sample in data):
            return self.taught(data)
        if data.labels != self.artifact.labels:
            raise InputError(
                f"teacher: {self.artifact.path} knows {', '.join(self.artifact.labels)}; the pictures to be judged by "
                f"are labelled with {', '.join(data.labels)}",
                "give a teacher of the same classes, in the same order",
            )
        return data

    def taught(self, data: DataSet) -> DataSet:
        """The pictures with the teacher's answers as their truth."""
        artifact = self.artifact
        classifies = artifact.task == "classify"
        with open_model(artifact.path, trust=self._trust) as session:
            found = answers(
                lambda frame: detector_for(artifact, session, frame=frame, conf=0.0 if classifies else _SURE), data
            )
        if classifies:
            found = [one[one.confidence.argmax() :][:1] for one in found]
        sure = [dataclasses.replace(one, confidence=one.confidence * 0 + 1) for one in found]
        self._say(f"{artifact.path.name} says what is on {len(data):,} pictures: {sum(map(len, sure)):,} objects")
        samples = [dataclasses.replace(sample, truth=truth) for sample, truth in zip(data, sure, strict=True)]
        task = "classify" if classifies else "detect"
        return dataclasses.replace(data, task=task, labels=artifact.labels, samples=samples)
