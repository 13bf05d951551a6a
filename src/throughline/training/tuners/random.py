"""Anything, evenly: what every cleverer way has to beat."""

from __future__ import annotations

from typing import Any

from throughline.plugins import Plugin
from throughline.training.space import Space, seeded
from throughline.training.tuners import NEEDS


def make(space: Space, seed: int, number: int) -> Any:
    """The sampler."""
    import optuna

    return optuna.samplers.RandomSampler(seed=seeded(seed, number))


PLUGIN = Plugin(make=make, summary="anything, evenly", needs=NEEDS, extra="train")
