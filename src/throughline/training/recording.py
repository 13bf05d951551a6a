"""How verbs write runs down: a log of runs that is slow, full, locked, broken or away never stops a training.

Each thing told is first appended to the record in the run's folder, by whoever tells it, which takes some microseconds.
A thread reads it from there and tells the log. When the log fails, it is said once, the training goes on, and
the thread tries again, less and less often; what a log has not heard by the end can be told it later. A kill loses
nothing that was appended.
"""

from __future__ import annotations

import os
import shlex
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, cast, final

from throughline.contracts.errors import MissingExtra, ThroughlineError, first_line
from throughline.contracts.records import RUN_KEY, RunLog, RunState
from throughline.terminal import note
from throughline.training.circumstances import PROCESS, circumstances, this_process, without_user
from throughline.training.delivering import called, tell
from throughline.training.record_file import RecordFile
from throughline.training.runlogs import RUNLOGS
from throughline.training.system_metrics import SystemMetrics

_BREATH: Final = 1.0
_SAMPLED_EACH: Final = 10.0
_LONGEST_PAUSE: Final = 60.0
_UNUSUAL: Final = 10.0
_PATIENCE_AGAIN: Final = 1.0
_silent: set[str] = set()  # logs that somebody in this process has waited for in vain: a search has many runs


def run_log(name: str = "mlflow", folder: Path | None = None) -> RunLog:
    """A log of runs by name, in a project's folder; ``jsonl`` instead of an MLflow that is not installed, and says so.

    Args:
        name: mlflow, wandb, jsonl, or one that a package adds.
        folder: the project's; the working folder when not given.
    """
    try:
        return cast(RunLog, RUNLOGS.make(name, folder))
    except MissingExtra as error:
        if name != "mlflow":
            raise
        note(f"{error.problem}; runs are written down as jsonl ({error.fix} brings it)")
        return cast(RunLog, RUNLOGS.make("jsonl", folder))


@final
class Recorder:
    """The record of one run. Nothing that happens to its log is ever raised here."""

    def __init__(
        self,
        log: RunLog,
        folder: Path,
        say: Callable[[str], None],
        *,
        patience: float = 30.0,
    ) -> None:
        """Record a run.

        Args:
            log: whom to tell.
            folder: the run's own, where the record is kept.
            say: takes one line for people.
            patience: how many seconds the start and the end wait for the log at most.
        """
        self._log, self._folder, self._say, self._patience = log, folder, say, patience
        self._called = called(log)
        self._file = RecordFile(folder)
        self._file.told_to(self._called)
        self._key, self._began = "", time.time()
        self._woken, self._known, self._done = threading.Event(), threading.Event(), threading.Event()
        self._ending = self._stopped = False
        self._failing = ""
        self._pause = 0.0
        self._calls_since: float | None = None
        self._said: set[str] = set()
        self._thread: threading.Thread | None = None

    def start(
        self, name: str, parameters: Mapping[str, Any], tags: Mapping[str, str], parent: str | None = None
    ) -> str:
        """Begin, or go on with the run that this folder's record tells of; its id.

        That is the log's own id where the log answers in time, else the run's key, which the log learns later and
        ``throughline runs`` understands as well.
        """
        before = self._file.first()
        if before is None:
            self._key = uuid.uuid4().hex
            told = {"name": name, "parameters": flat(parameters), "tags": circumstances({**tags, RUN_KEY: self._key})}
            self._append({"start": told | {"parent": parent}})
        else:
            self._key, self._began = before["start"]["tags"][RUN_KEY], float(before["at"])
            self._append({"state": RunState.RUNNING, "tags": {PROCESS: this_process()}})
        self._thread = threading.Thread(target=self._work, name=f"record of {name}", daemon=True)
        self._thread.start()
        self._wait(self._known)
        return self._file.run or self._key

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Values of one step."""
        self._append({"metrics": self._numbers(values), "step": int(step)})
        since = self._calls_since  # the thread may change it meanwhile
        if since is not None and time.monotonic() - since > _UNUSUAL:
            unanswered = f"{self._called} has not answered for {_UNUSUAL:.0f} s"
            self._once("slow", f"{unanswered}; training goes on, {self._kept()}")

    def artifact(self, path: Path) -> None:
        """A file that came of the run."""
        self._append({"artifact": os.path.relpath(path.absolute(), self._folder.absolute())})

    def finish(self, state: RunState) -> None:
        """The end. It waits for the log, but not longer than its patience; what the log has not heard is said."""
        if self._ending or self._thread is None:
            return
        self._append({"state": state})
        self._ending = True
        self._woken.set()
        heard = self._wait(self._done)
        if lost := self._file.unwritten:
            self._speak(f"{self._file.path}: {lost} lines found no room on the disk, and are lost with this process")
        if heard:
            self._thread.join(self._patience)
            return
        with suppress(OSError):
            if waiting := self._file.waiting():
                self._speak(
                    f"{self._called} has not been told {waiting} lines of this run, {self._kept()}. "
                    f"Tell it later: throughline runs --deliver {shlex.quote(str(self._folder))}"
                )
        self._stopped = True
        self._woken.set()

    def _numbers(self, values: Mapping[str, Any]) -> dict[str, float]:
        found: dict[str, float] = {}
        for name, value in values.items():
            try:
                found[name] = float(value)
            except (TypeError, ValueError):
                self._once(f"metric {name}", f"the metric '{name}' is {value!r}, which is no number: it is passed over")
        return found

    def _append(self, row: Mapping[str, Any]) -> None:
        error = self._file.append({"at": round(time.time(), 3), **row})
        if error is not None:
            self._once("disk", f"{self._file.path}: cannot write: {error.strerror}; training goes on, held in memory")

    def _wait(self, answered: threading.Event) -> bool:
        """Wait for the log, but only once for long."""
        if answered.wait(min(self._patience, _PATIENCE_AGAIN) if self._called in _silent else self._patience):
            return True
        _silent.add(self._called)
        return False

    def _kept(self) -> str:
        return f"and all of it is kept in {self._file.path}"

    def _once(self, what: str, text: str) -> None:
        if what not in self._said:
            self._said.add(what)
            self._speak(text)

    def _speak(self, text: str) -> None:
        with suppress(Exception):  # whoever listens may have left, and that stops nothing either
            self._say(text)

    def _work(self) -> None:
        machine, sampled = _machine(), time.monotonic()
        try:
            while not self._stopped:
                if machine is not None and not self._ending and time.monotonic() - sampled >= _SAMPLED_EACH:
                    sampled = time.monotonic()
                    with suppress(Exception):  # a machine that does not say how it is
                        self._append({"metrics": machine.sample(), "step": int(time.time() - self._began)})
                if self._told_all() and self._ending:
                    self._done.set()
                    break
                self._woken.wait(min(self._pause, 1.0) if self._ending else self._pause or _BREATH)
                self._woken.clear()
        finally:
            self._file.close()

    def _told_all(self) -> bool:
        """Tell the log what it has not been told; whether nothing is left."""
        try:
            self._calls_since = time.monotonic()
            tell(self._log, self._file, self._folder, self._refused)
            left = bool(self._file.pending())
        except Exception as error:
            self._pause = min(max(1.0, 2 * self._pause), _LONGEST_PAUSE)
            if not self._failing:
                self._failing = error.problem if isinstance(error, ThroughlineError) else first_line(error)
                self._speak(f"{self._called} fails: {self._failing}; training goes on, {self._kept()}")
            return False
        else:
            if self._failing:
                self._speak(f"{self._called} answers again, and has been told everything since")
            self._failing, self._pause = "", 0.0
            _silent.discard(self._called)
            return not left
        finally:
            self._calls_since = None
            if self._file.run or self._failing:
                self._known.set()

    def _refused(self, error: Exception) -> None:
        self._once("refused", f"{self._called} does not take a line of this run: {first_line(error)}; {self._kept()}")


def _machine() -> SystemMetrics | None:
    try:
        return SystemMetrics()
    except Exception:  # nothing to measure it with here
        return None


def flat(values: Mapping[str, Any], under: str = "") -> dict[str, Any]:
    """Parameters that hold others, each named by the whole way to it; no address keeps its password."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{under}{name}.")
        else:
            found[f"{under}{name}"] = without_user(value) if isinstance(value, str) else value
    return found
