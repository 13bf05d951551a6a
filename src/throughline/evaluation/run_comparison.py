"""Whether one way of making a model is better than another: several runs of each, on the same samples.

A single run of each says which of two files is better. The same recipe with another seed gives
another file, and often the difference between two recipes is no larger than that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from throughline.contracts.errors import InputError
from throughline.evaluation.comparison import CANNOT_TELL, Comparison, Question, decide
from throughline.evaluation.non_inferiority import allowed_by
from throughline.evaluation.tally import Floats, Tally
from throughline.stats.bootstrap import spread
from throughline.stats.difference import FEWEST, Difference
from throughline.stats.paired import EDGES, scipy_stats
from throughline.stats.power import USUAL, detectable
from throughline.stats.runs import RunsDifference, hedges_g, over_runs_and_samples, welch


def compare_runs(
    reference: Sequence[Tally],
    candidate: Sequence[Tally],
    question: Question,
    *,
    groups: Sequence[str] | None = None,
) -> Comparison:
    """Compare two sets of runs, each measured on the same samples: chance of seeds and chance of samples both counted.

    Args:
        reference: the runs of the one to be held to.
        candidate: those of the one in question.
        question: what is asked.
        groups: what each sample belongs to, where they hang together.
    """
    samples = len(reference[0])
    several = None if groups is None or len(set(groups)) == len(groups) else groups
    units = samples if several is None else len(set(several))
    if units < FEWEST:
        what = question.sample if several is None else question.group
        raise InputError(f"{units} {what}s are too few to compare runs on", f"give at least {FEWEST}")
    figures = [np.array([one.value() for one in side]) for side in (reference, candidate)]
    drawn = [
        np.concatenate(
            [spread(one.values, samples, resamples=question.resamples, seed=question.seed, groups=several)
             for one in side]
        )
        for side in (reference, candidate)
    ]  # fmt: skip
    if not all(np.isfinite(values).all() for values in (*figures, *drawn)):
        raise InputError(
            f"{reference[0].metric} cannot be had of every draw of the {question.sample}s: too few show anything",
            "give more labelled data",
        )
    found = over_runs_and_samples(figures[0], figures[1], drawn[0], drawn[1], units)
    made = compare_figures(reference[0].metric, figures[0], figures[1], question, found)
    what = question.sample if several is None else question.group
    return _with(made, samples, welch(*figures), found.by_samples, what)


def compare_figures(
    metric: str, reference: Floats, candidate: Floats, question: Question, found: RunsDifference | None = None
) -> Comparison:
    """Compare two sets of runs by the figure of each.

    Args:
        metric: what was measured.
        reference: the figures of the one to be held to.
        candidate: those of the one in question.
        question: what is asked.
        found: how far they lie apart, where more than the figures is known; Welch's when None.
    """
    found = found or welch(reference, candidate)
    runs = len(reference) + len(candidate)
    margin = allowed_by(question.margin, float(reference.mean()), most=1.0 if question.bounded else math.inf)
    apart = Difference(found.value, found.low, found.high, found.error, found.test.p, runs)
    decision = decide(apart, margin, question.less_is_better)
    return Comparison(
        metric=metric,
        reference=float(reference.mean()),
        candidate=float(candidate.mean()),
        difference=apart,
        less_is_better=question.less_is_better,
        margin=margin,
        decision=decision,
        samples=runs,
        unit="run",
        more=_more_runs(found, margin, question.less_is_better, runs) if decision == CANNOT_TELL else 0,
        tests=(found.test,),
        effects=(hedges_g(reference, candidate),),
        power=_power(found, margin),
        detectable=detectable(found.error, found.freedom) if found.error > 0 else math.nan,
        parts=(),
        drawn=_likely(found),
    )


def _with(made: Comparison, samples: int, alone: RunsDifference, by_samples: float, what: str) -> Comparison:
    """What is known beyond the runs' figures: the samples, and which kind of chance matters more."""
    notes = (
        f"standard error from the choice of runs {alone.error:.2g}, from the choice of {what}s {by_samples:.2g}: "
        + (f"more {what}s would help most" if by_samples > alone.error else "more runs would help most"),
    )
    more = made.more
    if more:
        # what the samples leave open, more runs cannot close
        left = made.difference.error**2 * made.samples / (made.samples + more) - by_samples**2
        more = max(2, math.ceil(made.samples * (alone.error**2 / left - 1))) if left > 0 else None
    return replace(made, samples=samples, tests=(*made.tests, alone.test), more=more, notes=notes)


def _more_runs(found: RunsDifference, margin: float, less_is_better: bool, runs: int) -> int | None:
    gain = -found.value if less_is_better else found.value
    rooms = [room for room in (abs(gain), gain + margin) if room > 0]
    if not rooms or not found.error:
        return None
    normal = scipy_stats().norm
    reach = float(normal.ppf(EDGES[1]) + normal.ppf(USUAL)) * found.error / max(rooms)
    more = math.ceil(runs * reach**2) - runs
    return max(2, more) if more < 1e6 else None


def _power(found: RunsDifference, margin: float) -> float:
    if not found.error:
        return math.nan
    stats = scipy_stats()
    edge, shift = stats.t.ppf(EDGES[1], found.freedom), margin / found.error
    return float(stats.nct.sf(edge, found.freedom, shift) + stats.nct.cdf(-edge, found.freedom, shift))


def _likely(found: RunsDifference) -> Floats:
    """The differences that other runs would show, for the drawing."""
    shares = (np.arange(1000) + 0.5) / 1000
    likely: Floats = found.value + found.error * np.asarray(scipy_stats().t.ppf(shares, found.freedom))
    return likely
