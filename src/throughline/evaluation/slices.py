"""A metric for parts of the data, each with its interval: a good mean hides whom the model fails.

Pictures are split by any trait that the data set knows of them (camera, weather, a protected
attribute) or by their light; objects by class and size. Of each split the worst gap is named,
with an interval, since between small parts a gap is often nothing but chance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from throughline.contracts.errors import InputError, MissingExtra, nearest
from throughline.contracts.samples import Sample
from throughline.evaluation.classes import Choices
from throughline.evaluation.tally import AccuracyTally, Tally
from throughline.stats.bootstrap import (
    RESAMPLES,
    Floats,
    Interval,
    corrected_interval,
    percentile_interval,
    share_interval,
    spread,
)

LIGHT: Final = "light"
_DARK, _BRIGHT = 70.0, 140.0
FEWEST: Final = 5
"""Of fewer pictures than this there is no interval, and no gap is made of them."""
_MANY_NUMBERS: Final = 8
"""A trait of more different numbers than this is split into three stretches of equally many pictures."""


@dataclass(frozen=True, slots=True)
class Slice:
    """One part: what it is called and its metric."""

    name: str
    figure: Interval


@dataclass(frozen=True, slots=True)
class Slicing:
    """The data split by one trait.

    Attributes:
        trait: by what.
        metric: what was measured.
        slices: the parts, in order.
        best: the part with the highest figure, of those with pictures enough; "" where there are no two.
        worst: the part with the lowest.
        gap: the one less the other, with its interval; above 0 as a whole means that chance alone
            would seldom make it.
    """

    trait: str
    metric: str
    slices: tuple[Slice, ...]
    best: str
    worst: str
    gap: Interval

    @property
    def clear(self) -> bool:
        """Whether the gap is more than chance would make of parts that are alike."""
        return self.gap.low > 0


@dataclass(frozen=True, slots=True)
class Fairness:
    """How differently a classifier treats groups, by fairlearn; 0 is alike.

    Attributes:
        trait: what tells the groups apart.
        kind: the class for which it is worst.
        demographic_parity: the largest difference in how often that class is said.
        equalized_odds: the largest difference in how often it is said rightly, or wrongly.
        selection: how often it is said in each group.
        accuracy: the share of right answers in each group.
    """

    trait: str
    kind: str
    demographic_parity: float
    equalized_odds: float
    selection: Mapping[str, float]
    accuracy: Mapping[str, float]


def light_of(image: npt.NDArray[np.uint8]) -> str:
    """How bright a picture is on the whole: "dark" below 70 of 255, "bright" above 140, "medium" between."""
    brightness = float(image[::4, ::4].reshape(-1, 3).mean(axis=0) @ np.array([0.299, 0.587, 0.114]))
    return "dark" if brightness < _DARK else "bright" if brightness > _BRIGHT else "medium"


def values_of(samples: Sequence[Sample], trait: str) -> list[str]:
    """Each picture's part by a trait; "not known" where nobody has said."""
    values = [sample.traits.get(trait) for sample in samples]
    known = [value for value in values if value is not None]
    if not known:
        raise InputError(
            f"--slices {trait}: no picture of this data has such a trait",
            nearest(trait, {"class", "size", LIGHT, *(name for sample in samples for name in sample.traits)}),
        )
    return named_parts(values)


def named_parts(values: Sequence[str | float | None]) -> list[str]:
    """Each value as the name of a part; many different numbers as three stretches of as many each."""
    values = [None if value != value else value for value in values]
    known = [value for value in values if value is not None]
    numbers = [float(value) for value in known if isinstance(value, int | float)]
    if len(numbers) == len(known) and len(set(numbers)) > _MANY_NUMBERS:
        low, high = np.quantile(numbers, (1 / 3, 2 / 3))
        names = (f"up to {low:g}", f"{low:g} to {high:g}", f"over {high:g}")
        return ["not known" if v is None else names[int(float(v) > low) + int(float(v) > high)] for v in values]
    return [
        "not known" if value is None else f"{value:g}" if isinstance(value, float) else str(value) for value in values
    ]


def slice_pictures(counted: Tally, trait: str, values: Sequence[str], *, resamples: int = RESAMPLES) -> Slicing:
    """The metric of the pictures of each value.

    Args:
        counted: the model's answers on all pictures.
        trait: what the values are of.
        values: each picture's.
        resamples: how many draws the intervals rest on.
    """
    drawn, figures = {}, {}
    for number, value in enumerate(sorted(set(values))):
        part = counted.part(np.flatnonzero(np.array(values) == value))
        drawn[value] = spread(part.values, len(part), resamples=resamples, seed=number)[0]
        interval = share_interval if isinstance(part, AccuracyTally) else corrected_interval
        figures[value] = interval(part.value(), drawn[value], len(part), fewest=FEWEST)
    return gap_between(trait, counted.metric, figures, drawn)


def gap_between(trait: str, metric: str, figures: Mapping[str, Interval], drawn: Mapping[str, Floats]) -> Slicing:
    """The parts side by side, from each one's figure and what its draws gave."""
    slices = tuple(Slice(name, figure) for name, figure in figures.items())
    known = [one for one in slices if not np.isnan(one.figure.low)]
    if len(known) < 2:
        nothing = float("nan")
        return Slicing(trait, metric, slices, "", "", Interval(nothing, nothing, nothing, nothing, 0))
    best, worst = (choose(known, key=lambda one: one.figure.value) for choose in (max, min))
    samples = min(best.figure.samples, worst.figure.samples)
    gap = percentile_interval(best.figure.value - worst.figure.value, drawn[best.name] - drawn[worst.name], samples)
    return Slicing(trait, metric, slices, best.name, worst.name, gap)


def fairness(choices: Choices, trait: str, values: Sequence[str]) -> Fairness:
    """How differently groups are treated: each class against all others, and of the classes the worst.

    Args:
        choices: what was said and what is true.
        trait: what tells the groups apart.
        values: each picture's group.
    """
    try:
        from fairlearn.metrics import (
            MetricFrame,
            demographic_parity_difference,
            equalized_odds_difference,
            selection_rate,
        )
    except ModuleNotFoundError:
        raise MissingExtra("fairlearn", "the difference between groups", "fairness") from None
    groups = np.array(values)
    found: list[tuple[float, float, int, Any]] = []
    for kind in choices.names:
        true, said = (choices.true == kind).astype(int), (choices.said == kind).astype(int)
        about = {"y_true": true, "y_pred": said, "sensitive_features": groups}
        shown = [true[groups == group] for group in set(values)]
        comparable = all(0 < one.sum() < len(one) for one in shown)  # a group without the class has no rate of it
        odds = float(equalized_odds_difference(**about)) if comparable else 0.0
        found.append((odds, float(demographic_parity_difference(**about)), kind, about))
    odds, parity, kind, about = max(found, key=lambda one: (one[0], one[1]))
    frame = MetricFrame(metrics=selection_rate, **about)
    right = choices.right
    accuracy = {group: float(right[groups == group].mean()) for group in sorted(set(values))}
    selection = {str(group): float(rate) for group, rate in frame.by_group.items()}
    return Fairness(trait, choices.names[kind], parity, odds, selection, accuracy)
