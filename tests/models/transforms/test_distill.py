"""Distillation: a student that answers as its teacher does, and the same student each time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_networks import artifact, classifier, named, of_one_batch, smaller_classifier, undecided

from throughline.contracts.artifacts import Artifact
from throughline.contracts.errors import InputError
from throughline.models.artifact import Given, read_artifact
from throughline.models.session import open_model
from throughline.models.transforms import TRANSFORMS, Made

FACTS = Given(task="classify", labels=("a", "b", "c", "d", "e"), stride=8, imgsz=(32, 48))


def feeds(seed: int = 0) -> Iterator[dict[str, np.ndarray[Any, Any]]]:
    dice = np.random.default_rng(seed)
    for _ in range(4):
        coarse = dice.random((4, 3, 4, 6), np.float32)
        yield {"images": coarse.repeat(8, 2).repeat(8, 3)}


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """The teacher as an ONNX file: nothing of its code is needed."""
    folder = tmp_path_factory.mktemp("teacher")
    target = folder / "teacher.onnx"
    TRANSFORMS.make("to_onnx", artifact(classifier, folder, FACTS), target, class_=named(classifier), dynamic=True)
    return read_artifact(target)


def taught(teacher: Artifact, target: Path, **options: Any) -> Made:
    settings = {"student": named(smaller_classifier), "feeds": feeds, "epochs": 2, **options}
    return TRANSFORMS.make("distill", teacher, target, **settings)


def distance(teacher: Path, student: Path, **options: Any) -> float:
    with open_model(teacher) as there, open_model(student, trust=True, **options) as here:
        pairs = [(there.predict(feed)["output0"], here.predict(feed)["output0"]) for feed in feeds(9)]
    return float(np.mean([np.square(one - other).mean() for one, other in pairs]) / np.var(pairs[0][0]))


@pytest.mark.parametrize("loss", ["mse", "kl"])
def test_a_student_comes_closer_and_is_the_same_each_time(loss: str, teacher: Artifact, tmp_path: Path) -> None:
    target = tmp_path / "student.safetensors"
    made = taught(teacher, target, loss=loss, epochs=15 if loss == "mse" else 2)
    before, after = made.step.options["distance"]
    assert after < before
    about = read_artifact(target).passport
    assert (about.labels, about.stride, about.task) == (FACTS.labels, 8, "classify")
    if loss == "kl":
        first = target.read_bytes()
        taught(teacher, target, loss=loss)
        assert target.read_bytes() == first
    else:
        assert after < 0.5 * before
        untaught = artifact(smaller_classifier, tmp_path).path
        own = {"class_": named(smaller_classifier)}
        assert distance(teacher.path, target, **own) < 0.5 * distance(teacher.path, untaught, **own)


def test_a_student_can_bring_its_network_along(teacher: Artifact, tmp_path: Path) -> None:
    made = taught(teacher, tmp_path / "student.pt2", epochs=1)
    assert [str(spec) for spec in made.changes["inputs"]] == ["images float32[batch, 3, height, width]"]
    assert read_artifact(tmp_path / "student.pt2").labels == FACTS.labels
    with open_model(tmp_path / "student.pt2", trust=True) as session:
        assert session.predict({"images": np.ones((3, 3, 40, 24), np.float32)})["output0"].shape == (3, 5)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"loss": "l1"}, "loss='l1'"),
        ({"epochs": 0}, "epochs=0"),
        ({"student": named(of_one_batch)}, "the student does not run on what its teacher takes"),
        ({"student": named(undecided)}, r"the teacher's output 'output0' is \[4, 5\], and the student gives \[4, 4"),
        ({"student": "small_networks:nobody"}, "has no 'nobody'"),
        ({"feeds": lambda: iter(())}, "there are no feeds"),
    ],
)
def test_what_cannot_be_taught_is_said(
    options: dict[str, Any], problem: str, teacher: Artifact, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=problem):
        taught(teacher, tmp_path / "student.pt2", **options)
    assert not (tmp_path / "student.pt2").exists()
