"""One row a detection in Parquet, for what has more rows than a spreadsheet can bear."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from throughline.contracts.detections import Detections
from throughline.contracts.frames import Frame
from throughline.contracts.streams import SourceInfo
from throughline.plugins import Plugin
from throughline.video.sinks._parts import Parts

if TYPE_CHECKING:
    import pyarrow as pa  # type: ignore[import-untyped]

_GROUP = 65_536


class ParquetSink:
    """The CSV's columns with their types; ``tracker_id`` is null where nothing is tracked."""

    def __init__(self, target: Path) -> None:
        self._parts = Parts(target)
        self._taken: list[pa.RecordBatch] = []

    def write(self, frame: Frame, found: Detections) -> None:
        """Take one frame's rows."""
        import pyarrow as pa

        count = len(found)
        source = frame.source.encode("utf-8", "backslashreplace").decode()
        columns = [
            pa.array(np.full(count, frame.index, np.int64)),
            pa.array(np.full(count, frame.seconds, np.float64)),
            pa.array([source] * count, pa.string()),
            *(pa.array(found.xyxy[:, side]) for side in range(4)),
            pa.array(found.confidence),
            pa.array(found.class_id),
            pa.array([found.name_of(number) for number in found.class_id.tolist()], pa.string()),
            pa.nulls(count, pa.int64()) if found.tracker_id is None else pa.array(found.tracker_id),
        ]
        self._taken.append(pa.record_batch(columns, schema=_schema()))

    def commit(self, part: int) -> None:
        """Put the rows so far in place, as an Arrow file."""
        import pyarrow as pa

        with (
            self._parts.writing(),
            pa.OSFile(str(self._parts.fresh()), "wb") as file,
            pa.ipc.new_stream(file, _schema()) as stream,
        ):
            stream.write_table(pa.Table.from_batches(self._taken, _schema()))
        self._parts.put(part)
        self._taken.clear()

    def finish(self, parts: int) -> tuple[Path, ...]:
        """Join the parts in row groups of one size, whatever sizes the parts had."""
        return self._parts.join(parts, _join)

    def abort(self) -> None:
        """Forget the rows since the last commit."""
        self._taken.clear()
        self._parts.drop()


def _join(paths: Sequence[Path], draft: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    waiting = pa.Table.from_batches([], _schema())
    with pq.ParquetWriter(str(draft), _schema()) as whole:
        for path in paths:
            with pa.OSFile(str(path), "rb") as file, pa.ipc.open_stream(file) as stream:
                waiting = pa.concat_tables([waiting, stream.read_all()])
            while waiting.num_rows >= _GROUP:
                whole.write_table(waiting.slice(0, _GROUP).combine_chunks())
                waiting = waiting.slice(_GROUP)
        if waiting.num_rows:
            whole.write_table(waiting.combine_chunks())


def _schema() -> pa.Schema:
    import pyarrow as pa

    return pa.schema(
        [
            ("index", pa.int64()),
            ("seconds", pa.float64()),
            ("source", pa.string()),
            *((side, pa.float32()) for side in ("x1", "y1", "x2", "y2")),
            ("confidence", pa.float32()),
            ("class_id", pa.int64()),
            ("class_name", pa.string()),
            ("tracker_id", pa.int64()),
        ]
    )


def make(folder: Path, *, info: SourceInfo, labels: tuple[str, ...] = ()) -> ParquetSink:
    """A row for every detection."""
    return ParquetSink(folder / "detections.parquet")


PLUGIN = Plugin(make=make, summary="Parquet, one row a detection", needs=("pyarrow",), extra="track")
