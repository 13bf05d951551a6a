"""Where two models differ: class by class and slice by slice, with what asking so many questions costs.

A model that is better on the whole may be worse for the one class, or the one camera, that matters.
Of twenty such parts one looks different by chance alone, so every p is corrected by Holm over all of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from throughline.evaluation.scored import ScoreTally
from throughline.evaluation.tally import AccuracyTally, BoxTally, RegionTally, Tally
from throughline.stats.bootstrap import RESAMPLES, Counts, Floats
from throughline.stats.difference import FEWEST, Difference, all_to_one_side, judge, paired_spread
from throughline.stats.discordance import Discordance, difference_interval, mcnemar
from throughline.stats.paired import mean_interval, t_test
from throughline.stats.several import holm

CLASS: Final = "class"
CLEAR: Final = 0.05


@dataclass(frozen=True, slots=True)
class Split:
    """How samples are split: by what, and the name of each one's part."""

    trait: str
    values: Sequence[str]


@dataclass(frozen=True, slots=True)
class Part:
    """One class or slice.

    Attributes:
        trait: what it is a part by: "class", or a trait of the samples.
        name: what it is called.
        samples: how many samples it has.
        reference: the reference's figure.
        candidate: the candidate's.
        difference: how far they lie apart; the p is this part's alone.
        corrected: the p once it is known how many parts were asked.
    """

    trait: str
    name: str
    samples: int
    reference: float
    candidate: float
    difference: Difference
    corrected: float = math.nan

    @property
    def clear(self) -> bool:
        """Whether this difference is more than chance would make anywhere among so many parts."""
        return self.corrected < CLEAR


def compare_parts(
    reference: Tally,
    candidate: Tally,
    splits: Sequence[Split],
    groups: Sequence[str] | None = None,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> tuple[Part, ...]:
    """Every class of objects, and every part of every split, one after the other.

    Args:
        reference: the model to be held to.
        candidate: the model in question.
        splits: how the samples are split.
        groups: what each sample belongs to, where they hang together.
        resamples: how many draws.
        seed: which draws.
    """
    belongs = np.arange(len(reference)) if groups is None else np.unique(np.array(groups), return_inverse=True)[1]
    parts = _classes(reference, candidate, belongs, groups, resamples, seed)
    for split in splits:
        values = np.array(split.values)
        for name in sorted(set(split.values)):
            rows = np.flatnonzero(values == name)
            own = None if groups is None else [groups[row] for row in rows.tolist()]
            parts.append(_slice(split.trait, name, reference.part(rows), candidate.part(rows), own, resamples, seed))
    corrected = holm(np.array([part.difference.p for part in parts]))
    return tuple(replace(part, corrected=float(p)) for part, p in zip(parts, corrected, strict=True))


def difference_between(
    reference: Tally,
    candidate: Tally,
    groups: Sequence[str] | None = None,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> tuple[Difference, Floats]:
    """How far two models lie apart, by the interval that suits the metric; and the difference on every draw.

    Single right and wrong answers have Tango's interval and McNemar's mid-p, single scores Student's; all
    that is no plain mean, and whatever hangs together in groups, has the paired bootstrap's.
    """
    units = len(reference) if groups is None else len(set(groups))
    value = candidate.value() - reference.value()
    drawn = paired_spread(
        reference.values, candidate.values, len(reference), groups=groups, resamples=resamples, seed=seed
    )[0]
    found = judge(value, drawn, units)
    if groups is None and isinstance(reference, AccuracyTally) and isinstance(candidate, AccuracyTally):
        counted = discordance(reference, candidate)
        if units >= FEWEST:
            low, high = difference_interval(counted)
            found = Difference(value, low, high, counted.error, mcnemar(counted).p, units)
    if groups is None and isinstance(reference, ScoreTally) and isinstance(candidate, ScoreTally) and units > 1:
        apart = candidate.scores - reference.scores
        if float(np.ptp(apart)) == 0.0:
            found = Difference(value, value, value, 0.0, all_to_one_side(units) if value else 1.0, units)
        else:
            low, high = mean_interval(apart)
            found = Difference(value, low, high, float(apart.std(ddof=1)) / math.sqrt(units), t_test(apart).p, units)
    return found, drawn


def discordance(reference: AccuracyTally, candidate: AccuracyTally) -> Discordance:
    """How two models' right and wrong answers fall together."""
    lost, won = reference.right & ~candidate.right, candidate.right & ~reference.right
    return Discordance(int(lost.sum()), int(won.sum()), len(reference))


def _slice(
    trait: str,
    name: str,
    reference: Tally,
    candidate: Tally,
    groups: Sequence[str] | None,
    resamples: int,
    seed: int,
) -> Part:
    found, _ = difference_between(reference, candidate, groups, resamples=resamples, seed=seed)
    return Part(trait, name, len(reference), reference.value(), candidate.value(), found)


def _classes(
    reference: Tally,
    candidate: Tally,
    belongs: npt.NDArray[np.int64],
    groups: Sequence[str] | None,
    resamples: int,
    seed: int,
) -> list[Part]:
    sides = [_by_class(reference), _by_class(candidate)]
    if sides[0] is None or sides[1] is None or not sides[0].names:
        return []
    names = [name for name in sides[0].names if name in sides[1].names]
    rows = [[side.names.index(name) for name in names] for side in sides if side is not None]
    first, second = sides[0].values, sides[1].values
    once = np.ones((len(reference), 1), np.int64)
    before, after = first(once)[rows[0], 0], second(once)[rows[1], 0]
    drawn = paired_spread(
        lambda counts: first(counts)[rows[0]],
        lambda counts: second(counts)[rows[1]],
        len(reference),
        groups=groups,
        resamples=resamples,
        seed=seed,
    )
    made = []
    for at, name in enumerate(names):
        shown = sides[0].shown[sides[0].names.index(name)]
        units = len(np.unique(belongs[shown]))
        found = judge(float(after[at] - before[at]), drawn[at], units)
        made.append(Part(CLASS, name, len(shown), float(before[at]), float(after[at]), found))
    return made


@dataclass(frozen=True, slots=True, eq=False)
class _ByClass:
    """A metric of every class: their names, the metric as classes x draws, and the samples that show each."""

    names: list[str]
    values: Callable[[Counts], Floats]
    shown: list[npt.NDArray[np.int64]]


def _by_class(tally: Tally) -> _ByClass | None:
    if isinstance(tally, BoxTally):
        matches, precision = tally.matches, tally.precision
        shown = [np.unique(matches.object_frame[matches.object_kind == kind]) for kind in precision.classes]
        names = [matches.names[kind] for kind in precision.classes]
        return _ByClass(names, lambda counts: precision.of(counts).mean(axis=1), shown)
    if isinstance(tally, RegionTally):
        regions = tally.regions

        def overlap(counts: Counts) -> Floats:
            common, whole = regions.common.T @ counts, regions.whole.T @ counts
            share: Floats = np.divide(common, whole, out=np.full(whole.shape, np.nan), where=whole > 0)
            return share

        shown = [np.flatnonzero(column) for column in regions.whole.T]
        return _ByClass(list(regions.names.values()), overlap, shown)
    return None
