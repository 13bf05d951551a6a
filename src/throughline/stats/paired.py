"""Whether two models differ on the same samples, from what each sample makes of the difference.

What makes a sample hard is hard for both, so it falls out of the difference, and far fewer samples
tell two models apart than if each were measured on its own.

Student's t-test asks about the mean. Wilcoxon's asks whether the differences lie as much to one side
as to the other, and does not mind a few wild ones. Both are scipy's; here they are told what to say
when two models agree everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from throughline.contracts.errors import InputError, MissingExtra

Floats: TypeAlias = npt.NDArray[np.float64]

EDGES: Final = (0.025, 0.975)
"""What an interval of 95 % leaves out on each side."""


@dataclass(frozen=True, slots=True)
class Test:
    """How unlikely what was seen would be if the two did not differ.

    Attributes:
        name: which test it is.
        statistic: what it looks at.
        p: how often chance alone would give this or more.
        samples: how many samples it rests on.
    """

    __test__ = False  # pytest takes what is called so for a test of its own

    name: str
    statistic: float
    p: float
    samples: int


@dataclass(frozen=True, slots=True)
class Effect:
    """How large a difference is, and from where to where it is with 95 %."""

    name: str
    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


def scipy_stats() -> Any:
    """``scipy.stats``, or an error that says what to install."""
    try:
        import scipy.stats
    except ModuleNotFoundError:
        raise MissingExtra("scipy", "telling whether models differ", "train") from None
    return scipy.stats


def t_test(differences: Floats) -> Test:
    """Student's t-test of the mean difference: is it zero?"""
    differences = _several(differences)
    many = len(differences)
    if float(np.ptp(differences)) == 0.0:
        shift = float(differences[0])
        return Test("paired t", math.copysign(math.inf, shift) if shift else 0.0, 0.0 if shift else 1.0, many)
    statistic = float(differences.mean()) / float(differences.std(ddof=1)) * math.sqrt(many)
    return Test("paired t", statistic, t_probability(statistic, many - 1), many)


def wilcoxon(differences: Floats) -> Test:
    """Wilcoxon's signed-rank test: do the differences lie evenly around zero? Those that are zero say nothing."""
    differences = _several(differences)
    moved = differences[differences != 0]
    if not len(moved):
        return Test("Wilcoxon", 0.0, 1.0, len(differences))
    found = scipy_stats().wilcoxon(moved, correction=False)
    return Test("Wilcoxon", float(found.statistic), float(found.pvalue), len(differences))


def mean_interval(differences: Floats) -> tuple[float, float]:
    """From where to where the mean difference is with 95 %, by Student's t."""
    differences = _several(differences)
    half = t_quantile(len(differences) - 1) * float(differences.std(ddof=1)) / math.sqrt(len(differences))
    middle = float(differences.mean())
    return middle - half, middle + half


def cohen_dz(differences: Floats) -> Effect:
    """The mean difference in standard deviations of the difference; 0.2 is called small, 0.8 large.

    The interval is exact where differences are normal: the noncentral t distributions that would give
    this much, or this little, once in forty times.
    """
    differences = _several(differences)
    many, deviation = len(differences), float(differences.std(ddof=1))
    middle = float(differences.mean())
    if deviation == 0:
        return Effect("Cohen's dz", math.copysign(math.inf, middle) if middle else 0.0, math.nan, math.nan)
    return standardised(middle, deviation / math.sqrt(many), many)


def standardised(difference: float, error: float, samples: int) -> Effect:
    """The same from a difference of any two figures and its standard error."""
    root = math.sqrt(samples)
    low, high = (edge / root for edge in shift_interval(difference / error, samples - 1))
    return Effect("Cohen's dz", difference / error / root, low, high)


def shift_interval(statistic: float, freedom: float) -> tuple[float, float]:
    """By how much a t was shifted, with 95 %: where the noncentral t gives this much, or this little, 1 in 40 times."""
    scipy_stats()
    from scipy.special import nctdtr

    wide = 6.0 + abs(statistic) * (0.5 + 3.0 / math.sqrt(freedom))

    def beyond(share: float) -> float:
        def falling(shift: float) -> float:
            return float(nctdtr(freedom, shift, statistic)) - share

        return crossing(falling, statistic - wide, statistic + wide)

    return beyond(EDGES[1]), beyond(EDGES[0])


def t_quantile(freedom: float) -> float:
    """How many standard errors an interval of 95 % reaches to each side."""
    return float(scipy_stats().t.ppf(EDGES[1], freedom))


def t_probability(statistic: float, freedom: float) -> float:
    """How often chance alone gives a t of this size or more, to either side."""
    return float(2 * scipy_stats().t.sf(abs(statistic), freedom))


def crossing(falling: Callable[[float], float], low: float, high: float) -> float:
    """Where a function that falls from plus to minus is zero; the nearer end where it does not change its sign."""
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if falling(middle) > 0 else (low, middle)
    return (low + high) / 2


def _several(differences: Floats) -> Floats:
    differences = np.asarray(differences, np.float64)
    if differences.ndim != 1 or len(differences) < 2 or not np.isfinite(differences).all():
        raise InputError(
            f"{differences.size} differences, {int(np.isfinite(differences).sum())} of them numbers, tell nothing",
            "give one number for each of at least two samples",
        )
    return differences
