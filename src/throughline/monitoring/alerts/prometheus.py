"""Drift as gauges: the last window's figures as plain numbers, which whoever has a metrics page puts on it."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import final

from throughline.contracts.observations import Spoke
from throughline.monitoring.windows import Window
from throughline.plugins import Plugin

Labels = tuple[tuple[str, str], ...]


@final
class Gauges:
    """What the last window said."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: dict[tuple[str, Labels], float] = {}
        self._raised = 0

    def tell(self, window: Window, model: Spoke) -> None:
        """Let every gauge show this window."""
        values: dict[tuple[str, Labels], float] = {}
        whose = (("model", model.name), ("version", model.version))
        for one in window.judged:
            labels = (*whose, ("feature", one.feature), ("detector", one.detector))
            if one.score.statistic == one.score.statistic:
                values["throughline_drift_statistic", labels] = one.score.statistic
                values["throughline_drift_threshold", labels] = one.score.threshold
            alarm = values.get(("throughline_drift_alarm", (*whose, ("feature", one.feature))), 0.0)
            on = float(one.feature in window.alarms)
            values["throughline_drift_alarm", (*whose, ("feature", one.feature))] = max(alarm, on)
        values["throughline_drift_window", whose] = float(window.number)
        with self._lock:
            self._raised += len(window.raised)
            values["throughline_drift_alarms_raised", whose] = float(self._raised)
            self._values = values

    def values(self) -> Mapping[tuple[str, Labels], float]:
        """Every gauge by name and labels."""
        with self._lock:
            return dict(self._values)

    def close(self) -> None:
        """Nothing is left."""


def make() -> Gauges:
    """Gauges that ``values()`` reads."""
    return Gauges()


PLUGIN = Plugin(make=make, summary="gauges for a metrics page")
