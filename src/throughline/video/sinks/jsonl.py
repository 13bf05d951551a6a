"""One line of JSON a frame: the complete record, which everything else can be made from again."""

from __future__ import annotations

import json
from pathlib import Path

from throughline.contracts.detections import Detections
from throughline.contracts.frames import Frame
from throughline.contracts.streams import SourceInfo
from throughline.plugins import Plugin
from throughline.video.sinks._text import TextSink, exact

NAME = "detections.jsonl"


def make(folder: Path, *, info: SourceInfo, labels: tuple[str, ...] = ()) -> TextSink:
    """A line for every frame, also for one in which nothing was found."""
    return TextSink(folder / NAME, _line)


def _line(frame: Frame, found: Detections) -> str:
    identities = [None] * len(found) if found.tracker_id is None else found.tracker_id.tolist()
    columns = zip(exact(found.xyxy), exact(found.confidence), found.class_id.tolist(), identities, strict=True)
    detections = [
        {
            "xyxy": xyxy,
            "confidence": confidence,
            "class_id": class_id,
            "class_name": found.name_of(class_id),
            "tracker_id": identity,
        }
        for xyxy, confidence, class_id, identity in columns
    ]
    record = {"index": frame.index, "seconds": frame.seconds, "source": frame.source, "detections": detections}
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n"


PLUGIN = Plugin(make=make, summary="one line of JSON a frame")
