"""What every log of runs must do, as a test class: subclass it and name the log.

    class TestMine(RunLogConformance):
        runlog = "mine"

The promise at its heart: what is told of a run can be told again, later and by another process, and the log then
keeps what it would have kept had it never been away.
"""
# ruff: noqa: D102 - a test's name is its docstring, and this file imports without pytest

from __future__ import annotations

import math
import os
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, cast

from throughline.contracts.records import RUN_KEY, NotTaken, RunLog, RunRecord, RunState
from throughline.training.circumstances import PROCESS, goes_on, this_process
from throughline.training.delivering import TakesMany, called, deliver
from throughline.training.recording import Recorder
from throughline.training.runlogs import RUNLOGS

_BEGAN = 1_700_000_000.25
_WRITERS, _RUNS_EACH = 8, 3
_TOGETHER = """
import os, sys
from pathlib import Path
from throughline.training.runlogs import RUNLOGS
from throughline.contracts.records import RunState
name, folder, writers, each = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
for module in (*RUNLOGS.get(name).needs, *sys.argv[5:]):
    __import__(module)  # once, before there are many
children = []
for writer in range(writers):
    pid = os.fork()
    if pid:
        children.append(pid)
        continue
    try:
        log = RUNLOGS.make(name, folder)
        for number in range(each):
            run = log.start(f"{writer}-{number}", {"writer": writer}, {})
            for step in range(3):
                log.metrics(run, {"value": writer + step}, step)
            log.finish(run, RunState.FINISHED)
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        os._exit(1)
    os._exit(0)
sys.exit(max(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children))
"""


class RunLogConformance(ABC):
    """The suite. pytest collects the subclasses whose names begin with ``Test``."""

    runlog: ClassVar[str]
    forks: ClassVar[bool] = True
    loaded_first: ClassVar[tuple[str, ...]] = ()
    _room: ClassVar[tempfile.TemporaryDirectory[str]]
    _log: ClassVar[RunLog]

    @classmethod
    def folder(cls) -> Path:
        """The project's folder: one for the whole class, so that a log is set up once."""
        return Path(cls._room.name)

    @classmethod
    def setup_class(cls) -> None:
        cls._room = tempfile.TemporaryDirectory(prefix=f"conformance-{cls.runlog}-", ignore_cleanup_errors=True)
        cls._log = cls.opened()

    @classmethod
    def teardown_class(cls) -> None:
        cls._room.cleanup()

    @classmethod
    def opened(cls, folder: Path | None = None) -> RunLog:
        """The log, as another part of a program would open it."""
        return cast(RunLog, RUNLOGS.make(cls.runlog, folder or cls.folder()))

    def begun(self, name: str = "small", **tags: str) -> str:
        return self._log.start(name, {"lr": 0.1}, tags)

    def record(self, run: str) -> RunRecord:
        return next(record for record in self.opened().runs() if record.id == run)

    def test_it_says_what_it_is_and_where(self) -> None:
        assert isinstance(self._log, RunLog)
        assert RUNLOGS.get(self.runlog).summary
        assert str(self.folder()) in called(self._log)
        assert called(self._log) == called(self.opened())

    def test_a_run_is_told_as_it_was(self) -> None:
        parameters = {"lr": 0.1, "epochs": 3, "half": True, "sizes": [1, 2], "data": "a/b.yaml", "nothing": None}
        run = self._log.start("first run", parameters, {"commit": "abc", "Straße": "摄像头"}, at=_BEGAN)
        self._log.metrics(run, {"loss": 2.0, "val/mAP": 0.25}, 0, at=_BEGAN + 1)
        self._log.metrics(run, {"loss": 1.0, "val/mAP": 0.5}, 1, at=_BEGAN + 2)
        self._log.finish(run, RunState.FINISHED, at=_BEGAN + 3)
        record = self.record(run)
        assert (record.name, record.state, record.parent) == ("first run", RunState.FINISHED, None)
        assert math.isclose(record.started, _BEGAN, abs_tol=0.01)
        assert math.isclose(record.seconds, 3, abs_tol=0.01)
        assert record.metrics == {"loss": 1.0, "val/mAP": 0.5}
        assert record.parameters == {
            "lr": "0.1", "epochs": "3", "half": "true", "sizes": "[1, 2]", "data": "a/b.yaml", "nothing": "null",
        }  # fmt: skip
        assert record.tags["commit"] == "abc"
        assert "摄像头" in record.tags.values()

    def test_many_steps_at_once_are_the_same_as_one_by_one(self) -> None:
        run = self.begun()
        if isinstance(self._log, TakesMany):
            self._log.many(run, [({"loss": 1 / (step + 1)}, step, time.time()) for step in range(2500)])
            assert math.isclose(self.record(run).metrics["loss"], 1 / 2500, rel_tol=1e-12)

    def test_a_run_that_is_told_again_is_the_same_run(self) -> None:
        key = os.urandom(16).hex()
        first = self.begun(**{RUN_KEY: key})
        again = self.opened().start("small", {"lr": 0.1}, {RUN_KEY: key})
        assert again == first
        for _ in range(2):
            self._log.metrics(first, {"loss": 0.5}, 3, at=_BEGAN)
        assert self.record(first).metrics == {"loss": 0.5}
        assert sum(record.tags.get(RUN_KEY) == key for record in self.opened().runs()) == 1

    def test_a_run_that_belongs_to_another_says_so_by_its_id_or_its_key(self) -> None:
        key = os.urandom(16).hex()
        whole = self.begun("search", **{RUN_KEY: key})
        trials = [self._log.start("trial", {"lr": 1}, {}, parent) for parent in (whole, key)]
        assert {self.record(trial).parent for trial in trials} <= {whole, key}
        assert self.record(trials[0]).parent == whole

    def test_the_newest_run_comes_first(self) -> None:
        runs = [self._log.start(f"run {at}", {}, {}, at=_BEGAN + 100 + at) for at in (1, 3, 2)]
        listed = [record.id for record in self.opened().runs() if record.id in runs]
        assert listed == [runs[1], runs[2], runs[0]]

    def test_every_state_is_kept(self) -> None:
        for state in (RunState.RUNNING, RunState.FAILED, RunState.KILLED):
            run = self.begun(state)
            if state is not RunState.RUNNING:
                self._log.finish(run, state)
            assert self.record(run).state is state

    def test_a_killed_run_is_taken_up_by_the_process_that_goes_on(self) -> None:
        run = self._log.start("small", {}, {PROCESS: "1 2 3 4 5"}, at=time.time() - 60)
        self._log.metrics(run, {"loss": 2.0}, 0)
        self._log.finish(run, RunState.KILLED, at=time.time() - 59.5)
        other = self.opened()
        other.finish(run, RunState.RUNNING)
        other.metrics(run, {"loss": 1.0}, 1)
        record = self.record(run)
        assert (record.state, record.metrics["loss"]) == (RunState.RUNNING, 1.0)
        assert record.seconds > 1
        assert record.tags[PROCESS] == this_process()
        assert goes_on(record.tags[PROCESS])
        other.finish(run, RunState.FINISHED)
        assert self.record(run).state is RunState.FINISHED

    def test_no_name_and_no_number_breaks_it(self) -> None:
        odd = {"mAP@50-95": 0.5, 'Genauigkeit "größer"': 1.0, "a/b c:d": -1e300, "x" * 400: 2.0}
        parameters = {"näme/🙂": "v" * 9000, "": 1} | {f"p{at}": at for at in range(250)}
        run = self._log.start("", parameters, {"t@g": "w" * 9000})
        self._log.metrics(run, odd, 0)
        self._log.metrics(run, {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}, 1)
        record = self.record(run)
        assert record.parameters["p249"] == "249"
        assert 0.5 in record.metrics.values()
        assert record.name

    def test_an_artifact_is_kept_and_one_that_is_not_there_is_named(self) -> None:
        file = self.folder() / "model.txt"
        file.write_text("weights")
        run = self.begun()
        self._log.artifact(run, file)
        self.kept(run, file)
        gone = self.folder() / "gone.txt"
        self.refuses(lambda: self._log.artifact(run, gone), "gone.txt")

    @abstractmethod
    def kept(self, run: str, file: Path) -> None:
        """Assert that the log has the file, in whatever way it keeps files."""

    def test_a_run_that_is_not_there_is_named(self) -> None:
        for run in ("0" * 32, "../../etc/passwd"):
            self.refuses(lambda run=run: self._log.metrics(run, {"loss": 1.0}, 0), run[-8:])  # type: ignore[misc]

    def test_processes_that_write_at_once_lose_nothing_and_wait_for_each_other_unseen(self) -> None:
        if not self.forks:
            return
        folder = self.folder() / "together"  # where nobody has made anything yet
        folder.mkdir()
        told = (self.runlog, str(folder), str(_WRITERS), str(_RUNS_EACH), *self.loaded_first)
        done = subprocess.run([sys.executable, "-c", _TOGETHER, *told], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "locked" not in done.stderr
        made = {record.name: record for record in self.opened(folder).runs()}
        assert set(made) == {f"{writer}-{number}" for writer in range(_WRITERS) for number in range(_RUNS_EACH)}
        for name, record in made.items():
            assert record.state is RunState.FINISHED
            assert record.metrics == {"value": int(name.partition("-")[0]) + 2.0}

    def test_a_recorder_tells_it_everything(self) -> None:
        said: list[str] = []
        folder = self.folder() / "runs" / "recorded"
        recorder = Recorder(self._log, folder, said.append)
        run = recorder.start("recorded", {"data": "s3://me:pw@host/a", "nested": {"deep": 1}}, {"seed": "7"})
        for step in range(20):
            recorder.metrics({"loss": 1 / (step + 1)}, step)
        (folder / "out.txt").write_text("made")
        recorder.artifact(folder / "out.txt")
        recorder.finish(RunState.FINISHED)
        assert said == []
        record = self.record(run)
        assert record.state is RunState.FINISHED
        assert record.metrics == {"loss": 0.05}
        assert record.parameters == {"data": "s3://***@host/a", "nested.deep": "1"}
        assert record.tags["seed"] == "7"
        assert {"python", "machine", "command", PROCESS} <= set(record.tags)
        assert deliver(self.opened(), folder).lines == 0

    def refuses(self, call: Callable[[], Any], named: str) -> None:
        problem = ""
        try:
            call()
        except NotTaken as error:
            problem = error.problem
        assert named in problem
