"""One row a detection in Parquet, for what has more rows than a spreadsheet can bear."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from throughline.contracts.detections import Detections
from throughline.contracts.frames import Frame
from throughline.contracts.streams import SourceInfo
from throughline.plugins import Plugin
from throughline.video.sinks._parts import Parts

if TYPE_CHECKING:
    import pyarrow as pa

_GROUP = 65_536
_SIDES = ("x1", "y1", "x2", "y2")


class ParquetSink:
    """The CSV's columns with their types, and masks and keypoints; what a row does not have is null."""

    def __init__(self, target: Path, several: bool) -> None:
        self._parts = Parts(target)
        self._schema = _schema(several)
        self._taken: list[pa.RecordBatch] = []

    def write(self, frame: Frame, found: Detections) -> None:
        """Take one frame's rows."""
        import pyarrow as pa

        count, masks = len(found), found.masks
        columns = {
            "index": np.full(count, frame.index, np.int64),
            "seconds": np.full(count, frame.seconds, np.float64),
            "source": [_utf8(frame.source)] * count,
            **{side: pa.array(found.xyxy[:, at], mask=found.of_frame) for at, side in enumerate(_SIDES)},
            "confidence": found.confidence,
            "class_id": found.class_id,
            "class_name": [_utf8(found.name_of(number)) for number in found.class_id.tolist()],
            "tracker_id": found.identities,
            "keypoints": [None if points is None else points.tolist() for points in found.keypoints],
            "mask": [None if masks is None else masks.rle(row) for row in range(count)],
            "model": [_utf8(name) for name in found.models],
        }
        arrays = [pa.array(columns[field.name], field.type) for field in self._schema]
        self._taken.append(pa.record_batch(arrays, schema=self._schema))

    def commit(self, part: int) -> None:
        """Put the rows so far in place, as an Arrow file."""
        import pyarrow as pa

        with (
            self._parts.writing(),
            pa.OSFile(str(self._parts.fresh()), "wb") as file,
            pa.ipc.new_stream(file, self._schema) as stream,
        ):
            stream.write_table(pa.Table.from_batches(self._taken, self._schema))
        self._parts.put(part)
        self._taken.clear()

    def finish(self, parts: int) -> tuple[Path, ...]:
        """Join the parts in row groups of one size, whatever sizes the parts had."""
        return self._parts.join(parts, partial(_join, schema=self._schema))

    def abort(self) -> None:
        """Forget the rows since the last commit."""
        self._taken.clear()
        self._parts.drop()


def _join(paths: Sequence[Path], draft: Path, *, schema: pa.Schema) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    waiting = pa.Table.from_batches([], schema)
    with pq.ParquetWriter(str(draft), schema) as whole:
        for path in paths:
            with pa.OSFile(str(path), "rb") as file, pa.ipc.open_stream(file) as stream:
                waiting = pa.concat_tables([waiting, stream.read_all()])
            while waiting.num_rows >= _GROUP:
                whole.write_table(waiting.slice(0, _GROUP).combine_chunks())
                waiting = waiting.slice(_GROUP)
        if waiting.num_rows:
            whole.write_table(waiting.combine_chunks())


def _schema(several: bool) -> pa.Schema:
    import pyarrow as pa

    return pa.schema(
        [
            ("index", pa.int64()),
            ("seconds", pa.float64()),
            ("source", pa.string()),
            *((side, pa.float32()) for side in _SIDES),
            ("confidence", pa.float32()),
            ("class_id", pa.int64()),
            ("class_name", pa.string()),
            ("tracker_id", pa.int64()),
            *[("model", pa.string())] * several,
            ("keypoints", pa.list_(pa.list_(pa.float32()))),
            ("mask", pa.struct([("size", pa.list_(pa.int32())), ("counts", pa.string())])),
        ]
    )


def _utf8(text: str) -> str:
    """A file name that is not UTF-8 has lone surrogates, which no Arrow string may hold."""
    return text.encode("utf-8", "backslashreplace").decode()


def make(folder: Path, *, info: SourceInfo, labels: tuple[str, ...] = (), models: Sequence[str] = ()) -> ParquetSink:
    """A row for every detection, with a column ``model`` where there are several."""
    return ParquetSink(folder / "detections.parquet", len(models) > 1)


PLUGIN = Plugin(make=make, summary="Parquet, one row a detection", needs=("pyarrow",), extra="track")
