"""Calls a function of the user's with each frame's results, in order; it writes nothing itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from throughline.contracts.detections import Detections
from throughline.contracts.frames import Frame
from throughline.contracts.streams import SourceInfo
from throughline.plugins import Plugin


class CallbackSink:
    """Hands every frame on. A resumed run calls again for the frames after the last commit."""

    def __init__(self, call: Callable[[Frame, Detections], object]) -> None:
        self._call = call

    def write(self, frame: Frame, found: Detections) -> None:
        """Call the function; what it raises ends the run."""
        self._call(frame, found)

    def commit(self, part: int) -> None:
        """Nothing is held back."""

    def finish(self, parts: int) -> tuple[Path, ...]:
        """Nothing was written."""
        return ()

    def abort(self) -> None:
        """A call cannot be taken back."""


def make(
    folder: Path,
    *,
    info: SourceInfo,
    labels: tuple[str, ...] = (),
    models: Sequence[str] = (),
    call: Callable[[Frame, Detections], object],
) -> CallbackSink:
    """A sink that calls ``call(frame, found)``."""
    return CallbackSink(call)


PLUGIN = Plugin(make=make, summary="calls a function of yours")
