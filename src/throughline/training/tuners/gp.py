"""A Gaussian process: the fewest trials, where each is dear and the dimensions are few."""

from __future__ import annotations

from typing import Any

from throughline.plugins import Plugin
from throughline.training.space import Space, seeded
from throughline.training.tuners import NEEDS

_AT_RANDOM = 8
"""Trials before it has anything to go by."""


def make(space: Space, seed: int, number: int) -> Any:
    """The sampler."""
    import optuna

    return optuna.samplers.GPSampler(seed=seeded(seed, number), n_startup_trials=_AT_RANDOM)


PLUGIN = Plugin(
    make=make, summary="a Gaussian process, for few and dear trials", needs=(*NEEDS, "torch", "scipy"), extra="train"
)
