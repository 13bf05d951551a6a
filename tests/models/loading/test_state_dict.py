"""Tensors cross the boundary whole, and nothing else does."""

from __future__ import annotations

import tempfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import hostile_checkpoints
import hostile_pickles
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from safetensors.torch import save_file  # noqa: E402

from throughline.contracts.errors import InputError, ModelRefused  # noqa: E402
from throughline.models.identify import identify  # noqa: E402
from throughline.models.loading import check, load_state_dict  # noqa: E402
from throughline.models.loading.claims import broken_claim, claims  # noqa: E402
from throughline.models.loading.globals import WEIGHTS  # noqa: E402
from throughline.models.loading.pickles import read_pickles  # noqa: E402
from throughline.models.loading.sandbox import Limits, run_confined  # noqa: E402

CHILD = "throughline.models.loading.unpickle_child"


def _checkpoint() -> dict[str, Any]:
    generator = torch.Generator().manual_seed(7)
    weight = torch.randn(6, 4, generator=generator)
    return {
        "epoch": 5,
        "optimizer": {"state": {}, "param_groups": [{"lr": 0.1}]},
        "state_dict": OrderedDict(
            {
                "module.embed.weight": weight,
                "module.head.weight": weight,
                "module.turned": weight.t(),
                "module.slice": weight[1:3],
                "module.half": weight.to(torch.bfloat16),
                "module.steps": torch.tensor(3),
                "module.none": torch.empty(0, 4),
            }
        ),
    }


@pytest.mark.parametrize("legacy", [False, True])
def test_a_nested_checkpoint_with_tied_and_strided_tensors_comes_back_equal(
    legacy: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    saved = _checkpoint()
    path = tmp_path / "c.pth"
    torch.save(saved, path, _use_new_zipfile_serialization=not legacy)
    loaded = load_state_dict(path)
    expected = {name.removeprefix("module."): tensor for name, tensor in saved["state_dict"].items()}
    assert set(loaded.tensors) == set(expected)
    for name, tensor in expected.items():
        assert loaded.tensors[name].dtype == tensor.dtype
        assert torch.equal(loaded.tensors[name], tensor)
    assert loaded.tensors["embed.weight"] is loaded.tensors["head.weight"]
    assert loaded.tensors["slice"] is not loaded.tensors["embed.weight"]
    assert any("taken from 'state_dict'" in note and "epoch" in note for note in loaded.notes)
    assert any("'module.'" in note for note in loaded.notes)
    assert not list(scratch.iterdir())


def test_a_whole_model_gives_its_tensors_only_with_trust(tmp_path: Path) -> None:
    path = tmp_path / "m.pt"
    network = torch.nn.Sequential(torch.nn.Linear(3, 2))
    torch.save(network, path)
    with pytest.raises(ModelRefused, match=r"torch\.nn\.modules"):
        load_state_dict(path)
    loaded = load_state_dict(path, trust=True)
    assert torch.equal(loaded.tensors["0.weight"], network[0].weight)
    assert "the weights were taken out of a Sequential" in loaded.notes


def test_safetensors_needs_no_child(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    save_file({"w": torch.arange(4.0)}, path)
    assert torch.equal(load_state_dict(path).tensors["w"], torch.arange(4.0))


def test_a_program_is_not_a_state_dict(tmp_path: Path) -> None:
    path = tmp_path / "m.torchscript"
    with __import__("warnings").catch_warnings():
        __import__("warnings").simplefilter("ignore")
        torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2)).save(path)
    with pytest.raises(InputError, match="whole model and not a state dict"):
        load_state_dict(path, trust=True)


@pytest.mark.parametrize("name", hostile_checkpoints.CLAIMS)
def test_what_the_file_cannot_hold_is_refused_by_the_numbers(name: str, tmp_path: Path) -> None:
    path = hostile_checkpoints.CLAIMS[name](tmp_path)
    with pytest.raises(
        ModelRefused, match=r"claims what it does not hold: .*(the tensor 'w' float32|its tensors would take)"
    ):
        check(path, trust=True)


def test_an_honest_archive_made_the_same_way_is_accepted(tmp_path: Path) -> None:
    assert check(hostile_checkpoints.honest(tmp_path)).parameters == 4


@pytest.mark.parametrize("name", hostile_checkpoints.BROKEN_ARCHIVES)
def test_archives_that_two_readers_could_read_differently_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ModelRefused, match="zip archive made to deceive"):
        identify(hostile_checkpoints.BROKEN_ARCHIVES[name](tmp_path))


@pytest.mark.parametrize("name", hostile_checkpoints.WIDER_THAN_OURS)
def test_what_only_the_frameworks_own_list_admits_needs_trust(name: str, tmp_path: Path) -> None:
    path = hostile_checkpoints.archive(
        tmp_path / "m.pt", hostile_checkpoints.WIDER_THAN_OURS[name], hostile_checkpoints.SIXTEEN
    )
    with pytest.raises(ModelRefused):
        check(path)


def _child(path: Path, folder: Path, memory: int = 3 << 30) -> Any:
    folder.mkdir()
    task = {"path": str(path), "trusted": False}
    return run_confined(CHILD, task, folder, Limits(memory, 60, 120, 64 << 20))


@pytest.mark.parametrize(
    ("pickled", "offender"),
    [
        ("by_global", "posix.system"),
        ("a_subclass_with_any_state", "torch._tensor._rebuild_from_type_v2"),
        ("a_bytearray_of_any_size", "bytearray"),
    ],
)
def test_the_boundary_holds_alone_where_nothing_looked_before(pickled: str, offender: str, tmp_path: Path) -> None:
    """The child is given the file directly: its allow-list refuses without any reading beforehand."""
    canary = tmp_path / "canary"
    data = hostile_pickles.by_global(canary) if pickled == "by_global" else hostile_checkpoints.WIDER_THAN_OURS[pickled]
    path = hostile_checkpoints.archive(tmp_path / "m.pt", data, hostile_checkpoints.SIXTEEN)
    outcome = _child(path, tmp_path / "child")
    assert outcome.report["failed"] == "global"
    assert offender in outcome.report["what"]
    assert not (tmp_path / "child" / "tensors.safetensors").exists()
    assert not canary.exists()


def test_a_tensor_that_would_fill_the_memory_ends_the_child_and_not_us(tmp_path: Path) -> None:
    path = hostile_checkpoints.strides_of_zero(tmp_path)
    outcome = _child(path, tmp_path / "child")
    assert outcome.report.get("failed") == "memory" or outcome.signal is not None


def test_our_list_is_narrower_than_the_frameworks_own() -> None:
    own = set(torch._weights_only_unpickler._get_allowed_globals())
    assert {"torch._tensor._rebuild_from_type_v2", "builtins.bytearray", "torch.FloatTensor"} <= own - WEIGHTS
    assert len(WEIGHTS & own) >= 40


def test_claims_are_read_as_the_framework_writes_them(tmp_path: Path) -> None:
    path = tmp_path / "m.pt"
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8))
    torch.save({"state_dict": network.state_dict(), "half": torch.zeros(3, dtype=torch.float16)}, path)
    description = identify(path)
    assert description.kind == "state dict (zip format) of 8 tensors"
    assert description.parameters == sum(t.numel() for t in network.state_dict().values()) + 3
    from throughline.models.loading.archives import open_archive

    reading = read_pickles(open_archive(path).read("m/data.pkl"))
    found = {claim.name: claim for claim in claims(reading.root)}
    assert found["state_dict.0.weight"].shape == (8, 3, 3, 3)
    assert broken_claim(list(found.values()), {}, 10_000) is not None
