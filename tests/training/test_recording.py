"""Nothing that happens to a log of runs stops a training, and nothing that was appended is lost."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tracking_server import Tracker, serving

from throughline.contracts.errors import InputError, Unavailable
from throughline.contracts.records import RUN_KEY, NotTaken, RunRecord, RunState
from throughline.training import recording
from throughline.training.delivering import deliver
from throughline.training.record_file import RECORD, RecordFile, rows_of
from throughline.training.recording import Recorder, run_log
from throughline.training.runlogs.jsonl import JsonLines

needs_mlflow = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("mlflow", "sqlalchemy", "alembic"))), reason="MLflow is not installed"
)


class Away:
    """A log that is away, blocked or choosy for as long as somebody says so; behind it a real one."""

    def __init__(self, folder: Path) -> None:
        self.real = JsonLines(folder)
        self.away = self.blocked = False
        self.let_go, self.reached = threading.Event(), threading.Event()
        self.refused: set[int] = set()
        self.calls = self.fails_each = 0

    def __str__(self) -> str:
        return "the log"

    def _here(self) -> None:
        self.reached.set()
        if self.blocked:
            self.let_go.wait()
        self.calls += 1
        if self.away or (self.fails_each and self.calls % self.fails_each == 0):
            raise ConnectionError("no route to host")

    def start(self, *told: Any, **when: Any) -> str:
        self._here()
        return self.real.start(*told, **when)

    def metrics(self, run: str, values: Mapping[str, float], step: int, *, at: float | None = None) -> None:
        self._here()
        if step in self.refused:
            raise NotTaken(f"step {step} is not liked")
        self.real.metrics(run, values, step, at=at)

    def artifact(self, run: str, path: Path) -> None:
        self._here()
        self.real.artifact(run, path)

    def finish(self, run: str, state: RunState, *, at: float | None = None) -> None:
        self._here()
        self.real.finish(run, state, at=at)

    def runs(self) -> Iterator[RunRecord]:
        return self.real.runs()

    def steps(self) -> list[int]:
        [path] = (self.real._folder).glob("*.jsonl")
        return [row["step"] for row in rows_of(path) if "metrics" in row]


@pytest.fixture
def log(tmp_path: Path) -> Away:
    return Away(tmp_path)


@pytest.fixture
def said() -> list[str]:
    return []


def test_a_log_that_is_away_is_told_when_it_is_back(log: Away, tmp_path: Path, said: list[str]) -> None:
    log.away = True
    recorder = Recorder(log, tmp_path / "run", said.append)
    key = recorder.start("one", {"lr": 1}, {})
    for step in range(50):
        recorder.metrics({"loss": 1.0}, step)
    assert said == [
        f"the log fails: no route to host; training goes on, and all of it is kept in {tmp_path}/run/record.jsonl"
    ]
    log.away = False
    recorder.finish(RunState.FINISHED)
    assert said[1:] == ["the log answers again, and has been told everything since"]
    [record] = log.runs()
    assert (record.id, record.state, record.tags[RUN_KEY]) == (key, RunState.FINISHED, key)
    assert log.steps() == list(range(50))


@pytest.mark.parametrize("each", [2, 3, 7])
def test_a_log_that_fails_now_and_then_hears_everything_in_order(
    log: Away, tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch, each: int
) -> None:
    monkeypatch.setattr(recording, "_BREATH", 0.001)
    monkeypatch.setattr(recording, "_LONGEST_PAUSE", 0.001)
    log.fails_each = each
    recorder = Recorder(log, tmp_path / "run", said.append)
    recorder.start("one", {}, {})
    for step in range(30):
        log.reached.clear()
        recorder.metrics({"loss": 1.0}, step)
        recorder._woken.set()
        log.reached.wait()
    recorder.finish(RunState.FINISHED)
    assert log.steps() == list(range(30))
    assert [record.state for record in log.runs()] == [RunState.FINISHED]
    assert sum("fails" in text for text in said) == sum("answers again" in text for text in said) > 0


def test_a_log_that_never_comes_back_costs_the_end_no_more_than_its_patience(
    log: Away, tmp_path: Path, said: list[str]
) -> None:
    log.away = True
    recorder = Recorder(log, tmp_path / "run", said.append, patience=0.05)
    recorder.start("one", {}, {})
    recorder.metrics({"loss": 1.0}, 0)
    recorder.finish(RunState.FINISHED)
    recorder.finish(RunState.FAILED)
    assert said[1].startswith("the log has not been told 3 lines of this run")
    assert said[1].endswith(f"throughline runs --deliver {tmp_path / 'run'}")
    recorder._thread.join()  # type: ignore[union-attr]
    with pytest.raises(Unavailable, match="no route to host; 3 lines are left"):
        deliver(log, tmp_path / "run")
    log.away = False
    told = deliver(log, tmp_path / "run")
    assert (told.lines, told.refused) == (3, ())
    [record] = log.runs()
    assert (record.id, record.state) == (told.run, RunState.FINISHED)
    assert deliver(log, tmp_path / "run").lines == 0


def test_a_log_that_hangs_takes_less_than_a_millisecond_of_a_step(log: Away, tmp_path: Path, said: list[str]) -> None:
    log.blocked = True
    recorder = Recorder(log, tmp_path / "run", said.append, patience=0.05)
    recorder.start("one", {}, {})
    log.reached.wait()
    values = {f"metric {number}": 0.5 for number in range(10)}
    began = time.perf_counter()
    for step in range(2000):
        recorder.metrics(values, step)
    assert time.perf_counter() - began < 2
    began = time.perf_counter()
    recorder.finish(RunState.FINISHED)
    assert time.perf_counter() - began < 2
    assert "has not been told 2002 lines" in said[-1]
    log.let_go.set()
    recorder._thread.join()  # type: ignore[union-attr]
    assert deliver(log, tmp_path / "run").run == log.real._path(recorder._key).stem


def test_a_log_is_waited_for_in_vain_only_once(
    log: Away, tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "_PATIENCE_AGAIN", 0.01)
    log.blocked = True
    began = time.perf_counter()
    for number in range(20):
        recorder = Recorder(log, tmp_path / f"run{number}", said.append, patience=1)
        recorder.start("one", {}, {})
        recorder.finish(RunState.FINISHED)
    assert time.perf_counter() - began < 10
    log.let_go.set()
    until(lambda: str(log) not in recording._silent)


def test_it_is_said_that_a_log_is_slow(
    log: Away, tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "_UNUSUAL", 0.0)
    log.blocked = True
    recorder = Recorder(log, tmp_path / "run", said.append, patience=0.01)
    recorder.start("one", {}, {})
    log.reached.wait()
    for step in range(3):
        recorder.metrics({"loss": 1.0}, step)
    assert [text for text in said if "has not answered for" in text] == said
    assert len(said) == 1
    log.let_go.set()
    recorder._patience = 30
    recorder.finish(RunState.FINISHED)


def test_what_a_log_does_not_take_is_said_and_passed_over(log: Away, tmp_path: Path, said: list[str]) -> None:
    log.refused = {3, 5}
    recorder = Recorder(log, tmp_path / "run", said.append)
    recorder.start("one", {}, {})
    for step in range(8):
        recorder.metrics({"loss": 1.0, "note": "great"}, step)  # type: ignore[dict-item]
    recorder.artifact(tmp_path / "gone.txt")
    recorder.finish(RunState.FINISHED)
    assert log.steps() == [0, 1, 2, 4, 6, 7]
    assert said[0] == "the metric 'note' is 'great', which is no number: it is passed over"
    assert said[1].startswith("the log does not take a line of this run: step 3 is not liked")
    assert len(said) == 2
    assert next(iter(log.runs())).state is RunState.FINISHED


def test_a_run_that_goes_on_is_the_same_run(log: Away, tmp_path: Path, said: list[str]) -> None:
    ids = []
    for sitting in range(2):
        recorder = Recorder(log, tmp_path / "run", said.append)
        ids.append(recorder.start("one", {}, {}))
        recorder.metrics({"loss": 1.0}, sitting)
        recorder.finish(RunState.FINISHED if sitting else RunState.KILLED)
        recorder._thread.join()  # type: ignore[union-attr]
    assert ids[0] == ids[1]
    [record] = log.runs()
    assert record.state is RunState.FINISHED
    assert log.steps() == [0, 1]


def test_another_log_is_told_from_the_beginning(log: Away, tmp_path: Path, said: list[str]) -> None:
    recorder = Recorder(log, tmp_path / "run", said.append)
    run = recorder.start("one", {}, {})
    recorder.metrics({"loss": 1.0}, 0)
    recorder.finish(RunState.FINISHED)
    recorder._thread.join()  # type: ignore[union-attr]
    other = JsonLines(tmp_path / "elsewhere")
    assert deliver(other, tmp_path / "run").lines == 3
    assert [(record.id, record.metrics) for record in other.runs()] == [(run, {"loss": 1.0})]


def test_two_recorders_of_one_folder_are_one_too_many(log: Away, tmp_path: Path, said: list[str]) -> None:
    first = Recorder(log, tmp_path / "run", said.append)
    for who in (lambda: Recorder(log, tmp_path / "run", said.append), lambda: deliver(log, tmp_path / "run")):
        with pytest.raises(InputError, match="another process is recording there"):
            who()
    first.start("one", {}, {})
    first.finish(RunState.FINISHED)


def test_a_folder_without_a_record_is_named(log: Away, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no record\.jsonl"):
        deliver(log, tmp_path)
    (tmp_path / RECORD).write_text("nonsense\n")
    with pytest.raises(InputError, match="does not say how its run began"):
        deliver(log, tmp_path)


def test_the_machine_is_sampled_in_the_same_thread(
    log: Away, tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "_SAMPLED_EACH", 0.0)
    recorder = Recorder(log, tmp_path / "run", said.append)
    recorder.start("one", {}, {})
    log.reached.clear()
    recorder._woken.set()
    log.reached.wait()
    recorder.finish(RunState.FINISHED)
    [record] = log.runs()
    assert record.metrics["system/system_memory_usage_megabytes"] > 0
    assert 0 <= record.metrics["system/cpu_utilization_percentage"] <= 100


_FOREVER = """
import itertools, sys
from pathlib import Path
from throughline.training.recording import Recorder, run_log
folder = Path(sys.argv[1])
recorder = Recorder(run_log("jsonl", folder), folder / "run", print)
print(recorder.start("killed", {"lr": 1}, {}), flush=True)
for step in itertools.count():
    recorder.metrics({"loss": 1 / (step + 1)}, step)
    print(step, flush=True)
"""


def test_a_kill_loses_nothing_that_was_appended(tmp_path: Path) -> None:
    running = subprocess.Popen([sys.executable, "-c", _FOREVER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert running.stdout is not None
    run = running.stdout.readline().strip()
    steps = [running.stdout.readline() for _ in range(500)]
    running.send_signal(signal.SIGKILL)
    last = int([*steps, *running.stdout.read().splitlines()][-1])
    running.wait()
    running.stdout.close()
    assert {row["step"] for row in rows_of(tmp_path / "run" / RECORD) if "metrics" in row} >= set(range(last + 1))
    with (tmp_path / "run" / RECORD).open("ab") as file:
        file.write(b'{"at": 1, "metr')  # as a kill in the middle of a write would leave it
    log = run_log("jsonl", tmp_path)
    told = deliver(log, tmp_path / "run")
    [record] = log.runs()
    assert (record.id, record.state) == (run, RunState.KILLED) == (told.run, record.state)
    assert record.metrics["loss"] <= 1 / (last + 1)


_DISK_FULL = """
import resource, sys
from pathlib import Path
from throughline.contracts.records import RunState
from throughline.training.recording import Recorder, run_log
folder = Path(sys.argv[1])
recorder = Recorder(run_log("jsonl", folder), folder / "run", print, patience=60)
recorder.start("full", {}, {})
_, most = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, most))
for step in range(1000):
    recorder.metrics({"loss": step}, step)
resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
recorder.metrics({"loss": 1000}, 1000)
recorder.finish(RunState.FINISHED)
"""


def test_where_the_disk_is_full_the_lines_wait_in_memory(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", _DISK_FULL, str(tmp_path)], capture_output=True, text=True, check=True)
    assert "record.jsonl: cannot write: File too large; training goes on, held in memory" in done.stdout
    assert "has not been told" not in done.stdout
    steps = [row["step"] for row in rows_of(tmp_path / "run" / RECORD) if "metrics" in row]
    assert steps == list(range(1001))
    [path] = (tmp_path / "runlog").glob("*.jsonl")
    assert sorted({row["step"] for row in rows_of(path) if "metrics" in row}) == list(range(1001))


def test_lines_that_never_found_room_are_counted(
    log: Away, tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = Recorder(log, tmp_path / "run", said.append)
    recorder.start("one", {}, {})

    def pwrite(handle: int, data: bytes, at: int) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(recording.os, "pwrite", pwrite)
    recorder.metrics({"loss": 1.0}, 0)
    recorder.finish(RunState.FINISHED)
    path = tmp_path / "run" / RECORD
    assert said == [
        f"{path}: cannot write: No space left on device; training goes on, held in memory",
        f"{path}: 2 lines found no room on the disk, and are lost with this process",
    ]
    assert [(record.state, record.metrics) for record in log.runs()] == [(RunState.FINISHED, {"loss": 1.0})]


def test_a_listener_that_has_left_stops_nothing(log: Away, tmp_path: Path) -> None:
    def say(text: str) -> None:
        raise BrokenPipeError

    log.away = True
    recorder = Recorder(log, tmp_path / "run", say)
    recorder.start("one", {}, {})
    log.away = False
    recorder.finish(RunState.FINISHED)
    assert [record.state for record in log.runs()] == [RunState.FINISHED]


@settings(max_examples=40)
@given(texts=st.lists(st.text(max_size=20), min_size=1, max_size=6), cut=st.integers(0, 400), heard=st.integers(0, 6))
def test_wherever_a_record_is_cut_off_it_goes_on_with_its_whole_lines(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], cut: int, heard: int
) -> None:
    folder = tmp_path_factory.mktemp("cut")
    file = RecordFile(folder)
    file.told_to("a log")
    for text in texts:
        file.append({"text": text})
    if lines := file.pending()[:heard]:
        file.told(lines, "run")
    file.close()
    size = (folder / RECORD).stat().st_size
    os.truncate(folder / RECORD, min(cut, size))
    whole = (folder / RECORD).read_bytes().count(b"\n")
    again = RecordFile(folder)
    again.told_to("a log")
    again.append({"text": "after"})
    left = [line.row["text"] for line in again.pending()]
    expected = [*texts[:whole], "after"]
    assert [row["text"] for row in rows_of(folder / RECORD)] == expected
    assert left == expected[len(expected) - len(left) :]
    assert left[-1] == "after"
    assert len(left) == len(expected) - (len(lines) if len(lines) <= whole else 0)
    again.close()


def test_lines_in_memory_are_told_in_order_and_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = RecordFile(tmp_path)
    file.told_to("a log")
    file.append({"n": 0})
    real, full = recording.os.pwrite, True

    def pwrite(handle: int, data: bytes, at: int) -> int:
        if full:
            real(handle, data[:3], at)
            raise OSError(28, "No space left on device")
        return real(handle, data, at)

    monkeypatch.setattr(recording.os, "pwrite", pwrite)
    heard = []

    def hear() -> None:
        while lines := file.pending():
            heard.extend(line.row["n"] for line in lines)
            file.told(lines, "run")

    assert str(file.append({"n": 1})).startswith("[Errno 28]")
    file.append({"n": 2})
    assert file.waiting() == 3
    hear()
    file.append({"n": 3})
    full = False
    file.append({"n": 4})
    hear()
    assert heard == [0, 1, 2, 3, 4]
    assert [row["n"] for row in rows_of(tmp_path / RECORD)] == [0, 1, 2, 3, 4]
    file.close()


@needs_mlflow
def test_an_mlflow_server_may_refuse_break_and_hang_meanwhile(
    tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tracker = Tracker(str(tmp_path / "artifacts"))
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setattr(recording, "_BREATH", 0.01)
    monkeypatch.setattr(recording, "_LONGEST_PAUSE", 0.05)
    with serving(tracker) as port:
        pass
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")  # nobody is there
    recorder = Recorder(run_log("mlflow", tmp_path), tmp_path / "run", said.append)
    key = recorder.start("afar", {"lr": 0.1}, {"seed": "1"})
    recorder.metrics({"loss": 3.0}, 0)
    assert f"mlflow at http://127.0.0.1:{port} fails: [Errno 111] Connection refused; training goes on" in said[0]
    with serving(tracker, port):
        until(lambda: any("answers again" in text for text in said))
        assert key in {tag["value"] for run in tracker.runs.values() for tag in run["data"]["tags"]}
        tracker.behaves = "broken"
        recorder.metrics({"loss": 2.0}, 1)
        until(lambda: sum("fails" in text for text in said) == 2)
        tracker.behaves = "hangs"
        recorder.metrics({"loss": 1.0}, 2)
    with serving(tracker, port):
        tracker.behaves = "up"
        (tmp_path / "run" / "model.txt").write_text("weights")
        recorder.artifact(tmp_path / "run" / "model.txt")
        recorder.finish(RunState.FINISHED)
    [run] = tracker.runs.values()
    assert run["info"]["status"] == "FINISHED"
    assert sorted((one["step"], one["value"]) for one in run["data"]["metrics"]) == [(0, 3.0), (1, 2.0), (2, 1.0)]
    assert [path.name for path in (tmp_path / "artifacts").rglob("*.txt")] == ["model.txt"]
    assert json.loads((tmp_path / "run" / "record.told.json").read_text())["run"] == run["info"]["run_id"]
    assert not any("has not been told" in text for text in said)
    assert capsys.readouterr().out == ""


@needs_mlflow
def test_a_database_that_is_none_stops_nothing(
    tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "mlflow.db").write_bytes(b"this is no database\n" * 100)
    recorder = Recorder(run_log("mlflow", tmp_path), tmp_path / "run", said.append, patience=20)
    recorder.start("one", {}, {})
    recorder.metrics({"loss": 1.0}, 0)
    recorder._patience = 0.05
    recorder.finish(RunState.FINISHED)
    assert "not a database" in said[0]
    assert "has not been told 3 lines" in said[1]


def until(true: Any) -> None:
    waits = threading.Event()
    for _ in range(3000):
        if true():
            return
        waits.wait(0.01)
    raise AssertionError("it never came to that")
