"""What became of every frame of a run: nothing is lost without a reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from throughline.contracts.errors import ThroughlineError


@dataclass(frozen=True, slots=True)
class Accounting:
    """Frames that came in, frames the model saw, and frames dropped by reason; they must add up."""

    decoded: int
    inferred: int
    dropped: Mapping[str, int] = field(default_factory=dict)

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
