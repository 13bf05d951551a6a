"""How far a run is, on stderr: a bar on a terminal, a plain line now and then where nobody is watching."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO, final

from throughline.contracts.detections import Detections
from throughline.evaluation.mistakes import CONF
from throughline.terminal import printable

_BAR = 24
_EVERY = {True: 0.1, False: 10.0}


@final
class Progress:
    """Told of frames as they are done, it says how many, how fast, and how long the rest will take."""

    def __init__(self, name: str, total: int | None, *, stream: TextIO | None = None) -> None:
        self._name, self._total = printable(name), total
        self._stream = sys.stderr if stream is None else stream
        self._moves = self._stream.isatty()
        self._first: tuple[float, int] | None = None
        self._said = time.monotonic()

    def show(self, frames: int, detections: int) -> None:
        """So many frames are done, with so many objects found."""
        now = time.monotonic()
        if self._first is None:
            self._first = now, frames
        elif now - self._said >= _EVERY[self._moves]:
            self._said = now
            self._write(self.line(frames, detections, now))

    def line(self, frames: int, detections: int, now: float) -> str:
        """What is said of this moment."""
        began, before = self._first or (now, frames)
        rate = (frames - before) / (now - began) if now > began else 0.0
        parts = [f"{frames:,}" + (f" of {self._total:,} frames" if self._total else " frames")]
        if rate:
            parts.append(f"{rate:.1f} frames per second")
            if self._total and self._total > frames:
                parts.append(f"{_clock((self._total - frames) / rate)} left")
        parts.append(f"{detections:,} objects")
        told = ", ".join(parts)
        if not self._moves or not self._total:
            return f"{self._name}: {told}"
        done = min(_BAR, _BAR * frames // self._total)
        return f"{self._name} [{'#' * done}{'.' * (_BAR - done)}] {told}"

    def close(self) -> None:
        """Leave the terminal's line to whoever writes next."""
        if self._moves:
            self._stream.write("\r\x1b[K")
            self._stream.flush()

    def _write(self, line: str) -> None:
        self._stream.write(f"\r\x1b[K{line}" if self._moves else f"{line}\n")
        self._stream.flush()


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


@contextmanager
def telling(doing: str, total: int) -> Iterator[Callable[[Detections], None]]:
    """Told of each answer as it comes, it says on stderr how far it is."""
    progress, done = Progress(doing, total), [0, 0]

    def told(said: Detections) -> None:
        done[:] = done[0] + 1, done[1] + int((said.confidence >= CONF).sum())
        progress.show(*done)

    try:
        yield told
    finally:
        progress.close()
