"""Two ways of making a model, each tried several times: the same recipe with another seed gives another model.

One model against one says which of these two files is better. Whether one *recipe* is better is told
by runs, and there the run is what counts: five runs are five samples, however many pictures each saw.
Where the pictures are to stand for others too, both kinds of chance are counted, and what they
share is taken off once (as in two-way clustered errors).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from throughline.contracts.errors import InputError
from throughline.stats.paired import Effect, Floats, Test, shift_interval, t_probability, t_quantile


@dataclass(frozen=True, slots=True)
class RunsDifference:
    """The mean of the candidate's runs less that of the reference's, with its 95 % interval.

    Attributes:
        value: the difference.
        low: the interval's lower edge.
        high: its upper edge.
        error: the standard error.
        freedom: degrees of freedom.
        test: what says whether it is more than chance.
        by_samples: the standard error that the choice of samples makes alone; 0 where they are all there are.
    """

    value: float
    low: float
    high: float
    error: float
    freedom: float
    test: Test
    by_samples: float = 0.0


def welch(reference: Floats, candidate: Floats) -> RunsDifference:
    """Welch's t-test: do two sets of runs differ, where one may scatter more than the other?"""
    reference, candidate = _runs(reference), _runs(candidate)
    many = len(reference) + len(candidate)
    value = float(candidate.mean() - reference.mean())
    if float(np.ptp(reference)) == 0.0 == float(np.ptp(candidate)):
        test = Test("Welch", math.copysign(math.inf, value) if value else 0.0, 0.0 if value else 1.0, many)
        return RunsDifference(value, value, value, 0.0, float(many - 2), test)
    error, freedom = _scatter(reference, candidate)
    test = Test("Welch", value / error, t_probability(value / error, freedom), many)
    half = t_quantile(freedom) * error
    return RunsDifference(value, value - half, value + half, error, freedom, test)


def over_runs_and_samples(
    reference: Floats, candidate: Floats, reference_drawn: Floats, candidate_drawn: Floats, units: int
) -> RunsDifference:
    """The same where the samples stand for others too: chance of runs and chance of samples.

    Args:
        reference: the figure of each run of the one to be held to.
        candidate: of each run of the other.
        reference_drawn: the same figures on draws of the samples, runs x draws.
        candidate_drawn: of the other, on the same draws.
        units: how many samples, or groups of samples, were drawn from.
    """
    sides = [(_runs(reference), np.asarray(reference_drawn)), (_runs(candidate), np.asarray(candidate_drawn))]
    if any(len(figures) != len(drawn) for figures, drawn in sides) or units < 2:
        raise InputError(
            f"{len(reference)} and {len(candidate)} runs, drawn {len(reference_drawn)} and {len(candidate_drawn)} "
            f"times from {units} samples, cannot be compared",
            "give draws of every run, from at least two samples",
        )
    wider = units / (units - 1)  # draws scatter a little less than samples do
    value = float(sides[1][0].mean() - sides[0][0].mean())
    by_runs, of_freedom = _scatter(sides[0][0], sides[1][0])
    by_samples = wider * float((sides[1][1].mean(axis=0) - sides[0][1].mean(axis=0)).var(ddof=1))
    shared = wider * sum(_left_over(drawn) / len(drawn) for _, drawn in sides)
    error = math.sqrt(max(by_samples + by_runs**2 - shared, by_samples, by_runs**2))
    freedom = _freedom(by_runs**2, of_freedom, by_samples, units - 1)
    half = t_quantile(freedom) * error
    statistic = value / error if error else (math.copysign(math.inf, value) if value else 0.0)
    many = len(reference) + len(candidate)
    test = Test("t over runs and samples", statistic, t_probability(statistic, freedom), many)
    return RunsDifference(value, value - half, value + half, error, freedom, test, math.sqrt(by_samples))


def hedges_g(reference: Floats, candidate: Floats) -> Effect:
    """The difference of two sets of runs in standard deviations of a run, corrected for how few there are."""
    reference, candidate = _runs(reference), _runs(candidate)
    freedom = len(reference) + len(candidate) - 2
    deviation = math.sqrt((reference.var() * len(reference) + candidate.var() * len(candidate)) / freedom)
    value = float(candidate.mean() - reference.mean())
    if deviation == 0:
        return Effect("Hedges' g", math.copysign(math.inf, value) if value else 0.0, math.nan, math.nan)
    root = math.sqrt(1 / len(reference) + 1 / len(candidate))
    low, high = shift_interval(value / deviation / root, freedom)
    fair = 1 - 3 / (4 * freedom - 1)
    return Effect("Hedges' g", fair * value / deviation, fair * low * root, fair * high * root)


def _left_over(drawn: Floats) -> float:
    """How much a run's figure moves with the samples in a way of its own: what all its runs do not share."""
    return float((drawn - drawn.mean(axis=0)).var(axis=1, ddof=1).sum()) / (len(drawn) - 1)


def _scatter(reference: Floats, candidate: Floats) -> tuple[float, float]:
    """The standard error of the difference of two means, and its degrees of freedom (Welch and Satterthwaite)."""
    first, second = (float(side.var(ddof=1)) / len(side) for side in (reference, candidate))
    return math.sqrt(first + second), _freedom(first, len(reference) - 1, second, len(candidate) - 1)


def _freedom(first: float, of_first: float, second: float, of_second: float) -> float:
    """Satterthwaite's degrees of freedom of a sum of two variances."""
    whole = first + second
    parts = first * first / of_first + second * second / of_second
    return whole * whole / parts if whole else min(of_first, of_second)


def _runs(figures: Floats) -> Floats:
    figures = np.asarray(figures, np.float64)
    if figures.ndim != 1 or len(figures) < 2 or not np.isfinite(figures).all():
        raise InputError(
            f"{figures.size} runs, {int(np.isfinite(figures).sum())} of them with a number, tell nothing of the next",
            "give at least two runs a side, better five",
        )
    return figures
