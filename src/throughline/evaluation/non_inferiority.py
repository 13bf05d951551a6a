"""Whether a model is no worse than another by more than a margin, and how sure that is.

Both answer the same pictures, and the same draws of these pictures are counted for both, so what
makes pictures hard or easy falls out of the difference. "We saw no difference" is not enough: the
whole 95 % interval of the difference must lie within the margin.

An interval from draws can only know what the pictures show. Ten pictures on which two models agree
give an interval of no width, and say little about the eleventh.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from throughline.contracts.errors import InputError
from throughline.evaluation.tally import Tally
from throughline.stats.bootstrap import RESAMPLES, Interval, percentile_interval
from throughline.stats.difference import paired_spread

_WIDE: Final = 1.959963984540054
"""Half of a 95 % interval, in standard errors."""


@dataclass(frozen=True, slots=True)
class NonInferiority:
    """What came of it.

    Attributes:
        metric: what was measured.
        reference: its value for the reference.
        candidate: its value for the candidate.
        difference: the candidate's less the reference's.
        low: lower edge of the difference's 95 % interval.
        high: its upper edge.
        margin: how much may be lost, in the metric's own unit.
        decision: "passed", "failed" or "undecided".
        more_samples: about how many more would decide it if the difference held; 0 where it is decided,
            None where no number would show that it holds.
        resamples: how many draws this rests on.
    """

    metric: str
    reference: float
    candidate: float
    difference: float
    low: float
    high: float
    margin: float
    decision: str
    more_samples: int | None
    resamples: int

    def __str__(self) -> str:
        told = (
            f"{self.metric} {self.reference:.4f} -> {self.candidate:.4f}, "
            f"{self.difference:+.4f} ({self.low:+.4f} to {self.high:+.4f}), at most {-self.margin:+.4f} allowed: "
            f"{self.decision}"
        )
        return told + (f"; {self.more_samples:,} more pictures would decide it" if self.more_samples else "")


def compare_tallies(
    reference: Tally,
    candidate: Tally,
    margin: str,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    groups: Sequence[str] | None = None,
) -> NonInferiority:
    """Whether the candidate is no worse than the reference by more than the margin.

    Args:
        reference: the model to be held to.
        candidate: the model in question, on the same pictures in the same order.
        margin: "1%" of the reference's value, or "0.01" of the metric absolutely.
        resamples: how many draws of the pictures.
        seed: which draws.
        groups: what each picture belongs to, where they are drawn so: frames of one video hang together.
    """
    if reference.metric != candidate.metric or len(reference) != len(candidate):
        raise InputError(
            f"{reference.metric} on {len(reference)} pictures cannot be compared with {candidate.metric} "
            f"on {len(candidate)}",
            "measure both models by the same metric on the same pictures",
        )
    before, after = reference.value(), candidate.value()
    if math.isnan(before) or math.isnan(after):
        raise InputError(
            f"there is nothing to measure {reference.metric} on: the truth of these {len(reference)} pictures is empty",
            "give pictures with objects on them",
        )
    allowed = allowed_by(margin, before)
    drawn = paired_spread(
        reference.values, candidate.values, len(reference), resamples=resamples, seed=seed, groups=groups
    )
    interval = percentile_interval(after - before, drawn, len(reference))
    decision = "passed" if interval.low >= -allowed else "failed" if interval.high < -allowed else "undecided"
    return NonInferiority(
        metric=reference.metric,
        reference=before,
        candidate=after,
        difference=interval.value,
        low=interval.low,
        high=interval.high,
        margin=allowed,
        decision=decision,
        more_samples=_more(decision, interval, allowed),
        resamples=resamples,
    )


def allowed_by(margin: str, reference: float, most: float = 1.0) -> float:
    """A margin in the metric's own unit.

    Args:
        margin: "1%" of the size of the reference's value, or "0.01" of the metric absolutely.
        reference: the reference's value.
        most: what an absolute margin may be at most.
    """
    text = margin.strip()
    try:
        share = float(text.removesuffix("%"))
    except ValueError:
        share = math.nan
    allowed = share / 100 * abs(reference) if text.endswith("%") else share
    if not 0 <= share < math.inf or (share > 100 if text.endswith("%") else share > most):
        raise InputError(
            f"the margin is {margin!r}",
            "give a share such as 1%, or a difference such as 0.01" + (" from 0 to 1" if most == 1 else ""),
        )
    return allowed


def _more(decision: str, difference: Interval, allowed: float) -> int | None:
    """An interval narrows with the root of the number of samples: how many until its lower edge is within?"""
    if decision == "passed":
        return 0
    if decision == "failed" or (room := difference.value + allowed) <= 0:
        return None
    below = max(difference.value - difference.low, _WIDE * difference.error)
    needed = difference.samples * (below / room) ** 2
    return max(1, math.ceil(needed) - difference.samples) if needed < 1e12 else None
