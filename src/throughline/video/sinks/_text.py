"""What the text results share: a frame becomes lines, a part is their bytes, and the result is the parts in a row.

Numbers are printed as the shortest text that reads back as the very same ``float32``
(coordinates, confidence) or ``float64`` (seconds), so nothing is rounded away and
nothing is padded.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from throughline.contracts.detections import Detections
from throughline.contracts.errors import InputError
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


def exact(numbers: npt.NDArray[Any]) -> Any:
    """The same numbers as nested lists of Python floats that print as the shortest text that reads back the same."""
    if not np.isfinite(numbers).all():
        raise InputError(
            "a box, a confidence or a keypoint is not a finite number", "the model gave it; look at its outputs"
        )
    return numbers.astype(str).astype(float).tolist()
