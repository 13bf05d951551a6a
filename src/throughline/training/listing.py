"""What a list of runs goes by: which of them somebody means, what they share, and what tells them apart."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from throughline.contracts.errors import InputError, nearest
from throughline.contracts.records import RUN_KEY, RunRecord, RunState
from throughline.training.circumstances import PROCESS, goes_on

SHORTEST: Final = 8
_COLUMNS: Final = 4
_MACHINE: Final = "system/"
_OWN_TAGS: Final = (RUN_KEY, PROCESS, "mlflow.")


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that runs do not share: its value in each, "" where one has none."""

    name: str
    values: tuple[str, ...]


def as_it_is(record: RunRecord) -> RunRecord:
    """A run that has no end and whose process is gone was killed, whatever its log believes."""
    if record.state is RunState.RUNNING and goes_on(record.tags.get(PROCESS, "")) is False:
        return replace(record, state=RunState.KILLED, seconds=float("nan"))
    return record


def one_of(which: str, every: Sequence[RunRecord], log: str) -> RunRecord:
    """The run of an id, of a name that one alone has, or of the beginning of an id."""
    for fits in (
        [run for run in every if which in (run.id, run.tags.get(RUN_KEY))],
        [run for run in every if run.name == which],
        [run for run in every if len(which) >= 3 and run.id.startswith(which)],
    ):
        if len(fits) == 1:
            return fits[0]
        if fits:
            some = ", ".join(f"{run.id[:SHORTEST]} ({when(run.started)})" for run in fits[:5])
            raise InputError(f"{len(fits)} runs are called '{which}'", f"say which by the beginning of its id: {some}")
    names = {run.name for run in every} | {run.id[:SHORTEST] for run in every}
    raise InputError(
        f"{log}: there is no run '{which}'", nearest(which, names) if names else "throughline train RECIPE"
    )


def differing(several: Sequence[Mapping[str, str]]) -> tuple[Difference, ...]:
    """What is not the same in all of them."""
    names = dict.fromkeys(name for one in several for name in one)
    found = [Difference(name, tuple(one.get(name, "") for one in several)) for name in names]
    return tuple(one for one in found if len(set(one.values)) > 1)


def measured(metric: Sequence[str], several: Sequence[RunRecord]) -> list[str]:
    """The metrics that were asked for, each of which at least one run has."""
    every = {name for run in several for name in run.metrics}
    for name in metric:
        if name not in every:
            raise InputError(f"none of these runs has a metric '{name}'", nearest(name, every))
    return list(metric)


def shared(several: Sequence[RunRecord], metric: list[str] | None) -> tuple[str, ...]:
    """The metrics that were asked for, or some that most runs have: what came out first, what was set last."""
    if metric:
        return tuple(measured(metric, several))
    counts = Counter(name for run in several for name in of_the_model(run))
    most = sorted(counts, key=lambda name: (-counts[name], not name.startswith("final/"), name == "lr", name))
    return tuple(most[:_COLUMNS])


def of_the_model(run: RunRecord) -> list[str]:
    """The metrics that say nothing of the machine."""
    return [name for name in run.metrics if not name.startswith(_MACHINE)]


def origin_of(tags: Mapping[str, str]) -> list[tuple[str, str]]:
    """The tags that say something to people."""
    return sorted((name, value) for name, value in tags.items() if not name.startswith(_OWN_TAGS))


def differs_by(run: RunRecord) -> dict[str, str]:
    """Where a run comes from, without what its parameters say and the command that said them."""
    return {name: value for name, value in origin_of(run.tags) if name != "command" and name not in run.parameters}


def when(seconds: float) -> str:
    """A moment as people here write it."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))
