"""The runs that were written down, as people see them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from throughline.cli import main
from throughline.contracts.errors import InputError, Unavailable
from throughline.contracts.records import RunState
from throughline.training.circumstances import PROCESS, this_process
from throughline.training.recording import Recorder
from throughline.training.runlogs.jsonl import JsonLines
from throughline.verbs.runs import RunDetail, RunsCompared, RunsReport, runs

_AT = 1_700_000_000.0


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> JsonLines:
    monkeypatch.chdir(tmp_path)
    return JsonLines(tmp_path)


def written(log: JsonLines, name: str, at: float = 0.0, parent: str | None = None, **metrics: float) -> str:
    told = {"lr": metrics.get("lr", 0.1), "epochs": 3}
    run = log.start(name, told, {"commit": name, PROCESS: this_process()}, parent, at=_AT + at)
    log.metrics(run, {key: value for key, value in metrics.items() if key != "lr"}, 1, at=_AT + at + 1)
    log.finish(run, RunState.FINISHED, at=_AT + at + 90)
    return run


def listed(**told: object) -> RunsReport:
    report = runs(log="jsonl", **told)  # type: ignore[arg-type]
    assert isinstance(report, RunsReport)
    return report


def test_where_there_are_no_runs_it_says_so(log: JsonLines, tmp_path: Path) -> None:
    assert str(listed()) == f"no runs yet: jsonl in {tmp_path}/runlog"


def test_runs_are_listed_newest_first_with_the_metrics_that_they_share(log: JsonLines) -> None:
    written(log, "old", 0, loss=1.0, rare=5.0)
    written(log, "new", 500, loss=0.5)
    report = listed()
    assert [row.name for row in report.runs] == ["new", "old"]
    assert report.shown == ("loss", "rare")
    head, first, second = str(report).splitlines()
    assert head.split() == ["id", "name", "state", "began", "took", "loss", "rare"]
    assert first.split()[1:3] == ["new", "finished"]
    assert "1 min 30 s" in first
    assert second.split()[-2:] == ["1.0000", "5.0000"]


def test_the_list_has_a_limit_and_says_what_it_leaves_out(log: JsonLines) -> None:
    for number in range(5):
        written(log, f"run{number}", number)
    report = listed(limit=2)
    assert ([row.name for row in report.runs], report.more) == (["run4", "run3"], 3)
    assert str(report).endswith("3 older: --limit 5 shows all")
    with pytest.raises(InputError, match="--limit is 0"):
        listed(limit=0)


def test_a_metric_that_is_asked_for_is_shown_and_one_that_is_not_there_is_named(log: JsonLines) -> None:
    written(log, "one", loss=1.0, accuracy=0.5)
    assert listed(metric=["accuracy"]).shown == ("accuracy",)
    with pytest.raises(InputError, match="none of these runs has a metric 'acuracy'") as caught:
        listed(metric=["acuracy"])
    assert "did you mean 'accuracy'?" in caught.value.fix


def test_trials_are_counted_at_their_search_and_shown_with_it(log: JsonLines) -> None:
    search = written(log, "search", 0)
    for number in range(3):
        written(log, f"trial{number}", number + 1, search, value=number / 2)
    report = listed()
    assert [(row.name, row.trials) for row in report.runs] == [("search", 3)]
    assert str(report).splitlines()[0].split()[-1] == "trials"
    detail = runs("search", log="jsonl")
    assert isinstance(detail, RunDetail)
    assert [row.name for row in detail.trials] == ["trial2", "trial1", "trial0"]
    assert detail.shown == ("value",)
    trial = runs("trial1", log="jsonl")
    assert isinstance(trial, RunDetail)
    assert trial.parent == search
    assert f"part of  {search}" in str(trial)


def test_a_run_whose_process_is_gone_was_killed(log: JsonLines) -> None:
    log.start("alive", {}, {PROCESS: this_process()})
    ended = subprocess.run(
        [sys.executable, "-c", "from throughline.training.circumstances import *; print(this_process())"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    log.start("dead", {}, {PROCESS: ended.stdout.strip()})
    rows = {row.name: row for row in listed().runs}
    assert (rows["alive"].state, rows["dead"].state) == ("running", "killed")
    assert rows["dead"].seconds is None


def test_a_run_is_found_by_name_by_id_and_by_the_beginning_of_its_id(log: JsonLines) -> None:
    run = written(log, "only", loss=1.0)
    for which in ("only", run, run[:8]):
        found = runs(which, log="jsonl")
        assert isinstance(found, RunDetail)
        assert found.run.id == run
    with pytest.raises(InputError, match="there is no run 'onli'") as caught:
        runs("onli", log="jsonl")
    assert "did you mean 'only'?" in caught.value.fix
    again = written(log, "only")
    with pytest.raises(InputError, match="2 runs are called 'only'") as caught:
        runs("only", log="jsonl")
    assert run[:8] in caught.value.fix
    assert again[:8] in caught.value.fix


def test_runs_side_by_side_show_what_differs(log: JsonLines) -> None:
    written(log, "a", 0, lr=0.1, loss=1.0, accuracy=0.5)
    written(log, "b", 1, lr=0.2, loss=0.25)
    written(log, "c", 2, lr=0.1, loss=0.5, accuracy=0.75)
    both = runs("a", "b", log="jsonl")
    assert isinstance(both, RunsCompared)
    assert [(one.name, one.values) for one in both.parameters] == [("lr", ("0.1", "0.2"))]
    assert [(one.name, one.values) for one in both.origins] == [("commit", ("a", "b"))]
    metrics = {row.name: (row.values, row.differences) for row in both.metrics}
    assert metrics == {"accuracy": ((0.5, None), (0.0, None)), "loss": ((1.0, 0.25), (0.0, -0.75))}
    assert "-0.7500" in str(both)
    three = runs("c", "a", "b", log="jsonl", metric=["loss"])
    assert isinstance(three, RunsCompared)
    assert [row.differences for row in three.metrics] == [(0.0, 0.5, -0.25)]
    assert "+0.5000" in str(three)
    same = runs("a", "a", log="jsonl")
    assert "the parameters are the same" in str(same)


def test_programs_are_told_in_json(log: JsonLines, capsys: pytest.CaptureFixture[str]) -> None:
    run = written(log, "one", loss=1.0)
    assert main(["runs", "--log", "jsonl", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["runs"][0] == {
        "id": run, "name": "one", "state": "finished", "started": _AT, "seconds": 90.0, "metrics": {"loss": 1.0},
        "trials": 0,
    }  # fmt: skip
    assert main(["runs", "one", "one", "--log", "jsonl", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["metrics"][0]["differences"] == [0.0, 0.0]


def test_a_run_whose_log_was_away_is_delivered(
    log: JsonLines, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recorder = Recorder(JsonLines(tmp_path / "elsewhere"), tmp_path / "run", print)
    run = recorder.start("late", {}, {})
    recorder.metrics({"loss": 1.0}, 0)
    recorder.finish(RunState.FINISHED)
    for told in ("3 lines", "nothing was left to tell"):
        assert main(["runs", "--deliver", "run", "--log", "jsonl"]) == 0
        assert told in capsys.readouterr().out
    assert [row.id for row in listed().runs] == [run]
    with pytest.raises(InputError, match="--deliver beside late"):
        runs("late", log="jsonl", deliver=Path("run"))


def test_a_log_that_there_is_not_is_named(log: JsonLines) -> None:
    with pytest.raises(InputError, match="there is no run log 'mlfow'") as caught:
        runs(log="mlfow")
    assert "did you mean 'mlflow'?" in caught.value.fix


def test_a_log_that_does_not_answer_is_named(log: JsonLines, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: JsonLines) -> object:
        raise ConnectionError("no route to host")

    monkeypatch.setattr(JsonLines, "runs", broken)
    with pytest.raises(Unavailable, match=r"jsonl in .*runlog fails: no route to host"):
        runs(log="jsonl")
