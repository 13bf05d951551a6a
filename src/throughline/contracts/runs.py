"""What became of every frame of a run, and how each of its sources ended: nothing is lost without a reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from throughline.contracts.errors import ThroughlineError


class Ending(StrEnum):
    """How a source ended. Each has an exit code of its own, so that short output never looks like success."""

    COMPLETE = "complete"
    GAPS = "gaps"
    FAILED = "failed"

    @property
    def exit_code(self) -> int:
        """What the command line returns for it."""
        return {Ending.COMPLETE: 0, Ending.GAPS: 3, Ending.FAILED: 4}[self]


@dataclass(frozen=True, slots=True)
class Gap:
    """A stretch of a source that could not be had, in seconds of its own time."""

    start: float
    end: float
    reason: str


@dataclass(frozen=True, slots=True)
class Accounting:
    """Frames that came in, frames the model saw, and frames dropped by reason; they must add up.

    Attributes:
        decoded: frames that the source gave.
        inferred: frames that the model saw.
        dropped: frames that were given and not seen, by reason ("stride", "late").
        declared: how many the container promised; None where it does not say.
        gaps: stretches that the source could not give.
    """

    decoded: int
    inferred: int
    dropped: Mapping[str, int] = field(default_factory=dict)
    declared: int | None = None
    gaps: tuple[Gap, ...] = ()

    def __post_init__(self) -> None:
        if self.decoded != self.inferred + sum(self.dropped.values()):
            raise ThroughlineError(
                f"frames do not add up: {self.decoded} decoded, {self.inferred} inferred, dropped {dict(self.dropped)}",
                "this is a fault of ours; please report it",
            )

    def __str__(self) -> str:
        total = f"{self.decoded} decoded = {self.inferred} inferred + {sum(self.dropped.values())} dropped"
        reasons = ", ".join(f"{count} {reason}" for reason, count in self.dropped.items())
        return f"{total} ({reasons})" if reasons else total
