"""How much worse a model does its task than its reference, on the same labelled pictures, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, final

from throughline.contracts.detections import Detections
from throughline.contracts.samples import DataSet
from throughline.contracts.verdicts import Check
from throughline.evaluation.answers import in_labels
from throughline.evaluation.non_inferiority import NonInferiority, compare_tallies
from throughline.evaluation.tally import tally

USUAL_MARGIN: Final = "1%"
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
    tallies = [
        tally(data.task, [in_labels(one, data.labels) for one in found], truth) for found in (reference, candidate)
    ]
    decided = compare_tallies(tallies[0], tallies[1], margin or USUAL_MARGIN)
    made = Degradation(decided, margin is not None)
    notes = []
    if decided.decision == "undecided" and margin is None:
        notes.append(
            f"{decided.metric} is {decided.reference:.4f} and {decided.candidate:.4f}; "
            f"{len(truth)} pictures are too few to say that less than {USUAL_MARGIN} is lost"
        )
    return made, notes
