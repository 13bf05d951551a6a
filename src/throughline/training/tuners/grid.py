"""Every combination once, in an order that the seed draws; a range without a step counts as five values of it."""

from __future__ import annotations

import itertools
import math
import random
import warnings
from typing import Any

from throughline.plugins import Plugin
from throughline.training.space import Space
from throughline.training.tuners import NEEDS


def combinations(space: Space) -> int:
    """How many there are."""
    return math.prod(len(one.points()) for one in space.values())


def make(space: Space, seed: int, number: int) -> Any:
    """The sampler: it has one answer, and after the last combination none that is new."""
    import optuna

    every = list(itertools.product(*(one.points() for one in space.values())))
    random.Random(seed).shuffle(every)
    fixed = dict(zip(space, every[number % len(every)], strict=True))
    with warnings.catch_warnings():  # it has been called experimental for years
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.PartialFixedSampler(fixed, optuna.samplers.RandomSampler(seed=seed))


PLUGIN = Plugin(
    make=make, summary="every combination", needs=NEEDS, extra="train", facts={"combinations": combinations}
)
