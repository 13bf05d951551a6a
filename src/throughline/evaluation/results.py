"""What a run wrote, read back: the results themselves are judged, and not what somebody remembers of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from throughline.contracts.detections import Detections
from throughline.contracts.errors import InputError


def read_results(path: Path, labels: tuple[str, ...] = ()) -> Iterator[Detections]:
    """Every frame of a ``detections.jsonl``; ``labels`` are the names that its class numbers count into."""
    try:
        lines = path.open("rb")
    except OSError as error:
        raise InputError(f"{path}: cannot read: {error.strerror}", "give the detections.jsonl of a run") from None
    with lines:
        for number, line in enumerate(lines, 1):
            try:
                found = _detections(json.loads(line)["detections"], labels)
            except (ValueError, KeyError, TypeError, InputError) as error:
                raise InputError(
                    f"{path}: line {number} is not a frame's results ({error!r})", "give the detections.jsonl of a run"
                ) from None
            yield found


def _detections(rows: list[dict[str, Any]], labels: tuple[str, ...]) -> Detections:
    found = Detections(
        xyxy=np.array([row["xyxy"] for row in rows], np.float32).reshape(-1, 4),
        confidence=np.array([row["confidence"] for row in rows], np.float32),
        class_id=np.array([row["class_id"] for row in rows], np.int64),
        tracker_id=np.array([-1 if row["tracker_id"] is None else row["tracker_id"] for row in rows], np.int64),
        labels=labels,
    )
    for row in rows if labels else ():
        if row["class_name"] != (here := found.name_of(row["class_id"])):
            raise InputError(f"class {row['class_id']} is {row['class_name']!r} there and {here!r} here")
    return found
