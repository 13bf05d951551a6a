"""Observations watched as they come: windows are judged on a thread of its own, and alerts told of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

from throughline.contracts.observations import Observation
from throughline.monitoring.alerts import Alert
from throughline.monitoring.lane import PATIENCE, Lane
from throughline.monitoring.profile import Profile
from throughline.monitoring.windows import Watch, Window
from throughline.plugins import Plugin


@final
class DriftObserver:
    """A watch that many threads feed.

    Attributes:
        last: what came of the last window; None before the first.
    """

    def __init__(self, profile: Profile, alerts: Sequence[Alert], room: int, **options: Any) -> None:
        self._watch = Watch(profile, **options)
        self._alerts = tuple(alerts)
        self.last: Window | None = None
        self._lane: Lane[Observation] = Lane(self._judge, name="drift", room=room, at_once=64)

    def take(self, one: Observation) -> bool:
        """Leave it to the thread."""
        return self._lane.put(one)

    @property
    def dropped(self) -> int:
        """How many found no room."""
        return self._lane.dropped

    def settled(self, patience: float = PATIENCE) -> bool:
        """Wait until everything so far was judged."""
        return self._lane.settled(patience)

    def close(self) -> None:
        """Judge what is left, and end the alerts too."""
        self._lane.close()
        for alert in self._alerts:
            alert.close()

    def _judge(self, several: Sequence[Observation]) -> None:
        for one in several:
            if (window := self._watch.take(one)) is not None:
                self.last = window
                for alert in self._alerts:
                    alert.tell(window, one.model)


def make(profile: Profile, *, alerts: Sequence[Alert] = (), room: int = 4096, **options: Any) -> DriftObserver:
    """Hold what comes to a profile; options are those of ``Watch``."""
    return DriftObserver(profile, alerts, room, **options)


PLUGIN = Plugin(make=make, summary="drift, judged as it comes", needs=("scipy",), extra="monitor")
