"""Which part of a source is asked for: from one second to another, and at most so many frames."""

from __future__ import annotations

import math
from dataclasses import dataclass

from throughline.contracts.errors import InputError


@dataclass(frozen=True, slots=True)
class Window:
    """The frames from ``start`` on, before ``end``, ``max_frames`` numbers from the first of them.

    Frames keep the number and the time that they have in the whole source.
    """

    start: float = 0.0
    end: float = math.inf
    max_frames: int | None = None

    @classmethod
    def of(cls, start: float | None, end: float | None, max_frames: int | None) -> Window:
        """From options as the user gives them, None for what was not given."""
        begins, ends = start or 0.0, math.inf if end is None else end
        if not 0 <= begins < ends or math.isinf(begins):
            raise InputError(f"start {begins:g} s and end {ends:g} s leave nothing", "start is from 0, and before end")
        if max_frames is not None and max_frames < 1:
            raise InputError(f"max_frames is {max_frames}", "give 1 or more")
        return cls(begins, ends, max_frames)

    @property
    def bounded(self) -> bool:
        """Whether the source's own end may lie beyond the window."""
        return self.max_frames is not None or not math.isinf(self.end)
