"""Whether the wait between two pictures means that some are missing, judged by the other waits of the same file."""

from __future__ import annotations

import statistics
from collections import deque
from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    import av
    from av.container import InputContainer

_ENOUGH_TO_JUDGE_BY = 8
_EXACT_CLOCK = "mov"
"""The container whose index holds every picture's length, so that a long wait is no loss."""

Stretch = tuple[float, float]


def step_of(stream: av.VideoStream) -> float:
    """How long a picture lasts, as the stream has it."""
    rate = stream.average_rate or stream.guessed_rate
    return 1 / float(rate) if rate else 0.04


@final
class Waits:
    """Told of every wait in order; says which are jumps, the first ones once there are others to judge them by."""

    def __init__(self, media: InputContainer, stream: av.VideoStream) -> None:
        self.exact = _EXACT_CLOCK in media.format.name.split(",")
        self._step = step_of(stream)
        self._steps: deque[float] = deque(maxlen=32)
        self._early: list[Stretch] = []

    @property
    def typical(self) -> float:
        """The wait to expect."""
        return statistics.median(self._steps) if self._steps else self._step

    def jumps(self, before: float, now: float, *, explained: bool = False) -> list[Stretch]:
        """The stretches that this wait shows to be missing; one that is explained is only remembered."""
        found: list[Stretch] = []
        if explained:
            pass
        elif len(self._steps) < _ENOUGH_TO_JUDGE_BY:
            self._early.append((before, now))
        elif self._is_jump(now - before):
            found.append((min(before + self.typical, now), now))
        self._steps.append(now - before)
        return self.held() + found if len(self._steps) == _ENOUGH_TO_JUDGE_BY else found

    def held(self) -> list[Stretch]:
        """Those of the first waits that are jumps, by all that is known now."""
        early, self._early = self._early, []
        if early and not self._steps:
            self._steps.append(self._step)
        return [stretch for stretch in early if self._is_jump(stretch[1] - stretch[0])]

    def _is_jump(self, wait: float) -> bool:
        if self.exact or not self._steps:
            return False
        typical = self.typical
        alike = sum(abs(one - typical) < 0.25 * typical for one in self._steps)
        return wait > (1.75 * typical if alike >= 0.75 * len(self._steps) else max(1.0, 10 * typical))
