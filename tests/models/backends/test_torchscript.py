from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from throughline.contracts.errors import InputError, ModelRefused
from throughline.models.loading import architecture
from throughline.models.session import open_model
from throughline.testing import networks
from throughline.testing.backends import BackendConformance
from throughline.testing.networks import Network
from throughline.testing.torch_networks import factory_of

_ADVICE = "ignore:`torch.jit:DeprecationWarning"


class TestTorchScript(BackendConformance):
    backend = "torchscript"

    def write(self, network: Network, folder: Path) -> Path:
        path = folder / f"{network.name}.torchscript"
        example = tuple(torch.from_numpy(array) for array in network.feeds(3).values())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            torch.jit.save(torch.jit.trace(architecture(factory_of(network)), example, strict=False), path)
        return path


class Scaled(torch.nn.Module):
    def forward(self, x: torch.Tensor, rate: int, gain: float, flip: bool = False) -> torch.Tensor:
        return -x if flip else x * rate * gain


class Listed(torch.nn.Module):
    def forward(self, x: list[torch.Tensor]) -> torch.Tensor:
        return x[0]


def _scripted(module: torch.nn.Module, folder: Path) -> Path:
    path = folder / "scripted.torchscript"
    torch.jit.save(torch.jit.script(module), path)
    return path


@pytest.mark.filterwarnings(_ADVICE)
def test_arguments_that_are_numbers_are_fed_as_arrays_without_axes(tmp_path: Path) -> None:
    with open_model(_scripted(Scaled(), tmp_path), trust=True) as session:
        assert [str(spec) for spec in session.inputs] == ["x any[...]", "rate int64[]", "gain float64[]"]
        feeds = {"x": np.ones((2, 3), np.float32), "rate": np.array(16_000), "gain": np.array(0.5)}
        np.testing.assert_array_equal(session.predict(feeds)["output0"], np.full((2, 3), 8000, np.float32))
        with pytest.raises(InputError, match=r"'rate' is float64\[\]; int64\[\] is expected"):
            session.predict({**feeds, "rate": np.array(1.0)})


@pytest.mark.filterwarnings(_ADVICE)
def test_an_argument_that_cannot_be_fed_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="argument 'x' of forward is List"):
        open_model(_scripted(Listed(), tmp_path), trust=True)


@pytest.mark.filterwarnings(_ADVICE)
def test_a_program_nobody_vouches_for_is_not_opened(tmp_path: Path) -> None:
    with pytest.raises(ModelRefused, match="is a program"):
        open_model(_scripted(Scaled(), tmp_path))


@pytest.mark.filterwarnings(_ADVICE)
def test_without_a_passport_shapes_are_the_caller_s_to_know(tmp_path: Path) -> None:
    path = TestTorchScript().write(networks.CONVOLUTION, tmp_path)
    with open_model(path, trust=True, max_batch=2) as session:
        feeds = networks.CONVOLUTION.feeds(5)
        for name, expected in networks.CONVOLUTION.reference(feeds).items():
            np.testing.assert_allclose(session.predict(feeds)[name], expected, rtol=1e-4, atol=1e-5)
