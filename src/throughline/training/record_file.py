"""The record of a run as it stands in the run's own folder: lines, each written before anything else is done with it.

This file is the truth, and a log of runs is told from it. A line that was appended survives a kill; what a kill tore
off the last one is dropped. Where the disk is full the lines are held in memory until it has room again, so that
nothing stops for that. Beside it stands how far which log has been told.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

from throughline.contracts.errors import InputError
from throughline.contracts.records import RunRecord, RunState

RECORD: Final = "record.jsonl"
_TOLD: Final = "record.told.json"
_MOST_HELD: Final = 100_000
_MOST_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a record.

    Attributes:
        row: what it says.
        ends: where in the file the next one begins; None where it is held in memory.
    """

    row: Mapping[str, Any]
    ends: int | None


@final
class RecordFile:
    """The lines of one run's folder, held by this process alone."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / RECORD
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise InputError(f"{self.path}: cannot write: {error.strerror}", "choose a folder with room") from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._file)
            raise InputError(
                f"{self.path}: another process is recording there", "wait for its end, or choose another folder"
            ) from None
        except OSError:
            pass  # a file system without locks
        self._lock = threading.Lock()
        self._held: deque[bytes] = deque()
        self._held_told = 0
        self._dropped = 0
        self._end = self._whole()
        self._told, self.run, self._log = 0, "", ""

    def told_to(self, log: str) -> None:
        """Whom it is told to from now on: from where that log was told last, or from the beginning."""
        self._log, self._told, self.run = log, 0, ""
        with suppress(OSError, ValueError, KeyError, TypeError):
            mark = json.loads((self.path.parent / _TOLD).read_text("utf-8"))
            if mark["log"] == log and 0 <= int(mark["bytes"]) <= self._end:
                self._told, self.run = int(mark["bytes"]), str(mark["run"])

    def first(self) -> Mapping[str, Any] | None:
        """What was said of the run at its start, where it has one."""
        line = next(iter(self._from(0, _MOST_BYTES)), None)
        return line.row if line is not None and "start" in line.row else None

    def append(self, row: Mapping[str, Any]) -> OSError | None:
        """Write a line; what the disk says no to is held in memory, and the error returned."""
        text = (json.dumps(row, ensure_ascii=False, default=str) + "\n").encode()
        with self._lock:
            if len(self._held) >= _MOST_HELD:
                self._held.popleft()
                self._held_told = max(0, self._held_told - 1)
                self._dropped += 1
            self._held.append(text)
            return self._write()

    def pending(self) -> Sequence[Line]:
        """The next lines that the log has not been told, in order; empty where it has been told all."""
        with self._lock:
            if lines := self._from(self._told, _MOST_BYTES):
                return lines
            held = list(self._held)[self._held_told :]
        return [Line(json.loads(text), None) for text in held]

    def waiting(self) -> int:
        """How many lines the log has not been told."""
        with self._lock:
            at, count = self._told, len(self._held) - self._held_told
            while lines := self._from(at, _MOST_BYTES):
                count += len(lines)
                at = lines[-1].ends or self._end
            return count

    @property
    def unwritten(self) -> int:
        """How many lines have found no room on the disk so far."""
        return len(self._held) + self._dropped

    def told(self, lines: Sequence[Line], run: str) -> None:
        """The log has been told these, the first that were pending, and calls the run this."""
        with self._lock:
            self.run = run
            for line in lines:
                if line.ends is None:
                    self._held_told += 1
                else:
                    self._told = line.ends
            self._mark()

    def close(self) -> None:
        """Let another process record there."""
        with self._lock:
            file, self._file = self._file, -1  # the number may soon be another file's
            os.close(file)

    def _whole(self) -> int:
        """Where the last whole line ends; a torn one behind it is dropped."""
        end = size = os.fstat(self._file).st_size
        while end > 0:
            begin = max(0, end - 65536)
            at = os.pread(self._file, end - begin, begin).rfind(b"\n")
            if at >= 0:
                end = begin + at + 1
                break
            end = begin
        if end != size:
            os.ftruncate(self._file, end)
        return end

    def _write(self) -> OSError | None:
        while self._held:
            text = self._held[0]
            try:
                count = os.pwrite(self._file, text, self._end)
                if count < len(text):
                    count += os.pwrite(self._file, text[count:], self._end + count)
                if count < len(text):
                    raise OSError(28, os.strerror(28))
            except OSError as error:
                with suppress(OSError):
                    os.ftruncate(self._file, self._end)
                return error
            self._held.popleft()
            self._end += len(text)
            if self._held_told:  # its log has heard it from memory, and everything in the file before it
                self._held_told -= 1
                self._told = self._end
        return None

    def _from(self, at: int, most: int) -> list[Line]:
        lines = []
        block = os.pread(self._file, min(most, self._end - at), at)
        if b"\n" not in block and at + len(block) < self._end:
            block = os.pread(self._file, self._end - at, at)  # one line that is longer than a block
        for text in block.splitlines(keepends=True):
            if text.endswith(b"\n"):
                at += len(text)
                lines.append(Line(_read(text), at))
        return lines

    def _mark(self) -> None:
        """Not brought to the disk each time: a mark that is behind costs a log nothing but being told again."""
        path = self.path.with_name(_TOLD)
        draft = path.with_name(f".{_TOLD}")
        with suppress(OSError):
            draft.write_text(json.dumps({"log": self._log, "run": self.run, "bytes": self._told}) + "\n", "utf-8")
            draft.replace(path)


def rows_of(path: Path) -> Iterator[Mapping[str, Any]]:
    """The whole lines of a file of records, whoever writes to it meanwhile."""
    with path.open("rb") as file:
        for text in file:
            if text.endswith(b"\n"):
                yield _read(text)


def record_of(run: str, rows: Iterable[Mapping[str, Any]], now: float) -> RunRecord | None:
    """What the lines of one run come to; None where they do not say how it began."""
    start: Mapping[str, Any] = {}
    tags: dict[str, str] = {}
    metrics: dict[str, float] = {}
    began, state, ended = 0.0, RunState.RUNNING, None
    for row in rows:
        if "start" in row:
            start, began = row["start"], float(row["at"])
            tags |= start["tags"]
        elif "metrics" in row:
            metrics |= row["metrics"]
        elif "state" in row:
            state = RunState(row["state"])
            tags |= row.get("tags", {})
            ended = None if state is RunState.RUNNING else float(row["at"])
    if not start:
        return None
    took = (now if ended is None else ended) - began
    parameters = {name: in_words(value) for name, value in start["parameters"].items()}
    return RunRecord(run, start["name"] or run, state, began, took, parameters, metrics, tags, start.get("parent"))


def in_words(value: Any) -> str:
    """A parameter as the text that every log keeps of it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _read(text: bytes) -> Mapping[str, Any]:
    """A line as what it says; one that says nothing (a disk's zeros after the power failed) is no record's."""
    with suppress(ValueError):
        row = json.loads(text)
        if isinstance(row, dict):
            return row
    return {}
