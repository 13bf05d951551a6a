"""Monitoring beside whoever answers requests: what was seen is handed over and forgotten, and never waited for.

Everything that takes time happens in threads of its own: measuring the picture, judging windows, writing files,
telling somebody. Where these do not keep up, observations are dropped and counted; an answer is never late for them.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

import numpy as np
import numpy.typing as npt

from throughline.contracts.detections import Detections
from throughline.contracts.observations import Spoke
from throughline.monitoring.alerts import ALERTS, Alert
from throughline.monitoring.lane import Lane
from throughline.monitoring.observers import OBSERVERS
from throughline.monitoring.observing import observe_frame
from throughline.monitoring.profile import read_profile
from throughline.monitoring.truth import LateTruth

_ROOM: Final = 128


@final
@dataclass(frozen=True, slots=True, eq=False)
class _Taken:
    request: str
    seconds: float
    model: Spoke
    picture: npt.NDArray[np.uint8]
    found: Detections


@final
class Live:
    """What watches a server's answers.

    Attributes:
        truth: answers that wait for what is true of them, and what they were worth.
    """

    def __init__(self, reference: Path | None, folder: Path | None, webhook: str | None) -> None:
        """``reference``: a profile, to judge drift by. ``folder``: where to keep observations, as Parquet."""
        self.truth = LateTruth()
        self._gauges: Any = ALERTS.make("prometheus")
        alerts: list[Alert] = [ALERTS.make("log"), self._gauges]
        if webhook is not None:
            alerts.append(ALERTS.make("webhook", url=webhook))
        self._observers: list[Any] = []
        if reference is not None:
            self._observers.append(OBSERVERS.make("drift", read_profile(reference), alerts=alerts))
        if folder is not None:
            self._observers.append(OBSERVERS.make("parquet", folder))
        self._lane: Lane[_Taken] = Lane(self._observe, name="live", room=_ROOM, at_once=16)

    def see(self, request: str, model: Spoke, picture: npt.NDArray[np.uint8], found: Detections) -> None:
        """Take one answer; at once, and whether or not there is room."""
        self._lane.put(_Taken(request, time.time(), model, picture, found))

    def told(self, request: str, truth: str) -> bool:
        """What is true of an answer; False where nobody remembers it."""
        return self.truth.told(request, truth)

    def figures(self) -> Mapping[tuple[str, str], float]:
        """What is known, by model and by name: alarms, how far features are off, accuracy, and what was dropped."""
        found: dict[tuple[str, str], float] = {}
        for (name, labels), value in self._gauges.values().items():
            said = dict(labels)
            short = name.removeprefix("throughline_drift_").replace("_", " ")
            about = " ".join(part for part in (said.get("feature", ""), said.get("detector", ""), short) if part)
            found[said.get("model", ""), about] = value
        if points := self.truth.points():
            found["", "accuracy"] = points[-1].value
            found["", "accuracy of"] = float(points[-1].count)
        dropped = self._lane.dropped + sum(one.dropped for one in self._observers)
        if dropped:
            found["", "observations dropped"] = float(dropped)
        return found

    def close(self) -> None:
        """Judge and keep what is left."""
        self._lane.close()
        for one in self._observers:
            one.close()

    def _observe(self, several: Sequence[_Taken]) -> None:
        for one in several:
            seen = observe_frame(
                one.picture, one.found, request=one.request, seconds=one.seconds, model=one.model, source=one.model.name
            )
            for observer in self._observers:
                observer.take(seen)
            if one.request:
                self.truth.take(seen)
