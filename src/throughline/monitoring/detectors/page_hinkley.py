"""Page and Hinkley: small steps off the mean, added up until they can be no accident.

What is nearer than half a standard deviation is allowed for, and everything beyond it is added up, upwards and
downwards. How much may be added up follows from how often it is to be wrong: Siegmund's formula for the time
to a false alarm, with the variance that means of correlated values really have.
"""

from __future__ import annotations

import math
from typing import Final, final

from throughline.monitoring.detectors import ALPHA, Detector, Reference, Score, Values
from throughline.monitoring.detectors._stream import Scale
from throughline.plugins import Plugin
from throughline.stats.paired import crossing

_ALLOWED: Final = 0.5
_SURE: Final = 4.0
"""The reference's own mean is off by at most so many of its standard errors."""


@final
class PageHinkley:
    """Two sums, kept from window to window, set back when they were too large."""

    def __init__(self, reference: Reference, alpha: float) -> None:
        self._scale = Scale.of(reference)
        memory, rows = self._scale.memory, max(1, self._scale.rows)
        self._allowed = max(_ALLOWED, _SURE * math.sqrt(memory / rows))
        self._limit = _limit(self._allowed, memory, 2 * reference.window / alpha)
        self._up = self._down = 0.0

    def score(self, window: Values) -> Score:
        """Whether a sum grew too large in this window."""
        steps = self._scale.standard(window).tolist()
        if not steps or not self._scale.rows:
            return Score(math.nan, self._limit, math.nan, False)
        most = 0.0
        for step in steps:
            self._up = max(0.0, self._up + step - self._allowed)
            self._down = max(0.0, self._down - step - self._allowed)
            most = max(most, self._up, self._down)
        if drifted := most > self._limit:
            self._up = self._down = 0.0
        return Score(most, self._limit, math.nan, drifted)


def _limit(allowed: float, memory: float, run: float) -> float:
    """What the sum of one side exceeds once in ``run`` values on average."""
    drift = allowed / math.sqrt(memory)

    def missing(level: float) -> float:
        reach = min(700.0, 2 * drift * level)
        return run - (math.exp(reach) - reach - 1) / (2 * drift * drift)

    return math.sqrt(memory) * crossing(missing, 0.0, 350.0 / drift)


def make(reference: Reference, *, alpha: float = ALPHA) -> Detector:
    """A detector of numbers that come one by one."""
    return PageHinkley(reference, alpha)


PLUGIN = Plugin(
    make=make,
    summary="steps off the mean, added up (Page-Hinkley)",
    needs=("scipy",),
    extra="monitor",
    facts={"takes": ("numbers",), "stream": True},
)
