"""Observations kept as Parquet files in a folder, for as long as somebody may want to look back.

What comes is first appended to a journal, which a kill leaves readable up to its last whole batch; once that is
long or old enough it becomes one Parquet file, whole or not at all. A journal that a killed process left is made
one when the next process opens the folder; one whose process lives is locked, and left alone.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, final

from throughline.contracts.errors import InputError
from throughline.contracts.observations import Observation
from throughline.files import put_in_place, writing
from throughline.monitoring.lane import PATIENCE, Lane
from throughline.monitoring.observation_files import JOURNAL, NAME, batch_of, batches_in, schema
from throughline.plugins import Plugin

_TICK: Final = 1.0


@final
class ParquetObserver:
    """Keeps what it is given; a file is closed after so many rows or seconds, whichever comes first."""

    def __init__(self, folder: Path, rows: int, seconds: float, room: int) -> None:
        if rows < 1 or not seconds > 0:
            raise InputError(f"files of {rows} rows or {seconds:g} seconds", "give 1 or more rows, more than 0 seconds")
        self._folder, self._most, self._longest = folder, rows, seconds
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        self.recovered = recover(folder)
        self._journal: _Journal | None = None
        self._kept = 0
        self._lane: Lane[Observation] = Lane(self._append, name="observations", room=room, at_once=1024, tick=_TICK)

    def take(self, one: Observation) -> bool:
        """Leave it to the thread; False where the queue was full, and it was dropped and counted."""
        return self._lane.put(one)

    @property
    def dropped(self) -> int:
        """How many found no room, or could not be written."""
        return self._lane.dropped

    @property
    def kept(self) -> int:
        """How many are in a file or in the journal."""
        return self._kept

    @property
    def failed(self) -> int:
        """How often the disk said no; what it said no to is lost."""
        return self._lane.failed

    def settled(self, patience: float = PATIENCE) -> bool:
        """Wait until everything so far is in a file or in the journal."""
        return self._lane.settled(patience)

    def close(self) -> None:
        """Write what is left into a file, and end."""
        if self._lane.close() and self._journal is not None:
            self._journal.close(self._folder)
            self._journal = None

    def _append(self, several: Sequence[Observation]) -> None:
        if self._journal is None and several:
            self._journal = _Journal(self._folder)
        if self._journal is None:
            return
        if several:
            try:
                self._journal.add(several)
            except BaseException:
                journal, self._journal = self._journal, None
                journal.abandon()
                raise
            self._kept += len(several)
        if self._journal.rows >= self._most or time.monotonic() - self._journal.began >= self._longest:
            journal, self._journal = self._journal, None
            journal.close(self._folder)


class _Journal:
    """One file that is being appended to, locked as long as this process lives."""

    def __init__(self, folder: Path) -> None:
        import pyarrow as pa

        self.rows, self.began = 0, time.monotonic()
        token = secrets.token_hex(6)
        self._path, draft = folder / JOURNAL.format(token), folder / f".{token}.new"
        self._file = draft.open("xb", buffering=0)
        fcntl.flock(self._file, fcntl.LOCK_EX)
        draft.rename(self._path)  # it has no name that others look for before it is locked
        self._stream: Any = pa.ipc.new_stream(pa.PythonFile(self._file, mode="w"), schema())

    def add(self, several: Sequence[Observation]) -> None:
        """Append them; they survive this process from here on."""
        self._stream.write_batch(batch_of(several))
        self.rows += len(several)

    def abandon(self) -> None:
        """Write no more: its end may be torn. The next process to open the folder keeps what is whole."""
        self._file.close()

    def close(self, folder: Path) -> None:
        """Make one Parquet file of it."""
        self._stream.close()
        _turn(self._path, folder)
        self._file.close()


def recover(folder: Path) -> int:
    """Make Parquet files of the journals that killed processes left; how many rows they had."""
    rows = 0
    for path in sorted(folder.glob(JOURNAL.format("*"))):
        try:
            with path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                rows += _turn(path, folder)
        except (BlockingIOError, FileNotFoundError):
            continue  # its process lives, or another one was faster
    return rows


def _turn(path: Path, folder: Path) -> int:
    """The whole batches of a journal as one file, in place of it; the name is the journal's, so twice is once."""
    import pyarrow.parquet as pq

    batches = list(batches_in(path))
    rows: int = sum(batch.num_rows for batch in batches)
    if rows:
        first = min(batch.column("seconds")[0].as_py() for batch in batches)
        target = folder / NAME.format(f"{max(0.0, first):017.3f}", path.stem.rpartition("-")[2])
        draft = path.with_suffix(".draft")
        with writing(target):
            with pq.ParquetWriter(str(draft), schema(), compression="zstd") as whole:
                for batch in batches:
                    whole.write_batch(batch)
            put_in_place(draft, target)
    os.unlink(path)
    return rows


def make(folder: Path, *, rows: int = 50_000, seconds: float = 300.0, room: int = 8192) -> ParquetObserver:
    """Into this folder; a file is closed after so many rows or seconds, and so many observations wait at most."""
    return ParquetObserver(Path(folder), rows, seconds, room)


PLUGIN = Plugin(make=make, summary="Parquet files in a folder", needs=("pyarrow",), extra="monitor")
