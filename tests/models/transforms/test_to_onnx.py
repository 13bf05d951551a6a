from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_networks import artifact, classifier, named, of_one_batch, two_inputs, undecided

from throughline.bundled import DETECTOR, WEIGHTS
from throughline.contracts.artifacts import Array, Artifact
from throughline.contracts.errors import InputError, ModelRefused
from throughline.models.artifact import Given, read_artifact
from throughline.models.chain import Link, follow
from throughline.models.session import open_model
from throughline.models.transforms import TRANSFORMS, Made
from throughline.testing import networks
from throughline.testing.torch_networks import factory_of

DEMO = "throughline.testing.demo_detector:build"
FACTS = Given(task="classify", labels=("a", "b", "c", "d", "e"), stride=8, imgsz=(32, 48), licence="MIT")


def answers(path: Path, feeds: Mapping[str, Array], **options: Any) -> dict[str, Array]:
    with open_model(path, device="cpu", trust=True, **options) as session:
        return session.predict(feeds)


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Made]:
    target = tmp_path_factory.mktemp("detector") / "detector.onnx"
    return target, TRANSFORMS.make("to_onnx", read_artifact(WEIGHTS), target, class_=DEMO, dynamic=True)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return artifact(classifier, tmp_path_factory.mktemp("small"), FACTS)


def test_the_detector_gives_its_answers_at_every_size(detector: tuple[Path, Made]) -> None:
    for shape in ((1, 3, 96, 128), (3, 3, 64, 32)):
        feeds = {"images": np.random.default_rng(1).random(shape, np.float32)}
        found, expected = answers(detector[0], feeds), answers(WEIGHTS, feeds, class_=DEMO)
        np.testing.assert_allclose(found["output0"][:, :4], expected["output0"][:, :4], atol=2e-2)
        np.testing.assert_allclose(found["output0"][:, 4:], expected["output0"][:, 4:], atol=1e-4)


def test_it_reads_as_the_file_that_is_shipped_does(detector: tuple[Path, Made]) -> None:
    here, there = read_artifact(detector[0]).passport, read_artifact(DETECTOR).passport
    for fact in ("task", "labels", "decoder", "imgsz", "stride", "inputs", "outputs", "precision", "licence"):
        assert getattr(here, fact) == getattr(there, fact), fact
    assert detector[1].step.options["opset"] == 20
    assert "torch 2.13.0" in detector[1].step.tool
    assert str(Path(__file__).parents[3]).encode() not in detector[0].read_bytes(), "no path of this machine is in it"


def test_the_same_weights_give_the_same_file(small: Artifact, tmp_path: Path) -> None:
    options = {"class_": named(classifier)}
    made = [tmp_path / "a.onnx", tmp_path / "b.onnx"]
    for target in made:
        TRANSFORMS.make("to_onnx", small, target, **options)
    assert made[0].read_bytes() == made[1].read_bytes()
    about = read_artifact(made[0])
    assert [str(spec) for spec in about.inputs] == ["images float32[batch, 3, 32, 48]"]
    assert [str(spec) for spec in about.outputs] == ["output0 float32[batch, 5]"]
    assert (about.labels, about.passport.licence) == (FACTS.labels, "MIT")
    feeds = {"images": np.random.default_rng(2).random((3, 3, 32, 48), np.float32)}
    expected = answers(small.path, feeds, class_=named(classifier))
    np.testing.assert_allclose(answers(made[0], feeds)["output0"], expected["output0"], atol=1e-5)


def test_names_that_a_network_gives_its_outputs_stay(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    torch.save(torch.nn.ModuleDict({"convolve": torch.nn.Conv2d(3, 4, 1)}).state_dict(), path)
    made = TRANSFORMS.make(
        "to_onnx",
        read_artifact(path),
        tmp_path / "made.onnx",
        class_=factory_of(networks.CONVOLUTION),
        imgsz=(16, 24),
    )
    assert [spec.name for spec in read_artifact(tmp_path / "made.onnx").outputs] == ["features", "scores"]
    assert read_artifact(tmp_path / "made.onnx").passport.imgsz == made.changes["imgsz"] == (16, 24)
    assert "was read off its first layer" in made.notes[0]


def test_a_chain_starts_from_weights_in_a_folder_that_is_not_there_yet(small: Artifact, tmp_path: Path) -> None:
    links = [Link("to_onnx", {"class_": named(classifier)}), Link("simplify")]
    made = follow(small, links, tmp_path / "a" / "b", "made")
    assert [step.name for step in made.steps] == ["to_onnx", "simplify"]
    assert made.artifact.labels == FACTS.labels
    assert made.artifact.path == tmp_path / "a" / "b" / "made.onnx"


def test_a_batch_that_the_code_fixes_is_said(tmp_path: Path) -> None:
    made = TRANSFORMS.make(
        "to_onnx",
        artifact(of_one_batch, tmp_path, Given(imgsz=(8, 8))),
        tmp_path / "made.onnx",
        class_=named(of_one_batch),
    )
    assert "the network's code fixes batch 2 of 'images'" in made.notes
    assert read_artifact(tmp_path / "made.onnx").inputs[0].shape == (2, 3, 8, 8)


def test_what_cannot_be_written_says_why_and_leaves_nothing(tmp_path: Path, small: Artifact) -> None:
    target = tmp_path / "made.onnx"
    with pytest.raises(InputError, match="weights and not the network") as raised:
        TRANSFORMS.make("to_onnx", small, target)
    assert "--class package.module:function" in raised.value.fix
    with pytest.raises(InputError, match="is onnx; 'to_onnx' takes safetensors"):
        TRANSFORMS.make("to_onnx", read_artifact(DETECTOR), target, class_=DEMO)
    with pytest.raises(InputError, match="the weights do not fit"):
        TRANSFORMS.make("to_onnx", small, target, class_=DEMO)
    with pytest.raises(InputError, match="nothing says what _Two takes: it has the inputs here, there"):
        TRANSFORMS.make("to_onnx", artifact(two_inputs, tmp_path), target, class_=named(two_inputs))
    with pytest.raises(InputError, match="multiples of 8"):
        TRANSFORMS.make("to_onnx", small, target, class_=named(classifier), dynamic=True, imgsz=(30, 48))
    with pytest.raises(ModelRefused, match=r"torch\.export cannot follow _Undecided"):
        TRANSFORMS.make("to_onnx", artifact(undecided, tmp_path), target, class_=named(undecided))
    assert not target.exists()
