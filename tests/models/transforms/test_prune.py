"""Pruning: what is taken out is really gone, and where it counted for nothing the answers are the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_networks import artifact, classifier, named, of_one_batch

from throughline.bundled import DETECTOR
from throughline.contracts.artifacts import Artifact
from throughline.contracts.errors import InputError, ModelRefused
from throughline.models.artifact import Given, read_artifact
from throughline.models.session import open_model
from throughline.models.transforms import TRANSFORMS, Made
from throughline.models.transforms._network_channels import follow, without
from throughline.testing.demo_detector import build

FACTS = Given(task="classify", labels=("a", "b", "c", "d", "e"), stride=8, imgsz=(32, 48))


def program(network: torch.nn.Module, shape: tuple[int, ...]) -> Any:
    module = torch.export.export(network, (torch.zeros(shape),)).module(check_guards=False)
    return module.requires_grad_(False)


def feeds() -> Iterator[dict[str, np.ndarray[Any, Any]]]:
    for seed in range(3):
        yield {"images": np.random.default_rng(seed).random((4, 3, 32, 48), np.float32)}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return artifact(classifier, tmp_path_factory.mktemp("prune"), FACTS)


def pruned(source: Artifact, folder: Path, **options: Any) -> Made:
    return TRANSFORMS.make("prune", source, folder / "made.pt2", class_=named(classifier), **options)


@pytest.mark.parametrize(("factory", "shape"), [(classifier, (2, 3, 32, 48)), (build, (1, 3, 64, 96))])
def test_channels_that_count_for_nothing_go_without_a_trace(factory: Any, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    module = program(factory().eval(), shape)
    found = follow(module)
    dice = np.random.default_rng(1)
    groups = found.groups()
    assert len(groups) > 3
    gone = {int(channel) for members in groups.values() for channel in dice.permutation(members)[: len(members) // 2]}
    weights = dict(module.state_dict())
    for tie in found.ties.values():
        if tie.role == "filter" or weights[tie.weight].ndim == 1:  # what makes the channel; not what reads it
            leaving = torch.tensor([found.root(channel) in gone for channel in tie.channels.tolist()])
            weights[tie.weight].transpose(0, tie.axis)[leaving] = 0
    pictures = torch.rand(shape)
    expected = module(pictures)
    assert float(expected.std()) > 0
    size = sum(parameter.numel() for parameter in module.parameters())
    without(module, found, gone)
    assert sum(parameter.numel() for parameter in module.parameters()) < 0.6 * size
    torch.testing.assert_close(module(pictures), expected, rtol=1e-4, atol=1e-4)


def test_layers_that_are_added_up_lose_the_same_channels() -> None:
    groups = follow(program(classifier(), (2, 3, 32, 48))).groups()
    assert ("conv2d", "conv2d_1") in groups, "the stem and the residual step on it"
    assert sum(map(len, groups.values())) == 16 + 16 + 32, "the answer's own channels are not among them"


def test_it_becomes_smaller_and_stays_open_in_batch_and_sides(source: Artifact, tmp_path: Path) -> None:
    made = pruned(source, tmp_path, ratio=0.5)
    before, after = made.step.options["parameters"]
    assert after < 0.4 * before
    assert read_artifact(tmp_path / "made.pt2").labels == FACTS.labels
    assert any("the original class does not build it any more" in note for note in made.notes)
    assert any("nothing was done to win back what it lost" in note for note in made.notes)
    with open_model(tmp_path / "made.pt2", trust=True) as session:
        for shape in ((1, 3, 32, 48), (3, 3, 64, 24)):
            assert session.predict({"images": np.ones(shape, np.float32)})["output0"].shape == (shape[0], 5)


def _distance(source: Artifact, path: Path) -> float:
    with open_model(source.path, class_=named(classifier)) as there, open_model(path, trust=True) as here:
        pairs = [(there.predict(feed)["output0"], here.predict(feed)["output0"]) for feed in feeds()]
    return float(np.mean([np.square(one - other).mean() for one, other in pairs]))


def test_measuring_anew_and_tuning_win_back_what_was_lost(source: Artifact, tmp_path: Path) -> None:
    def tune(module: torch.nn.Module) -> None:
        optimiser = torch.optim.Adam(module.parameters(), 2e-3)
        teacher = classifier()
        for _ in range(8):
            for feed in feeds():
                images = torch.from_numpy(feed["images"])
                optimiser.zero_grad()
                (module(images) - teacher(images).detach()).square().mean().backward()
                optimiser.step()

    lost = {}
    tuned = {"feeds": feeds, "finetune": tune}
    for name, options in {"bare": {}, "measured": {"feeds": feeds}, "tuned": tuned}.items():
        folder = tmp_path / name
        folder.mkdir()
        made = pruned(source, folder, ratio=0.5, **options)
        lost[name] = _distance(source, folder / "made.pt2")
    assert made.step.options["finetuned"] is True
    assert lost["measured"] <= 1.05 * lost["bare"], "what does not help is not kept"
    assert any("batch normalisation measured anew on 3 feeds" in note for note in made.notes)
    assert lost["tuned"] < 0.4 * lost["bare"]
    assert lost["tuned"] < lost["measured"]


def test_it_gives_the_same_file_each_time_and_can_be_pruned_again(source: Artifact, tmp_path: Path) -> None:
    (tmp_path / "again").mkdir()
    pruned(source, tmp_path, importance="scale")
    pruned(source, tmp_path / "again", importance="scale")
    first = tmp_path / "made.pt2"
    assert first.read_bytes() == (tmp_path / "again" / "made.pt2").read_bytes()
    made = TRANSFORMS.make("prune", read_artifact(first), tmp_path / "twice.pt2", ratio=0.5, trust=True)
    assert made.step.options["parameters"][1] < made.step.options["parameters"][0]
    TRANSFORMS.make("to_onnx", read_artifact(tmp_path / "twice.pt2"), tmp_path / "twice.onnx", trust=True)
    feed = next(feeds())
    with open_model(tmp_path / "twice.onnx") as here, open_model(tmp_path / "twice.pt2", trust=True) as there:
        np.testing.assert_allclose(here.predict(feed)["output0"], there.predict(feed)["output0"], atol=1e-4)


def test_what_cannot_be_pruned_is_said(source: Artifact, tmp_path: Path) -> None:
    for options, problem in (
        ({"ratio": 0}, "ratio=0: it is the share"),
        ({"ratio": 1.0}, "ratio=1.0: it is the share"),
        ({"importance": "l2"}, "importance='l2'"),
    ):
        with pytest.raises(InputError, match=problem):
            pruned(source, tmp_path, **options)
    with pytest.raises(InputError, match="is onnx; 'prune' takes"):
        pruned(read_artifact(DETECTOR), tmp_path)
    nothing = artifact(of_one_batch, tmp_path, Given(imgsz=(8, 8)))
    with pytest.raises(ModelRefused, match="it has no channels that can go"):
        TRANSFORMS.make("prune", nothing, tmp_path / "made.pt2", class_=named(of_one_batch))
    assert not (tmp_path / "made.pt2").exists()
