"""How small a difference so many samples can show, and how many samples a difference needs to be seen.

"We saw no difference" says nothing where none could have been seen. Power is asked of a difference
that matters, the margin, never of the one that was measured: that would only be its p said again.
"""

from __future__ import annotations

import math
from typing import Final

from throughline.stats.paired import EDGES, scipy_stats

USUAL: Final = 0.8
"""How often a difference that is there should be seen: four times of five."""
_MOST: Final = 1e9


def power_of_t(difference: float, deviation: float, samples: int) -> float:
    """How often a paired t-test at 5 % sees a difference.

    Args:
        difference: the one that is there.
        deviation: the standard deviation of single samples' differences.
        samples: how many.
    """
    if samples < 2 or deviation < 0 or math.isnan(deviation):
        return math.nan
    if deviation == 0:
        return 1.0 if difference else 0.05
    stats = scipy_stats()
    freedom, shift = samples - 1, abs(difference) / deviation * math.sqrt(samples)
    edge = stats.t.ppf(EDGES[1], freedom)
    if shift > 12 + edge:
        return 1.0
    return float(stats.nct.sf(edge, freedom, shift) + stats.nct.cdf(-edge, freedom, shift))


def samples_needed(difference: float, deviation: float, power: float = USUAL) -> int | None:
    """How many samples show a difference so often; None where no number of them would.

    Args:
        difference: the one that is there.
        deviation: the standard deviation of single samples' differences.
        power: how often it should be seen.
    """
    if not difference or not math.isfinite(deviation):
        return None
    normal = scipy_stats().norm
    rough = (float(normal.ppf(EDGES[1])) + float(normal.ppf(power))) ** 2 * (deviation / difference) ** 2
    if rough > _MOST:
        return None
    needed = max(2, math.floor(rough))
    while needed < 200 and power_of_t(difference, deviation, needed) < power:
        needed += 1
    return max(needed, math.ceil(rough))


def detectable(error: float, freedom: float, power: float = USUAL) -> float:
    """The smallest difference that is seen so often, from the standard error of the difference."""
    student = scipy_stats().t
    return error * float(student.ppf(EDGES[1], freedom) + student.ppf(power, freedom))
