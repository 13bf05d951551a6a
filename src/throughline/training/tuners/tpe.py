"""Tree-structured Parzen estimators: what good trials have in common, for few or many dimensions of any kind."""

from __future__ import annotations

from typing import Any

from throughline.plugins import Plugin
from throughline.training.space import Space, seeded
from throughline.training.tuners import NEEDS

_AT_RANDOM = 10
"""Trials before it has anything to go by."""


def make(space: Space, seed: int, number: int) -> Any:
    """The sampler."""
    import optuna

    return optuna.samplers.TPESampler(seed=seeded(seed, number), n_startup_trials=_AT_RANDOM)


PLUGIN = Plugin(make=make, summary="what good trials have in common (Parzen)", needs=NEEDS, extra="train")
