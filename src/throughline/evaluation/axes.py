"""Whether the axes that a model leaves open are open, and whether the rows of a batch keep to themselves.

A batch that mixes its pictures is right in every test of one picture; an axis that is called open and fixed inside
breaks on the first camera of another shape. Neither shows unless somebody tries it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, final

import numpy as np

from throughline.contracts.artifacts import Array, Predictor, TensorSpec
from throughline.contracts.errors import ThroughlineError
from throughline.contracts.verdicts import Check
from throughline.evaluation.interfaces import Feed, Model
from throughline.evaluation.numeric import NumericDifference, Tolerance
from throughline.models.feeding import carrier

Kept = tuple[Feed, Feed, Mapping[str, Array], Mapping[str, Array]]
_ROWS: Final = 4
_EXACT, _ROUNDED = 2e-3, 3e-2
"""How far a row in a batch may be from the row alone: in full precision, and where values are rounded on the way."""


def axes_checks(
    reference: Model,
    candidate: Model,
    kept: Sequence[Kept],
    tolerance: Tolerance,
    outputs: Sequence[NumericDifference],
) -> tuple[list[Check], list[str]]:
    """Try what the candidate leaves open, the reference beside it.

    Args:
        reference: the model that is right, opened.
        candidate: the model to be proven, opened.
        kept: up to four inputs of both, with what they answered to each alone.
        tolerance: what may differ between the two.
        outputs: the outputs; one whose rows are ranked is not compared.
    """
    ranked = frozenset(number for number, output in enumerate(outputs) if output.ranked)
    trial = _Trial(reference, candidate, kept, tolerance, ranked)
    of_batch, notes = trial.of_a_batch()
    return of_batch + trial.of_a_larger_input(), notes


def as_batch(kept: Sequence[Kept], reference: Predictor) -> tuple[Feed, ...]:
    """Four inputs as one batch, where the reference takes one."""
    lead = carrier(reference.inputs)
    if not kept or lead is None or not isinstance(lead.shape[0], str):
        return ()
    return (_stacked(_four(kept, 0, reference.inputs), reference.inputs),)


@final
@dataclass(frozen=True, slots=True)
class _Trial:
    reference: Model
    candidate: Model
    kept: Sequence[Kept]
    tolerance: Tolerance
    ranked: frozenset[int]

    def of_a_batch(self) -> tuple[list[Check], list[str]]:
        """Whether the rows of a batch are what they are alone."""
        reference, candidate, kept = self.reference, self.candidate, self.kept
        lead = carrier(candidate[1].inputs)
        if lead is None or not isinstance(lead.shape[0], str):
            return [], ["the candidate's batch is fixed: rows of a batch were not compared"] if lead is not None else []
        name = f"batch of {_ROWS}: rows as alone"
        limit = _EXACT if np.isfinite(self.tolerance.rtol) else _ROUNDED
        mine, its = (_four(kept, which, model[1].inputs) for which, model in enumerate((reference, candidate)))
        try:
            alone = [candidate[1].predict(one) for one in its]
            together = candidate[1].predict(_stacked(its, candidate[1].inputs))
        except ThroughlineError as error:
            return [Check(name, short(error), "runs", False)], []
        mixed = _mixed(alone, together, self.ranked)
        if mixed <= limit:
            return [Check(name, f"{mixed:.2g} apart", limit, True)], []
        own = carrier(reference[1].inputs)
        if own is not None and isinstance(own.shape[0], str):
            try:
                same = [reference[1].predict(one) for one in mine]
                of_reference = _mixed(same, reference[1].predict(_stacked(mine, reference[1].inputs)), self.ranked)
            except ThroughlineError:
                of_reference = 0.0
            if of_reference > limit and mixed < 2 * of_reference:
                note = f"the rows of a batch depend on each other in the reference, too ({of_reference:.2g} apart)"
                return [Check(name, f"{mixed:.2g} apart", f"{of_reference:.2g}, as the reference", True)], [note]
        told = "the output does not follow the batch" if np.isinf(mixed) else f"{mixed:.2g} apart"
        return [Check(name, told, limit, False)], []

    def of_a_larger_input(self) -> list[Check]:
        """Whether axes that are called open take another size."""
        reference, candidate = self.reference, self.candidate
        specs = candidate[1].inputs
        if not any(isinstance(side, str) for spec in specs for side in spec.shape[1:]):
            return []
        larger = [grown(self.kept, which, reference, candidate)[0] for which in (0, 1)]
        shapes = ", ".join("x".join(map(str, array.shape)) for array in larger[1].values())
        name = f"open axes at {shapes}"
        try:
            other = candidate[1].predict(larger[1])
        except ThroughlineError as error:
            return [Check(name, short(error), "runs", False)]
        if not all(np.isfinite(array).all() for array in other.values() if array.dtype.kind == "f"):
            return [Check(name, "answers that are not finite", "runs", False)]
        try:
            one = reference[1].predict(larger[0])
        except ThroughlineError:
            return [Check(name, "runs; the reference's own axes are fixed", "runs", True)]
        worst = 1.0
        pairs = enumerate(zip(one.values(), other.values(), strict=True))
        for number, (mine, its) in pairs:
            if number in self.ranked:
                continue
            difference = NumericDifference("", self.tolerance)
            difference.add(mine, its)
            done = difference.done()
            if done.problem:
                return [Check(name, done.problem, "the reference's answers", False)]
            worst = min(worst, done.cosine)
        return [Check(name, f"cosine {worst:.6f}", self.tolerance.cosine, worst >= self.tolerance.cosine)]


def _four(kept: Sequence[Kept], which: int, specs: Sequence[TensorSpec]) -> list[Feed]:
    """Four different inputs of one shape: those kept, and those turned around where there are too few."""
    first = kept[0][which]
    shapes = {name: array.shape[1:] for name, array in first.items()}
    lead = carrier(specs)
    single = [
        feed[which] for feed in kept
        if all(array.shape[1:] == shapes[name] for name, array in feed[which].items())
        and (lead is None or len(feed[which][lead.name]) == 1)
    ]  # fmt: skip
    single = single or [{name: array[:1] for name, array in first.items()}]
    made = list(single)
    while len(made) < _ROWS:
        turn = len(made)
        made.append(
            {
                name: np.roll(array, 1 + 7 * turn, axis=-1) if array.ndim > 1 else array
                for name, array in single[turn % len(single)].items()
            }
        )
    return made[:_ROWS]


def _stacked(feeds: Sequence[Feed], specs: Sequence[TensorSpec]) -> Feed:
    lead = carrier(specs)
    assert lead is not None
    return {
        spec.name: np.concatenate([feed[spec.name] for feed in feeds])
        if spec.shape and isinstance(spec.shape[0], str)
        else feeds[0][spec.name]
        for spec in specs
    }


def _mixed(alone: Sequence[Mapping[str, Array]], together: Mapping[str, Array], ranked: frozenset[int]) -> float:
    """The most that a row in the batch is from what it is alone, as a share of its size."""
    worst = 0.0
    for number, (name, whole) in enumerate(together.items()):
        if number in ranked:
            continue
        single = [answers[name] for answers in alone]
        if any(not one.ndim or len(one) != 1 for one in single):
            if len(whole) == sum(len(one) for one in single if one.ndim):
                single, rows = [np.concatenate(single)], [whole]  # rows of all pictures follow each other
            else:
                return float("inf")
        elif len(whole) != len(single) or whole.shape[1:] != single[0].shape[1:]:
            return float("inf")
        else:
            rows = [whole[at : at + 1] for at in range(len(single))]
        for one, row in zip(single, rows, strict=True):
            if one.dtype.kind != "f":
                worst = max(worst, float(np.mean(one != row)) if one.size else 0.0)
                continue
            size = float(np.sqrt(np.mean(np.square(one, dtype=np.float64)))) if one.size else 0.0
            off = float(np.sqrt(np.mean(np.square(row.astype(np.float64) - one)))) if one.size else 0.0
            worst = max(worst, off / max(size, 1e-12))
    return worst


def grown(kept: Sequence[Kept], which: int, reference: Model, candidate: Model) -> tuple[Feed, ...]:
    """One input of the reference (0) or the candidate (1), with a larger side where the latter leaves it open."""
    step = candidate[0].passport.stride or reference[0].passport.stride or 32
    specs = (reference, candidate)[which][1].inputs
    if len(specs) != len(candidate[1].inputs):
        return ()
    return (_grown(kept[0][which], specs, candidate[1].inputs, step),)


def short(error: ThroughlineError) -> str:
    """What an error says, without where in the runtime's own source it was noticed."""
    said = error.problem
    if "Status Message:" in said:
        where, _, why = said.partition("Status Message:")
        node = where.partition("Name:")[2].strip().strip("'")
        why = why.strip().rpartition(" was false. ")[2]
        return f"does not run at '{node}': {why[:160]}"
    return said[:200]


def _grown(feed: Feed, mine: Sequence[TensorSpec], open_in: Sequence[TensorSpec], step: int) -> Feed:
    """The same inputs, larger by a step along each axis that the candidate leaves open, one row."""
    made = {}
    for spec, asked in zip(mine, open_in, strict=True):
        array = feed[spec.name]
        for axis, side in enumerate(asked.shape):
            if axis and isinstance(side, str) and side != asked.shape[0]:
                further = step if array.ndim == 4 else max(1, array.shape[axis] // 2)
                widths = [(0, further if at == axis else 0) for at in range(array.ndim)]
                array = np.pad(array, widths, mode="reflect" if array.shape[axis] > further else "wrap")
        made[spec.name] = np.ascontiguousarray(array)
    return made
