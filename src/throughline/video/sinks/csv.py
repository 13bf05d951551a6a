"""One row a detection, for spreadsheets and data frames."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from throughline.contracts.detections import Detections
from throughline.contracts.frames import Frame
from throughline.contracts.streams import SourceInfo
from throughline.plugins import Plugin
from throughline.video.sinks._text import TextSink, exact

_COLUMNS = "index,seconds,source,x1,y1,x2,y2,confidence,class_id,class_name,tracker_id"


def make(folder: Path, *, info: SourceInfo, labels: tuple[str, ...] = ()) -> TextSink:
    """A row for every detection; ``tracker_id`` is empty where nothing is tracked."""
    return TextSink(folder / "detections.csv", _lines, head=_COLUMNS + "\n")


def _lines(frame: Frame, found: Detections) -> str:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    identities = [""] * len(found) if found.tracker_id is None else found.tracker_id.tolist()
    columns = zip(exact(found.xyxy), exact(found.confidence), found.class_id.tolist(), identities, strict=True)
    for xyxy, confidence, class_id, identity in columns:
        name = found.name_of(class_id)
        rows.writerow([frame.index, frame.seconds, frame.source, *xyxy, confidence, class_id, name, identity])
    return text.getvalue()


PLUGIN = Plugin(make=make, summary="CSV, one row a detection")
