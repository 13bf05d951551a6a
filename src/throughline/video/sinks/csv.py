"""One row a detection, for spreadsheets and data frames."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from throughline.contracts.detections import Detections
from throughline.contracts.frames import Frame
from throughline.contracts.streams import SourceInfo
from throughline.plugins import Plugin
from throughline.video.sinks._text import TextSink, exact

_COLUMNS = "index,seconds,source,x1,y1,x2,y2,confidence,class_id,class_name,tracker_id"


def make(folder: Path, *, info: SourceInfo, labels: tuple[str, ...] = (), models: Sequence[str] = ()) -> TextSink:
    """A row for every detection, with a column ``model`` where there are several.

    ``tracker_id`` is empty where nothing is tracked, and the box where a row is about the whole frame.
    """
    several = len(models) > 1
    head = _COLUMNS + ",model" * several + "\n"
    return TextSink(folder / "detections.csv", partial(_lines, several=several), head=head)


def _lines(frame: Frame, found: Detections, *, several: bool) -> str:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    boxes = [
        [""] * 4 if of_frame else box for box, of_frame in zip(exact(found.xyxy), found.of_frame.tolist(), strict=True)
    ]
    columns = (boxes, exact(found.confidence), found.class_id.tolist(), found.identities, found.models)
    for xyxy, confidence, class_id, identity, model in zip(*columns, strict=True):
        name = found.name_of(class_id)
        row = [frame.index, frame.seconds, frame.source, *xyxy, confidence, class_id, name, identity]
        rows.writerow([*row, model] if several else row)
    return text.getvalue()


PLUGIN = Plugin(make=make, summary="CSV, one row a detection")
