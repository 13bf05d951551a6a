"""What is written down of a training run, whoever keeps it: a log of runs is any object that can do this much."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Protocol, runtime_checkable

from throughline.contracts.errors import InputError

RUN_KEY: Final = "throughline.run"
"""The tag that tells runs apart whatever log keeps them: one that was told of a run twice knows it by this."""


class NotTaken(InputError):
    """A log will never take what it was told, however often: a run it does not know, a file that is gone."""


class RunState(StrEnum):
    """How far a run is."""

    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    KILLED = "killed"


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One run as its log tells it.

    Attributes:
        id: how the log calls it.
        name: how people call it.
        started: when, in seconds since 1970.
        seconds: how long it took, or has taken so far.
        parameters: what it was told: the recipe, flat.
        metrics: the last value of each.
        tags: where it comes from: code, data, machine, seeds.
        parent: the id of the run that it belongs to, as a trial belongs to its search.
    """

    id: str
    name: str
    state: RunState
    started: float
    seconds: float
    parameters: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    parent: str | None = None


@runtime_checkable
class RunLog(Protocol):
    """Keeps runs. Every method may fail: who calls sees to it that no training stops for that.

    What a log will never take raises ``NotTaken``, and is passed over; whatever else it raises, it is told again later.

    What is told may have happened before: ``at`` says when, in seconds since 1970, and now where it is None.
    """

    def start(
        self,
        name: str,
        parameters: Mapping[str, Any],
        tags: Mapping[str, str],
        parent: str | None = None,
        *,
        at: float | None = None,
    ) -> str:
        """A new run; its id. One whose tag ``RUN_KEY`` a run has already is that run, told again."""

    def metrics(self, run: str, values: Mapping[str, float], step: int, *, at: float | None = None) -> None:
        """Values of one step; told twice, they are there once."""

    def artifact(self, run: str, path: Path) -> None:
        """A file that came of it."""

    def finish(self, run: str, state: RunState, *, at: float | None = None) -> None:
        """The end of a run; ``RUNNING`` takes up one that was killed."""

    def runs(self) -> Iterator[RunRecord]:
        """Every run, the newest first."""
