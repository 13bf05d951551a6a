"""How far a run of training is: a bar on a terminal, a line now and then where nobody is watching."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from typing import final

_BAR, _OFTEN, _SELDOM = 24, 0.1, 5.0


@final
class Showing:
    """Told of steps and epochs as they are done, it says how far the run is and how long the rest will take."""

    def __init__(self, epochs: int, steps: int, done: int, say: Callable[[str], None]) -> None:
        """``steps`` in all, of which ``done`` were made before."""
        self._epochs, self._steps, self._first, self._say = epochs, steps, done, say
        self._began, self._shown, self._said = time.monotonic(), 0.0, 0.0
        self._moves = sys.stderr.isatty()

    def step(self, done: int, loss: Callable[[], float]) -> None:
        """So many steps are done."""
        now = time.monotonic()
        if not self._moves or now - self._shown < _OFTEN:
            return
        self._shown = now
        full = min(_BAR, _BAR * done // self._steps)
        told = f"{done} of {self._steps} steps, loss {loss():.3f}{self._left(done, now)}"
        sys.stderr.write(f"\r\x1b[K[{'#' * full}{'.' * (_BAR - full)}] {told}")
        sys.stderr.flush()

    def epoch(self, number: int, done: int, values: Mapping[str, float]) -> None:
        """An epoch is done, with these measures."""
        now = time.monotonic()
        if now - self._said < _SELDOM and number < self._epochs:
            return
        self._said = now
        self.clear()
        told = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
        self._say(f"epoch {number} of {self._epochs}: {told}{self._left(done, now)}")

    def clear(self) -> None:
        """Leave the terminal's line to whoever writes next."""
        if self._moves and self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

    def _left(self, done: int, now: float) -> str:
        made = done - self._first
        if made <= 0 or done >= self._steps:
            return ""
        return f", {(self._steps - done) * (now - self._began) / made:.0f} s left"
