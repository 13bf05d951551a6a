"""How much worse a model does its task than its reference, on the same labelled pictures, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, final

from throughline.contracts.detections import Detections
from throughline.contracts.errors import InputError
from throughline.contracts.samples import DataSet
from throughline.contracts.verdicts import Check
from throughline.evaluation.answers import in_common, in_labels
from throughline.evaluation.non_inferiority import NonInferiority, compare_tallies
from throughline.evaluation.resampling import videos_of
from throughline.evaluation.tally import tally

USUAL_MARGIN: Final = "1%"
_NOTHING: Final = 1e-3
"""What a model is worth that has learned nothing yet: a share of it is no loss that anybody would see."""
_TASKS: Final = ("detect", "segment", "classify")


@final
@dataclass(frozen=True, slots=True)
class Degradation:
    """The metric of both, their difference with its interval, and what follows.

    Attributes:
        decided: what was found.
        asked: somebody set the margin; an undecided comparison fails only then.
    """

    decided: NonInferiority
    asked: bool

    @property
    def checks(self) -> list[Check]:
        """One check; none where nobody asked and too few pictures decide."""
        found = self.decided
        if found.decision == "undecided" and not self.asked:
            return []
        interval = f"[{found.low:+.4f}, {found.high:+.4f}]"
        seen = f"{found.reference:.4f} to {found.candidate:.4f}: {found.difference:+.4f} {interval}"
        if found.decision == "undecided":
            seen += ", undecided" + (f": {found.more_samples} more pictures would tell" if found.more_samples else "")
        limit = f"the whole interval above -{found.margin:.4f}"
        return [Check(f"task metric {found.metric}", seen, limit, found.decision == "passed")]


def degradation(
    data: DataSet, reference: Sequence[Detections], candidate: Sequence[Detections], margin: str | None
) -> tuple[Degradation | None, list[str]]:
    """Compare what two models found in the same pictures with what is there; and what there is to say of it."""
    truths = [sample.truth for sample in data]
    if data.task not in _TASKS or any(truth is None for truth in truths):
        said = ["the task metric was not measured: nobody has labelled these pictures"] if margin else []
        return None, said
    truth = [in_labels(one, data.labels) for one in truths if one is not None]
    notes: list[str] = []
    try:
        tallies = [tally(data.task, _counted(found, data, notes), truth) for found in (reference, candidate)]
    except InputError as error:
        return None, [*notes, f"the task metric was not measured: {error.problem}"]
    groups, drawn = videos_of(data.samples)
    notes += drawn
    decided = compare_tallies(tallies[0], tallies[1], margin or USUAL_MARGIN, groups=groups)
    if not decided.reference > (_NOTHING if margin is None else 0):
        notes.append(
            f"the reference itself has {decided.metric} {decided.reference:.4f} on these data: nothing can be lost, "
            "and nothing is proven by that; give data of the task that the model was made for"
        )
        return None, notes
    made = Degradation(decided, margin is not None)
    if decided.decision == "undecided" and margin is None:
        notes.append(
            f"{decided.metric} is {decided.reference:.4f} and {decided.candidate:.4f}; "
            f"{len(truth)} pictures are too few to say that less than {USUAL_MARGIN} is lost"
        )
    return made, notes


def _counted(found: Sequence[Detections], data: DataSet, notes: list[str]) -> list[Detections]:
    """Answers in the data's class numbers: by name, or as they are where the model names no classes."""
    named = next((one.labels for one in found if one.labels), ())
    said: list[str] = []
    made = in_common(found, named, data.labels, said)
    notes += [line for line in said if line not in notes]
    return made
