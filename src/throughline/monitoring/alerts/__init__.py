"""Who is told of drift: one file each.

A member's ``make(**options)`` gives an ``Alert``. It is told of every window and decides what of that is worth
saying; it never makes the caller wait.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol

from throughline.contracts.observations import Spoke
from throughline.monitoring.windows import Window
from throughline.plugins import Family

ALERTS: Final = Family("alert", __name__)


class Alert(Protocol):
    """Takes every window, and passes on what somebody should know."""

    def tell(self, window: Window, model: Spoke) -> None:
        """Take one window of what a model saw."""

    def close(self) -> None:
        """Pass on what is left, and end."""


def news_of(window: Window, model: Spoke) -> Mapping[str, Any] | None:
    """What changed with this window, as JSON values; None where no alarm went on or off."""
    if not window.raised and not window.cleared:
        return None
    told = {one.feature: one for one in reversed(window.judged) if one.drifted}  # of several, the first
    return {
        "event": "drift",
        "state": "on" if window.alarms else "off",
        "raised": list(window.raised),
        "cleared": list(window.cleared),
        "alarms": list(window.alarms),
        "window": window.number,
        "start": window.start,
        "end": window.end,
        "model": {"name": model.name, "version": model.version, "sha256": model.sha256},
        "features": {
            name: {"detector": one.detector, "statistic": one.score.statistic, "threshold": one.score.threshold}
            for name, one in told.items()
            if one.score.statistic == one.score.statistic
        },
    }
