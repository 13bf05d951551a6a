"""Runs as files of lines in the project's folder: nothing to install, nothing to start, and every tool reads them.

One file a run, appended to, so that any number of processes write at once and a kill tears at most a last line.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, final

from throughline.contracts.records import RUN_KEY, NotTaken, RunRecord, RunState
from throughline.files import writing
from throughline.plugins import Plugin
from throughline.training.circumstances import PROCESS, this_process
from throughline.training.record_file import record_of, rows_of

FOLDER: Final = "runlog"


@final
class JsonLines:
    """A folder of runs, each a file of lines named by its id."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = (folder or Path.cwd()).absolute() / FOLDER

    def __str__(self) -> str:
        return f"jsonl in {self._folder}"

    def __contains__(self, run: str) -> bool:
        return self._path(run).exists()

    def start(
        self,
        name: str,
        parameters: Mapping[str, Any],
        tags: Mapping[str, str],
        parent: str | None = None,
        *,
        at: float | None = None,
    ) -> str:
        """A new run; its id."""
        run = tags.get(RUN_KEY, "") or uuid.uuid4().hex
        if run in self and self._record(self._path(run), time.time()) is not None:
            return run
        with writing(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
        begun = {"name": name, "parameters": dict(parameters), "tags": dict(tags), "parent": parent}
        self._append(run, [{"at": _when(at), "start": begun}], new=True)
        return run

    def metrics(self, run: str, values: Mapping[str, float], step: int, *, at: float | None = None) -> None:
        """Values of one step."""
        self.many(run, [(values, step, _when(at))])

    def many(self, run: str, steps: Sequence[tuple[Mapping[str, float], int, float]]) -> None:
        """Values of several steps."""
        self._append(run, [{"at": at, "metrics": dict(values), "step": step} for values, step, at in steps])

    def artifact(self, run: str, path: Path) -> None:
        """Where a file is that came of it, and its hash: the file stays where it is."""
        try:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise NotTaken(f"{path}: cannot read: {error.strerror}", "give a file that is there") from None
        self._append(run, [{"at": time.time(), "artifact": str(path.absolute()), "sha256": digest}])

    def finish(self, run: str, state: RunState, *, at: float | None = None) -> None:
        """The end of a run, or that it goes on."""
        tags = {"tags": {PROCESS: this_process()}} if state is RunState.RUNNING else {}
        self._append(run, [{"at": _when(at), "state": str(state), **tags}])

    def runs(self) -> Iterator[RunRecord]:
        """Every run, the newest first."""
        now = time.time()
        found = (self._record(path, now) for path in self._folder.glob("*.jsonl"))
        yield from sorted((run for run in found if run is not None), key=lambda run: (-run.started, run.id))

    @staticmethod
    def _record(path: Path, now: float) -> RunRecord | None:
        """What a file comes to; None where it does not say how a run began, or says what no run of ours would."""
        try:
            return record_of(path.stem, rows_of(path), now)
        except (OSError, KeyError, TypeError, ValueError, AttributeError):
            return None

    def _append(self, run: str, rows: Sequence[Mapping[str, Any]], new: bool = False) -> None:
        text = "".join(json.dumps(row, ensure_ascii=False, default=str) + "\n" for row in rows).encode()
        path = self._path(run)
        try:
            handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | (os.O_CREAT if new else 0), 0o666)
        except FileNotFoundError:
            raise NotTaken(f"{self}: there is no run '{run}'", "throughline runs --log jsonl lists them") from None
        try:
            size = os.fstat(handle).st_size
            if size and os.pread(handle, 1, size - 1) != b"\n":
                text = b"\n" + text  # what a kill tore off is lost, and this line not with it
            if os.write(handle, text) < len(text):
                os.ftruncate(handle, size)
                raise OSError(28, os.strerror(28))
        finally:
            os.close(handle)

    def _path(self, run: str) -> Path:
        if not re.fullmatch(r"[\w.-]{1,128}", run) or run.startswith("."):
            raise NotTaken(f"{run!r} is no id of a run", "throughline runs --log jsonl lists them")
        return self._folder / f"{run}.jsonl"


def _when(at: float | None) -> float:
    return round(time.time() if at is None else at, 3)


PLUGIN = Plugin(make=JsonLines, summary="Files of lines in the project folder; needs nothing")
