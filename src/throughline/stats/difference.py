"""How far two figures of the same samples lie apart, and how sure that is, for metrics that are no means too.

The same draws of the samples are counted for both (the paired bootstrap), so what makes samples hard or easy
falls out. The interval is Student's, with the standard error that the draws show and as many degrees of freedom
as there are samples, or groups of them: on few of them the middle 95 % of the draws are too narrow, correcting these
for bias and skew makes it worse, and leaving samples out in turn comes out too wide where a metric moves in steps,
as average precision does. benchmarks/compare.py counts all four.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from throughline.stats.bootstrap import RESAMPLES, Counts, Floats, spread
from throughline.stats.paired import t_probability, t_quantile

FEWEST: Final = 5
"""Of fewer samples, or groups of samples, there is no interval: too few to know how much they scatter."""


@dataclass(frozen=True, slots=True)
class Difference:
    """The candidate's figure less the reference's, with its 95 % interval; not a number where nothing is known.

    Attributes:
        value: the difference on the samples as they are.
        low: the interval's lower edge.
        high: its upper edge.
        error: the standard error.
        p: how often chance alone would make a difference of this size.
        units: how many independent samples, or groups of samples, it rests on.
    """

    value: float
    low: float
    high: float
    error: float
    p: float
    units: int

    @property
    def deviation(self) -> float:
        """The standard deviation of what one unit makes of the difference."""
        return self.error * math.sqrt(self.units)


def paired_spread(
    reference: Callable[[Counts], Floats],
    candidate: Callable[[Counts], Floats],
    samples: int,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    groups: Sequence[str] | None = None,
) -> Floats:
    """The difference on every draw, figures x draws; the same draws are counted for both."""

    def differences(counts: Counts) -> Floats:
        apart: Floats = candidate(counts) - reference(counts)
        return apart

    return spread(differences, samples, resamples=resamples, seed=seed, groups=groups)


def all_to_one_side(units: int) -> float:
    """How often chance alone sends every unit to the same side: what a difference that is the same on each can show."""
    return float(2 * 0.5**units)


def judge(value: float, drawn: Floats, units: int) -> Difference:
    """A difference with its interval and its p, from what the draws gave.

    Args:
        value: the difference on the samples as they are.
        drawn: on every draw; those in which nothing could be measured are left out.
        units: how many samples were drawn from, or groups of them.
    """
    known = drawn[np.isfinite(drawn)]
    if math.isnan(value) or units < FEWEST or len(known) < 2:
        return Difference(value, math.nan, math.nan, math.nan, math.nan, units)
    if float(np.ptp(known)) == 0.0:
        return Difference(value, value, value, 0.0, all_to_one_side(units) if value else 1.0, units)
    error = float(known.std(ddof=1)) * math.sqrt(units / (units - 1))
    half = t_quantile(units - 1) * error
    return Difference(value, value - half, value + half, error, t_probability(value / error, units - 1), units)
