from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_networks import artifact, classifier, named

from throughline.bundled import DETECTOR
from throughline.contracts.artifacts import Artifact
from throughline.contracts.errors import InputError, ModelRefused
from throughline.models.artifact import Given, read_artifact
from throughline.models.session import open_model
from throughline.models.transforms import TRANSFORMS

FACTS = Given(task="classify", labels=("a", "b", "c", "d", "e"), stride=8, imgsz=(32, 48))


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> tuple[Artifact, Path]:
    folder = tmp_path_factory.mktemp("program")
    source = artifact(classifier, folder, FACTS)
    made = TRANSFORMS.make("pt2", source, folder / "made.pt2", class_=named(classifier))
    assert [str(spec) for spec in made.changes["inputs"]] == ["images float32[batch, 3, height, width]"]
    assert [str(spec) for spec in made.changes["outputs"]] == ["output0 float32[batch, 5]"]
    return source, folder / "made.pt2"


def test_it_needs_no_class_and_gives_the_same_answers(program: tuple[Artifact, Path]) -> None:
    source, path = program
    about = read_artifact(path).passport
    assert (about.labels, about.stride, about.imgsz, about.task) == (FACTS.labels, 8, (32, 48), "classify")
    with open_model(path, trust=True) as here, open_model(source.path, class_=named(classifier)) as there:
        for shape in ((1, 3, 32, 48), (3, 3, 16, 24)):
            feeds = {"images": np.random.default_rng(4).random(shape, np.float32)}
            np.testing.assert_allclose(here.predict(feeds)["output0"], there.predict(feeds)["output0"], atol=1e-6)


def test_the_same_weights_give_the_same_file(program: tuple[Artifact, Path], tmp_path: Path) -> None:
    source, path = program
    TRANSFORMS.make("pt2", source, tmp_path / "made.pt2", class_=named(classifier))
    assert (tmp_path / "made.pt2").read_bytes() == path.read_bytes()


def test_it_becomes_onnx_once_somebody_vouches_for_it(program: tuple[Artifact, Path], tmp_path: Path) -> None:
    made = tmp_path / "made.onnx"
    with pytest.raises(ModelRefused, match="is a program"):
        TRANSFORMS.make("to_onnx", read_artifact(program[1]), made)
    TRANSFORMS.make("to_onnx", read_artifact(program[1]), made, trust=True)
    assert [str(spec) for spec in read_artifact(made).inputs] == ["images float32[batch, 3, height, width]"]
    feeds = {"images": np.random.default_rng(5).random((3, 3, 40, 24), np.float32)}
    with open_model(made) as here, open_model(program[1], trust=True) as there:
        np.testing.assert_allclose(here.predict(feeds)["output0"], there.predict(feeds)["output0"], atol=1e-5)


def test_onnx_does_not_become_pytorch_again(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is onnx; 'pt2' takes safetensors, checkpoint") as raised:
        TRANSFORMS.make("pt2", read_artifact(DETECTOR), tmp_path / "made.pt2")
    assert "give the checkpoint it was exported from" in raised.value.fix
