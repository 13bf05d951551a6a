"""One line of JSON a frame: the complete record, which everything else can be made from again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from throughline.contracts.detections import Detections
from throughline.contracts.frames import Frame
from throughline.contracts.streams import SourceInfo
from throughline.plugins import Plugin
from throughline.video.sinks._text import TextSink, exact

NAME = "detections.jsonl"


def make(folder: Path, *, info: SourceInfo, labels: tuple[str, ...] = (), models: Sequence[str] = ()) -> TextSink:
    """A line for every frame, also for one in which nothing was found."""
    return TextSink(folder / NAME, _line)


def _line(frame: Frame, found: Detections) -> str:
    whole = found.of_frame
    objects = found[~whole] if "of_frame" in found.data else found
    record = {
        "index": frame.index,
        "seconds": frame.seconds,
        "source": frame.source,
        "detections": list(_objects(objects)),
    }
    if "of_frame" in found.data:
        record["classes"] = list(_named(found[whole]))
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n"


def _objects(found: Detections) -> Iterator[dict[str, Any]]:
    rows = zip(exact(found.xyxy), _named(found), found.identities, found.keypoints, strict=True)
    for row, (xyxy, named, identity, points) in enumerate(rows):
        told = {"xyxy": xyxy, **named, "tracker_id": identity}
        if points is not None:
            told["keypoints"] = exact(points)
        if found.masks is not None and (mask := found.masks.rle(row)) is not None:
            told["mask"] = mask
        yield told


def _named(found: Detections) -> Iterator[dict[str, Any]]:
    """How sure it is, what it is, and who says so."""
    several = "model" in found.data
    for confidence, class_id, model in zip(exact(found.confidence), found.class_id.tolist(), found.models, strict=True):
        told = {"confidence": confidence, "class_id": class_id, "class_name": found.name_of(class_id)}
        yield {**told, "model": model} if several else told


PLUGIN = Plugin(make=make, summary="one line of JSON a frame")
