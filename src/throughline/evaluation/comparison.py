"""Whether one model is better than another, on the same samples, in one sentence that says no more than is known.

"Better" means that the whole 95 % interval of the difference lies above zero; "not worse", that it lies
above what may be lost. Everything else is "worse" or "cannot tell", and then how many samples more
would tell. A higher figure alone is no reason to replace a model that works.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from throughline.contracts.errors import InputError
from throughline.contracts.verdicts import Check, Verdict
from throughline.evaluation.comparison_parts import (
    CLASS,
    CLEAR,
    Part,
    Split,
    compare_parts,
    difference_between,
    discordance,
)
from throughline.evaluation.non_inferiority import allowed_by
from throughline.evaluation.scored import ScoreTally
from throughline.evaluation.tally import AccuracyTally, Tally
from throughline.stats.bootstrap import RESAMPLES, Floats
from throughline.stats.difference import FEWEST, Difference, judge
from throughline.stats.discordance import mcnemar, odds_ratio
from throughline.stats.paired import Effect, Test, standardised, t_test, wilcoxon
from throughline.stats.power import detectable, power_of_t, samples_needed

BETTER: Final = "better"
NOT_WORSE: Final = "not worse"
WORSE: Final = "worse"
CANNOT_TELL: Final = "cannot tell"
_UNSEEN: Final = 3.85
"""So many divided by a share of samples: as many equal answers leave no larger share unseen, with 95 %."""
_ONE_SIDED: Final = 6
"""So many differences to one side are more than chance: it sends fewer there more often than once in twenty times."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of two models.

    Attributes:
        margin: how much may be lost: "1%" of the reference's figure, or a number in the metric's own unit.
        less_is_better: the metric is an error.
        bounded: no sample can move the metric by more than one; so it is for shares and average precision.
        sample: what one sample is called: "picture", "row".
        group: what several of them belong to, where they hang together: "video".
        resamples: how many draws.
        seed: which draws.
    """

    margin: str = "1%"
    less_is_better: bool = False
    bounded: bool = True
    sample: str = "picture"
    group: str = "video"
    resamples: int = RESAMPLES
    seed: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """What was found; differences are the candidate's figure less the reference's.

    Attributes:
        metric: what was measured.
        reference: its value for the reference.
        candidate: its value for the candidate.
        difference: how far they lie apart, with the interval and the p.
        less_is_better: the metric is an error.
        margin: how much may be lost, in the metric's own unit.
        decision: "better", "not worse" (by more than the margin), "worse" or "cannot tell".
        samples: how many samples there are.
        unit: what was drawn: the name of a sample, or of a group of them.
        more: about how many more units would tell; 0 where it is told, None where no number would.
        tests: every test that was made of the whole.
        effects: how large the difference is, in other words.
        power: how often so many units show a difference as large as the margin.
        detectable: the smallest difference that they show four times of five.
        parts: the same by class and by slice, with Holm's correction over all of them.
        drawn: the difference on every draw.
        notes: what is to be known when this is read.
    """

    metric: str
    reference: float
    candidate: float
    difference: Difference
    less_is_better: bool
    margin: float
    decision: str
    samples: int
    unit: str
    more: int | None
    tests: tuple[Test, ...]
    effects: tuple[Effect, ...]
    power: float
    detectable: float
    parts: tuple[Part, ...]
    drawn: Floats = field(repr=False)
    notes: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether the candidate may take the reference's place."""
        return self.decision in (BETTER, NOT_WORSE)

    def verdict(self, reference: str, candidate: str) -> Verdict:
        """The same as a verdict on two files, by their sha256."""
        lowest = min(self.gain) if self.gain else "not known"
        check = Check(f"{self.metric}: least gain of the candidate, with 95 %", lowest, -self.margin, self.passed)
        return Verdict((reference, candidate), (check,))

    @property
    def gain(self) -> tuple[float, float] | None:
        """From where to where the candidate is better, more being better; None where that is not known."""
        return _gain(self.difference, self.less_is_better)

    def figures(self) -> dict[str, float]:
        """The numbers that decide."""
        found = self.difference
        return {
            "reference": self.reference, "candidate": self.candidate, "difference": found.value, "low": found.low,
            "high": found.high, "p": found.p, "margin": self.margin, "samples": self.samples, "units": found.units,
        }  # fmt: skip


def compare_models(
    reference: Tally,
    candidate: Tally,
    question: Question | None = None,
    *,
    groups: Sequence[str] | None = None,
    splits: Sequence[Split] = (),
) -> Comparison:
    """Compare two models' answers to the same samples, in the same order.

    Args:
        reference: the model to be held to.
        candidate: the model in question.
        question: what is asked.
        groups: what each sample belongs to, where they hang together as frames of a video do.
        splits: how the samples are split, for the same comparison of every part.
    """
    question = question or Question()
    _alike(reference, candidate)
    before, after = reference.value(), candidate.value()
    if math.isnan(before) or math.isnan(after):
        raise InputError(
            f"there is nothing to measure {reference.metric} on: the truth of these {len(reference)} samples is empty",
            "give samples with something on them",
        )
    margin = allowed_by(question.margin, before, most=1.0 if question.bounded else math.inf)
    several = None if groups is None or len(set(groups)) == len(groups) else groups
    unit = question.sample if several is None else question.group
    draw = {"resamples": question.resamples, "seed": question.seed}
    found, drawn = difference_between(reference, candidate, several, **draw)
    notes: list[str] = []
    by_tango = several is None and isinstance(reference, AccuracyTally)
    if not by_tango and (found.error == 0 or (found.value == 0 and not found.error > 0)):
        found = _all_alike(found, question, notes, unit)
    parts = compare_parts(reference, candidate, splits, several, **draw)
    if not isinstance(reference, AccuracyTally | ScoreTally):
        notes += _rare(reference.metric, parts, unit)
    decision = decide(found, margin, question.less_is_better)
    return Comparison(
        metric=reference.metric,
        reference=before,
        candidate=after,
        difference=found,
        less_is_better=question.less_is_better,
        margin=margin,
        decision=decision,
        samples=len(reference),
        unit=unit,
        more=_more(found, margin, question.less_is_better, decision),
        tests=_tests(reference, candidate, drawn, found, several is not None),
        effects=_effects(reference, candidate, found),
        power=power_of_t(margin, found.deviation, found.units) if found.error > 0 else math.nan,
        detectable=detectable(found.error, found.units - 1) if found.error > 0 else math.nan,
        parts=parts,
        drawn=drawn,
        notes=tuple(notes),
    )


def decide(found: Difference, margin: float, less_is_better: bool) -> str:
    """What an interval says: better, not worse by more than the margin, worse, or that it cannot tell."""
    gain = _gain(found, less_is_better)
    if gain is None:
        return CANNOT_TELL
    low, high = gain
    return BETTER if low > 0 else NOT_WORSE if low >= -margin else WORSE if high < 0 else CANNOT_TELL


def said_of(found: Comparison, reference: str, candidate: str) -> str:
    """What came of it in one sentence, and what to do where it is not told."""
    apart, unit = found.difference, f"{found.unit}s"
    figures = (
        f"{found.metric} {number(found.candidate)} against {number(found.reference)}, "
        f"{number(abs(apart.value))} {'less' if apart.value < 0 else 'more'}"
        if apart.value
        else f"{found.metric} {number(found.reference)} of both"
    )
    many = f"on {apart.units:,} {unit if apart.units != 1 else found.unit}"
    known = not math.isnan(apart.low)
    interval = f" (95 % from {signed(apart.low)} to {signed(apart.high)}, {many})" if known else f", {many}"
    if found.decision == BETTER:
        return f"{candidate} is better than {reference}: {figures}{interval}."
    if found.decision == NOT_WORSE:
        return f"{candidate} is not worse than {reference} by more than {number(found.margin)}: {figures}{interval}."
    if found.decision == WORSE:
        return f"{candidate} is worse than {reference}: {figures}{interval}."
    return f"Cannot tell whether {candidate} is better than {reference}: {figures}{interval}; {_advice(found, unit)}."


def number(value: float) -> str:
    """A figure as it is read: four digits that count."""
    return f"{value:.4f}" if 0.001 <= abs(value) < 100 or value == 0 else f"{value:.3g}"


def signed(value: float) -> str:
    """A difference as it is read."""
    return ("+" if value > 0 else "") + number(value)


def _advice(found: Comparison, unit: str) -> str:
    if found.more is None and found.unit == "run":
        return "train more runs, and measure them on more data"
    if found.more is None:
        return f"no number of {unit} would tell two so much alike apart within a margin of {number(found.margin)}"
    doing = {"run": "train", "row": "give", "sample": "measure"}.get(found.unit, "label")
    if found.unit == "video":
        doing = "label pictures of"
    return f"{doing} about {found.more:,} more {unit if found.more != 1 else found.unit}"


def _alike(reference: Tally, candidate: Tally) -> None:
    if reference.metric != candidate.metric or len(reference) != len(candidate):
        raise InputError(
            f"{reference.metric} on {len(reference)} samples cannot be compared with {candidate.metric} "
            f"on {len(candidate)}",
            "measure both models by the same metric on the same samples",
        )


def _tests(reference: Tally, candidate: Tally, drawn: Floats, found: Difference, grouped: bool) -> tuple[Test, ...]:
    """Every test that these answers allow, the one that decides first."""
    by_draws = judge(found.value, drawn, found.units)
    shift = by_draws.value / by_draws.error if by_draws.error > 0 else 0.0
    bootstrap = Test("paired bootstrap", shift, by_draws.p, found.units)
    if not grouped and isinstance(reference, AccuracyTally) and isinstance(candidate, AccuracyTally):
        return mcnemar(discordance(reference, candidate)), bootstrap
    if not grouped and isinstance(reference, ScoreTally) and isinstance(candidate, ScoreTally) and len(reference) > 1:
        apart = candidate.scores - reference.scores
        return t_test(apart), wilcoxon(apart), bootstrap
    return (bootstrap,)


def _effects(reference: Tally, candidate: Tally, found: Difference) -> tuple[Effect, ...]:
    effects: list[Effect] = []
    if isinstance(reference, AccuracyTally) and isinstance(candidate, AccuracyTally):
        effects += [Effect("risk difference", found.value, found.low, found.high)]
        effects += [odds_ratio(discordance(reference, candidate))]
    if found.error > 0:
        effects.append(standardised(found.value, found.error, found.units))
    return tuple(effects)


def _rare(metric: str, parts: Sequence[Part], unit: str) -> list[str]:
    """Classes that hardly any unit shows weigh as much as others, and nobody knows what they are worth elsewhere."""
    classes = [part for part in parts if part.trait == CLASS]
    rare = [part.name for part in classes if part.difference.units < FEWEST]
    if not rare:
        return []
    return [
        f"{len(rare)} of {len(classes)} classes are on fewer than {FEWEST} {unit}s each ({', '.join(rare[:4])}"
        f"{', ...' if len(rare) > 4 else ''}); {metric} counts them as much as the others, so on other {unit}s the "
        "difference may lie outside its interval"
    ]


def _all_alike(found: Difference, question: Question, notes: list[str], unit: str) -> Difference:
    """Draws of samples that all differ by the same know no other difference; one in many unseen ones may have one."""
    apart = f"{number(abs(found.value))} apart" if found.value else "equally right"
    notes.append(f"the two are {apart} on every {unit}, so the interval rests on how many there are alone")
    unseen, value = 1 - 0.025 ** (1 / found.units), found.value
    if question.bounded:
        low, high = value - unseen * (1 + value), value + unseen * (1 - value)
    elif value and found.p < CLEAR:
        low = high = value
    else:
        low = high = math.nan
    return Difference(value, low, high, math.nan, found.p, found.units)


def _gain(found: Difference, less_is_better: bool) -> tuple[float, float] | None:
    if math.isnan(found.low):
        return None
    return (-found.high, -found.low) if less_is_better else (found.low, found.high)


def _more(found: Difference, margin: float, less_is_better: bool, decision: str) -> int | None:
    """About how many more units would tell, four times of five, if the difference is what it seems to be."""
    if decision != CANNOT_TELL:
        return 0
    if found.units < FEWEST:
        return FEWEST - found.units
    gain = -found.value if less_is_better else found.value
    if math.isnan(found.low):
        return max(1, _ONE_SIDED - found.units) if gain else None
    if not found.deviation > 0:
        share = max((gain + margin) / (1 + gain) if gain > -1 else 0.0, -gain / (1 - gain) if gain < 1 else 0.0)
        return max(1, math.ceil(_UNSEEN / share) - found.units) if share > 0 else None
    reached = [abs(gain), gain + margin]  # better or worse; within the margin
    counts = [samples_needed(room, found.deviation) for room in reached if room > 0]
    known = [count for count in counts if count is not None]
    return max(1, min(known) - found.units) if known else None
