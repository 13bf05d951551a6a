"""A few annotated frames, spread over the whole run, for the report and for a first look.

How long the run will be is not known while it runs, so each part keeps the one
frame that shows the most, and the end keeps an even spread of those.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np

from throughline.contracts.detections import Detections
from throughline.contracts.frames import Frame
from throughline.contracts.streams import SourceInfo
from throughline.plugins import Plugin
from throughline.video.sinks._parts import Parts
from throughline.video.sinks._pictures import Archive, jpeg, unpack

NAME = "samples"
_MOST, _WIDEST = 6, 960


class SamplesSink:
    """Writes up to six ``samples/<frame>.jpg``."""

    def __init__(self, target: Path) -> None:
        self._parts = Parts(target)
        self._best: tuple[Frame, Detections] | None = None

    def write(self, frame: Frame, found: Detections) -> None:
        """Keep the frame if it shows more than the ones before it in this part."""
        if self._best is None or _objects(found) > _objects(self._best[1]):
            self._best = frame, found

    def commit(self, part: int) -> None:
        """Draw the part's frame and put it in place."""
        with self._parts.writing(), closing(Archive(self._parts.fresh())) as archive:
            if self._best is not None:
                frame, found = self._best
                archive.add(f"{frame.index:08}.jpg", _picture(frame, found))
        self._parts.put(part)
        self._best = None

    def finish(self, parts: int) -> tuple[Path, ...]:
        """Keep an even spread of the parts' frames."""
        return self._parts.join(parts, _spread)

    def abort(self) -> None:
        """Forget the part's frame."""
        self._best = None
        self._parts.drop()


def _objects(found: Detections) -> int:
    return len(found) - int(np.count_nonzero(found.of_frame))


def _spread(paths: Sequence[Path], draft: Path) -> None:
    count = len(paths)
    kept = sorted({round(step * (count - 1) / (_MOST - 1)) for step in range(_MOST)}) if count else []
    unpack([paths[number] for number in kept], draft)


def _picture(frame: Frame, found: Detections) -> bytes:
    import cv2

    from throughline.vision.drawing import annotate

    drawn = annotate(frame.image, found)
    height, width = drawn.shape[:2]
    if (longest := max(height, width)) > _WIDEST:
        scale = _WIDEST / longest
        size = max(1, round(width * scale)), max(1, round(height * scale))
        drawn = cv2.resize(drawn, size, interpolation=cv2.INTER_AREA)
    return jpeg(drawn, quality=82)


def make(folder: Path, *, info: SourceInfo, labels: tuple[str, ...] = (), models: Sequence[str] = ()) -> SamplesSink:
    """A handful of annotated frames."""
    return SamplesSink(folder / NAME)


PLUGIN = Plugin(make=make, summary="a few annotated frames from the whole run", needs=("cv2",))
