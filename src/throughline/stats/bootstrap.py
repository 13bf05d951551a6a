"""How sure a figure is: it is worked out again on samples drawn anew from the samples, with replacement.

A draw is told as how often each sample was taken, so that a metric can weigh what it already
knows of each instead of starting again. Same seed, same draws, however they are dealt out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from throughline.contracts.errors import InputError

RESAMPLES: Final = 1000
"""How often samples are drawn anew; the edges of a 95 % interval then rest on 25 draws each."""
_AT_ONCE: Final = 64
_EDGES: Final = (0.025, 0.975)
_NORMAL: Final = NormalDist()

Counts: TypeAlias = npt.NDArray[np.int64]
"""How often each sample was taken: samples x draws."""
Floats: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure with its 95 % interval; not a number where nothing is known.

    Attributes:
        value: the figure on the samples as they are.
        low: the interval's lower edge.
        high: its upper edge.
        error: the standard error.
        samples: how many samples it rests on.
    """

    value: float
    low: float
    high: float
    error: float
    samples: int

    def __str__(self) -> str:
        if np.isnan(self.value):
            return "nothing to measure"
        if np.isnan(self.low):
            return f"{self.value:.4f}"
        return f"{self.value:.4f} ({self.low:.4f} to {self.high:.4f})"


def draws(
    samples: int, resamples: int = RESAMPLES, seed: int = 0, groups: Sequence[str] | None = None
) -> Iterator[Counts]:
    """How often each sample is taken, ``samples`` x at most 64 draws at a time.

    Args:
        samples: how many there are.
        resamples: how many draws.
        seed: which draws.
        groups: what each sample belongs to: groups are then drawn, each with all its samples, since
            frames of one video are not so many independent pictures.
    """
    if samples < 1 or resamples < 1:
        raise InputError(f"{resamples} draws of {samples} samples were asked for", "there must be one of each at least")
    chance = np.random.default_rng(seed)
    _, member = np.unique(np.arange(samples) if groups is None else np.array(groups), return_inverse=True)
    many = int(member.max()) + 1
    for start in range(0, resamples, _AT_ONCE):
        several = min(_AT_ONCE, resamples - start)
        taken = [np.bincount(chance.integers(0, many, many), minlength=many) for _ in range(several)]
        yield np.ascontiguousarray(np.stack(taken, axis=1)[member])


def spread(
    values_of: Callable[[Counts], Floats],
    samples: int,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    groups: Sequence[str] | None = None,
) -> Floats:
    """Figures on every draw, figures x draws; ``values_of`` gives draws, or figures x draws, from counts."""
    parts = [np.atleast_2d(values_of(counts)) for counts in draws(samples, resamples, seed, groups)]
    return np.concatenate(parts, axis=1)


def percentile_interval(value: float, drawn: Floats, samples: int, *, fewest: int = 1) -> Interval:
    """The middle 95 % of what the draws gave: for differences, whose draws lie evenly around them.

    Draws in which nothing could be measured are left out.

    Args:
        value: the figure on the samples as they are.
        drawn: what the draws gave.
        samples: how many samples it rests on.
        fewest: of fewer there is no interval: drawing two pictures again says nothing about a third.
    """
    return _interval(value, drawn, samples, fewest, _EDGES)


def corrected_interval(value: float, drawn: Floats, samples: int, *, fewest: int = 1) -> Interval:
    """As ``percentile_interval``, moved by as much as the draws lie to one side of the figure (bias-corrected).

    Average precision of few pictures comes out too high, and higher still on draws of them, in which
    rare classes are missing or doubled: their middle 95 % would miss the truth far too often.
    """
    known = drawn[np.isfinite(drawn)]
    below = float(((known < value) + 0.5 * (known == value)).mean()) if len(known) else 0.5
    shift = 2 * _NORMAL.inv_cdf(min(max(below, 1 / (len(known) + 1)), 1 - 1 / (len(known) + 1))) if len(known) else 0.0
    low, high = (_NORMAL.cdf(shift + _NORMAL.inv_cdf(edge)) for edge in _EDGES)
    return _interval(value, drawn, samples, fewest, (low, high))


def share_interval(value: float, drawn: Floats, samples: int, *, fewest: int = 1) -> Interval:
    """As ``corrected_interval``, for a share of samples: where all or none of them are in it, draws know nothing else.

    Then the other edge is exact: the share that would give this many of so many once in forty times.
    """
    interval = corrected_interval(value, drawn, samples, fewest=fewest)
    if value not in (0.0, 1.0) or np.isnan(interval.low):
        return interval
    edge = _EDGES[0] ** (1 / samples)
    return replace(interval, low=edge) if value == 1.0 else replace(interval, high=1 - edge)


def _interval(value: float, drawn: Floats, samples: int, fewest: int, edges: tuple[float, float]) -> Interval:
    known = drawn[np.isfinite(drawn)]
    if np.isnan(value) or not len(known) or samples < fewest:
        nothing = float("nan")
        return Interval(float(value), nothing, nothing, nothing, samples)
    low, high = np.quantile(known, edges)
    return Interval(float(value), float(low), float(high), float(known.std()), samples)
