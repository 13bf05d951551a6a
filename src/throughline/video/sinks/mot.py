"""The MOTChallenge's result format, which every scorer of trackers reads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from throughline.contracts.detections import Detections
from throughline.contracts.frames import Frame
from throughline.contracts.streams import SourceInfo
from throughline.plugins import Plugin
from throughline.video.sinks._text import TextSink, exact


def make(folder: Path, *, info: SourceInfo, labels: tuple[str, ...] = (), models: Sequence[str] = ()) -> TextSink:
    """A line for every object: frame, identity, left, top, width, height, confidence, -1, -1, -1."""
    return TextSink(folder / "mot.txt", _lines)


def _lines(frame: Frame, found: Detections) -> str:
    found = found[~found.of_frame]
    # as the challenge does, frames and pixels count from 1
    boxes = np.hstack([found.xyxy[:, :2] + 1, found.xyxy[:, 2:] - found.xyxy[:, :2]])
    return "".join(
        f"{frame.index + 1},{-1 if identity is None else identity},{','.join(map(str, box))},{confidence},-1,-1,-1\n"
        for identity, box, confidence in zip(found.identities, exact(boxes), exact(found.confidence), strict=True)
    )


PLUGIN = Plugin(make=make, summary="MOTChallenge text, one line an object")
