"""The MOTChallenge's result format, which every scorer of trackers reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from throughline.contracts.detections import Detections
from throughline.contracts.frames import Frame
from throughline.contracts.streams import SourceInfo
from throughline.plugins import Plugin
from throughline.video.sinks._text import TextSink, exact


def make(folder: Path, *, info: SourceInfo, labels: tuple[str, ...] = ()) -> TextSink:
    """A line for every detection: frame, identity, left, top, width, height, confidence, -1, -1, -1."""
    return TextSink(folder / "mot.txt", _lines)


def _lines(frame: Frame, found: Detections) -> str:
    identities = [-1] * len(found) if found.tracker_id is None else found.tracker_id.tolist()
    # as the challenge does, frames and pixels count from 1
    boxes = np.hstack([found.xyxy[:, :2] + 1, found.xyxy[:, 2:] - found.xyxy[:, :2]])
    return "".join(
        f"{frame.index + 1},{identity},{','.join(map(str, box))},{confidence},-1,-1,-1\n"
        for identity, box, confidence in zip(identities, exact(boxes), exact(found.confidence), strict=True)
    )


PLUGIN = Plugin(make=make, summary="MOTChallenge text, one line a detection")
