"""Networks that are quick to train and use everything that a checkpoint must hold: dice, norms, counts, two losses."""

from __future__ import annotations

import random

import numpy as np
import torch
from torch import nn


def perceptron() -> nn.Module:
    """Rows of six numbers in, scores of three classes out."""
    return nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 3))


def line() -> nn.Module:
    """Rows of six numbers in, one out."""
    return nn.Linear(6, 1)


class _Dicing(nn.Module):
    """Throws every kind of dice while it learns."""

    def __init__(self) -> None:
        super().__init__()
        self.body = perceptron()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            x = x + 0.01 * (random.random() + np.random.standard_normal() + torch.rand(1))
        return self.body(x)


def dicing() -> nn.Module:
    """The perceptron, shaken by Python's, NumPy's and PyTorch's random numbers."""
    return _Dicing()


def frozen() -> nn.Module:
    """Nothing in it learns."""
    return nn.Linear(6, 3).requires_grad_(False)


def small_eye() -> nn.Module:
    """Pictures in, scores of two classes out."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(), nn.Linear(16, 2),
    )  # fmt: skip
