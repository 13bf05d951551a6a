"""Drift in the program's own log: a warning when an alarm goes on, a word when it goes off."""

from __future__ import annotations

import logging
from typing import final

from throughline.contracts.observations import Spoke
from throughline.monitoring.alerts import Alert
from throughline.monitoring.windows import Window
from throughline.plugins import Plugin

_log = logging.getLogger("throughline")


@final
class LogAlert:
    """One line for each alarm that goes on or off."""

    def tell(self, window: Window, model: Spoke) -> None:
        """Say what changed."""
        whose = f" of {model.name}" if model.name else ""
        for name in window.raised:
            one = next((one for one in window.judged if one.feature == name and one.drifted), None)
            said = f" ({one.detector} {one.score.statistic:.3g} over {one.score.threshold:.3g})" if one else ""
            _log.warning("drift%s: %s is not what it was%s, window %d", whose, name, said, window.number)
        for name in window.cleared:
            _log.info("drift%s: %s is as usual again, window %d", whose, name, window.number)

    def close(self) -> None:
        """Nothing is left."""


def make() -> Alert:
    """To the logger "throughline"."""
    return LogAlert()


PLUGIN = Plugin(make=make, summary="lines in the log")
