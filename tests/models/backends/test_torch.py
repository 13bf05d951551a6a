from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from throughline.contracts.errors import InputError
from throughline.models.loading import architecture
from throughline.models.session import open_model
from throughline.testing import networks
from throughline.testing.backends import BackendConformance
from throughline.testing.networks import Network
from throughline.testing.torch_networks import factory_of


class TestSafetensors(BackendConformance):
    backend = "torch"

    def write(self, network: Network, folder: Path) -> Path:
        path = folder / f"{network.name}.safetensors"
        save_file(architecture(factory_of(network)).state_dict(), path)
        return path

    def options(self, network: Network) -> Mapping[str, Any]:
        return {"class_": factory_of(network)}


class TestExportedProgram(BackendConformance):
    backend = "torch"

    def write(self, network: Network, folder: Path) -> Path:
        path = folder / f"{network.name}.pt2"
        example = tuple(torch.from_numpy(array) for array in network.feeds(4).values())
        dynamic = tuple(
            {axis: torch.export.Dim.DYNAMIC for axis, size in enumerate(spec.shape) if isinstance(size, str)}
            for spec in network.inputs
        )
        program = torch.export.export(architecture(factory_of(network)), example, dynamic_shapes=dynamic)
        torch.export.save(program, path)
        return path


def _weights(folder: Path) -> Path:
    path = folder / "weights.pt"
    torch.save(architecture(factory_of(networks.CONVOLUTION)).state_dict(), path)
    return path


def test_a_checkpoint_runs_once_its_factory_is_named(tmp_path: Path) -> None:
    feeds = networks.CONVOLUTION.feeds(3)
    with open_model(_weights(tmp_path), class_=factory_of(networks.CONVOLUTION)) as session:
        answers, expected = session.predict(feeds), networks.CONVOLUTION.reference(feeds)
        assert [spec.name for spec in session.inputs] == ["images"]
        for name, array in expected.items():
            np.testing.assert_allclose(answers[name], array, rtol=1e-4, atol=1e-5)
        with pytest.raises(InputError, match="torch could not run the model"):
            session.predict({"images": feeds["images"].astype(np.float64)})
        with pytest.raises(InputError, match="pass the feeds to warm up with"):
            session.warm_up()


def test_a_checkpoint_without_a_factory_says_what_it_needs(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="weights and not the network") as raised:
        open_model(_weights(tmp_path))
    assert "--class package.module:function" in raised.value.fix


def test_weights_of_another_network_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"unexpected: convolve\.bias, convolve\.weight"):
        open_model(_weights(tmp_path), class_=factory_of(networks.SCALAR))


@pytest.mark.parametrize("threads", [1, 2])
def test_the_thread_count_holds_for_the_model_and_for_nothing_else(tmp_path: Path, threads: int) -> None:
    before = torch.get_num_threads()
    inside: list[int] = []
    with open_model(_weights(tmp_path), class_=factory_of(networks.CONVOLUTION), threads=threads) as session:
        session._runner._call.register_forward_hook(lambda *_: inside.append(torch.get_num_threads()))  # type: ignore[attr-defined]
        outside: list[int] = []
        stranger = threading.Thread(target=lambda: outside.append(torch.get_num_threads()))
        session.predict(networks.CONVOLUTION.feeds(1))
        stranger.start()
        stranger.join()
        assert (inside, outside, torch.get_num_threads()) == ([threads], [before], before)


def test_an_export_for_a_limited_batch_is_split_at_that(tmp_path: Path) -> None:
    batch = torch.export.Dim("batch", min=1, max=5)
    example = (torch.from_numpy(networks.PASSING.feeds(3)["x"]),)
    program = torch.export.export(architecture(factory_of(networks.LOGARITHM)), example, dynamic_shapes=({0: batch},))
    torch.export.save(program, tmp_path / "limited.pt2")
    feeds = {"x": np.abs(networks.LOGARITHM.feeds(12)["x"]) + 1}
    with open_model(tmp_path / "limited.pt2", trust=True) as session:
        np.testing.assert_allclose(session.predict(feeds)["logarithm"], np.log(feeds["x"]), rtol=1e-5)
        assert dict(session.get_performance_stats().batch_sizes) == {2: 1, 5: 2}


class _Tuple(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("unused", torch.zeros(1))

    def forward(self, x: torch.Tensor) -> Any:
        return x, x + 1


class _Weights(_Tuple):
    def forward(self, x: torch.Tensor) -> Any:
        return self.unused


class _Text(_Tuple):
    def forward(self, x: torch.Tensor) -> Any:
        return {"label": "cat"}


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> str:
    """This module under a name that a factory can be found by."""
    import sys
    import types

    module = types.ModuleType("networks_of_the_test")
    module.__dict__.update(tuple=_Tuple, text=_Text, weights=_Weights)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module.__name__


def test_outputs_without_names_are_numbered(tmp_path: Path, here: str) -> None:
    save_file(_Tuple().state_dict(), tmp_path / "tuple.safetensors")
    with open_model(tmp_path / "tuple.safetensors", class_=f"{here}:tuple") as session:
        assert list(session.predict({"x": np.ones((2, 3), np.float32)})) == ["output0", "output1"]


def test_a_network_that_returns_its_own_weights_keeps_them(tmp_path: Path, here: str) -> None:
    save_file(_Weights().state_dict(), tmp_path / "weights.safetensors")
    with open_model(tmp_path / "weights.safetensors", class_=f"{here}:weights") as session:
        feeds = {"x": np.ones((1, 3), np.float32)}
        session.predict(feeds)["output0"][...] = 7
        assert session.predict(feeds)["output0"] == 0


def test_an_output_that_is_no_tensor_is_named(tmp_path: Path, here: str) -> None:
    save_file(_Text().state_dict(), tmp_path / "text.safetensors")
    with (
        open_model(tmp_path / "text.safetensors", class_=f"{here}:text") as session,
        pytest.raises(InputError, match="output 'label' is a str"),
    ):
        session.predict({"x": np.ones((2, 3), np.float32)})
