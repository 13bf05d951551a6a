"""How long a batch of so many rows takes here, from what was seen: what a queue needs to promise anything.

A batch costs something to begin with and something for each row. Both are measured when a model is warmed up, and
one factor follows the machine as it gets slower and faster afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

_KEPT = 0.9
"""What the factor keeps of itself at each batch."""


@final
@dataclass(slots=True)
class Pace:
    """The seconds of a batch.

    Attributes:
        one: of one row.
        full: of the largest batch.
        rows: how many rows that has.
        factor: how much slower it goes now than when it was measured.
    """

    one: float
    full: float
    rows: int
    factor: float = 1.0

    def of(self, rows: int) -> float:
        """The seconds that a batch of so many rows is expected to take."""
        return self._measured(rows) * self.factor

    def saw(self, rows: int, seconds: float) -> None:
        """Take in a batch that was run."""
        measured = self._measured(rows)
        if measured > 0:
            self.factor = _KEPT * self.factor + (1 - _KEPT) * min(10.0, seconds / measured)

    def _measured(self, rows: int) -> float:
        if self.rows <= 1:
            return self.one * rows
        return self.one + (max(self.one, self.full) - self.one) * (rows - 1) / (self.rows - 1)
