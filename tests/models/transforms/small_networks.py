"""Small PyTorch networks, each a factory: what a trained detector or classifier is made of, and what goes wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from throughline.contracts.artifacts import Artifact
from throughline.models.artifact import Given, read_artifact


def artifact(factory: Callable[[], nn.Module], folder: Path, given: Given | None = None) -> Artifact:
    """Its weights in a file."""
    path = folder / f"{factory.__name__}.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in factory().state_dict().items()}, path)
    return read_artifact(path, given)


def named(factory: Callable[[], nn.Module]) -> str:
    """What builds it."""
    return f"{__name__}:{factory.__name__}"


def _seeded(build: Callable[[], nn.Module]) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = build()
        for layer in network.modules():
            if isinstance(layer, nn.BatchNorm2d):
                nn.init.uniform_(layer.weight, 0.5, 1.5)
                nn.init.normal_(layer.bias, 0, 0.2)
                nn.init.normal_(layer.running_mean, 0, 0.2)
                nn.init.uniform_(layer.running_var, 0.5, 1.5)
    return network.eval()


def conv(inside: int, outside: int, size: int = 3, stride: int = 1, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inside, outside, size, stride, size // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outside),
        nn.ReLU(),
    )


class _Classifier(nn.Module):
    """Residual steps, a split, a concatenation, a depthwise step and a gate: all ways that channels hang together."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.stem = conv(3, width, 3, 2)
        self.deep = conv(width, width)
        self.depthwise = nn.Sequential(conv(width, width, 3, 1, width), conv(width, width, 1))
        self.step = conv(width // 2, width // 2)
        self.merge = conv(width * 3 // 2, width * 2, 3, 2)
        self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(width * 2, width * 2, 1), nn.Sigmoid())
        self.head = nn.Linear(width * 2, 5)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = self.stem(images)
        x = x + self.deep(x)
        x = self.depthwise(x)
        kept, moving = x.chunk(2, 1)
        x = self.merge(torch.cat((kept, moving, moving + self.step(moving)), 1))
        x = x * self.gate(x)
        return self.head(x.mean((2, 3)))


def classifier() -> nn.Module:
    return _seeded(lambda: _Classifier(16))


def smaller_classifier() -> nn.Module:
    return _seeded(lambda: _Classifier(8))


class _Undecided(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 4, 1)

    def forward(self, images: torch.Tensor) -> Any:
        return self.layer(images) if images.sum() > 0 else images


def undecided() -> nn.Module:
    """Its way depends on what is in the picture."""
    return _Undecided()


class _Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, here: torch.Tensor, there: torch.Tensor) -> torch.Tensor:
        return self.layer(here) + there


def two_inputs() -> nn.Module:
    return _Two()


class _OfOneBatch(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 4, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.layer(images) + torch.zeros(2, 1, 1, 1)


def of_one_batch() -> nn.Module:
    """Its code fixes the batch."""
    return _OfOneBatch()
