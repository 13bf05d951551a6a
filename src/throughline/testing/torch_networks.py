"""The suite's networks as torch modules, for backends that open what torch writes.

Same weights, same names, same answers. Each is a factory, so that a state dict can name
it (``throughline.testing.torch_networks:convolution``). They misbehave as real ones do: one
writes into its input, one returns it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from throughline.testing.networks import CONVOLUTION, Network

if TYPE_CHECKING:
    from torch import Tensor, nn


def convolution() -> nn.Module:
    """``CONVOLUTION`` and ``FIXED``."""
    import torch
    from torch import nn

    class Convolution(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.positive = nn.ReLU(inplace=True)
            self.convolve = nn.Conv2d(3, 4, 1)
            weights = {name: torch.from_numpy(CONVOLUTION.weights[name].copy()) for name in ("kernel", "bias")}
            self.convolve.load_state_dict({"weight": weights["kernel"], "bias": weights["bias"]})

        def forward(self, images: Tensor) -> dict[str, Tensor]:
            features = self.convolve(self.positive(images))
            return {"features": features, "scores": features.mean((2, 3))}

    return Convolution().eval()


def types() -> nn.Module:
    """``TYPES``."""

    def forward(self: Any, half: Tensor, whole: Tensor, flag: Tensor) -> dict[str, Tensor]:
        return {"doubled": half.where(~flag, half + half), "next": whole + 1, "negated": flag.logical_not()}

    return _module(forward)


def scalar() -> nn.Module:
    """``SCALAR``."""

    def forward(self: Any, x: Tensor, scale: Tensor) -> dict[str, Tensor]:
        return {"scaled": x * scale}

    return _module(forward)


def passing() -> nn.Module:
    """``PASSING``."""

    def forward(self: Any, x: Tensor) -> dict[str, Tensor]:
        return {"same": x}

    return _module(forward)


def logarithm() -> nn.Module:
    """``LOGARITHM``."""

    def forward(self: Any, x: Tensor) -> dict[str, Tensor]:
        return {"logarithm": x.log()}

    return _module(forward)


def without_batch() -> nn.Module:
    """``WITHOUT_BATCH``."""

    def forward(self: Any, x: Tensor) -> dict[str, Tensor]:
        return {"total": x.sum(0)}

    return _module(forward)


def factory_of(network: Network) -> str:
    """What builds a network, as ``open_model(class_=...)`` takes it."""
    return f"{__name__}:{'convolution' if network.name == 'fixed' else network.name}"


def _module(forward: Callable[..., dict[str, Tensor]]) -> nn.Module:
    import torch
    from torch import nn

    class Module(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("unused", torch.zeros(1))  # a state dict without a tensor is no model file

    Module.forward = forward
    return Module().eval()
