"""What the text results share: a frame becomes lines, a part is their bytes, and the result is the parts in a row."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from throughline.contracts.detections import Detections
from throughline.contracts.frames import Frame
from throughline.video.sinks._parts import Parts, concatenate


class TextSink:
    """Writes ``lines(frame, found)`` for each frame, under one ``head``."""

    def __init__(self, target: Path, lines: Callable[[Frame, Detections], str], head: str = "") -> None:
        self._parts = Parts(target)
        self._lines = lines
        self._head = head
        self._taken: list[bytes] = []

    def write(self, frame: Frame, found: Detections) -> None:
        """Take one frame's lines."""
        # a file name that is not UTF-8 has lone surrogates; \udcff is also how JSON writes one
        self._taken.append(self._lines(frame, found).encode("utf-8", "backslashreplace"))

    def commit(self, part: int) -> None:
        """Put the lines so far in place."""
        self._parts.put(part, b"".join(self._taken))
        self._taken.clear()

    def finish(self, parts: int) -> tuple[Path, ...]:
        """Join the parts."""
        return self._parts.join(parts, partial(concatenate, head=self._head.encode()))

    def abort(self) -> None:
        """Forget the lines since the last commit."""
        self._taken.clear()
        self._parts.drop()
