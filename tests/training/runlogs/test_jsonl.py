"""The log that needs nothing."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from throughline.contracts.errors import InputError
from throughline.contracts.records import RUN_KEY, RunState
from throughline.testing.runlogs import RunLogConformance
from throughline.training.runlogs.jsonl import JsonLines


class TestJsonl(RunLogConformance):
    runlog = "jsonl"

    def kept(self, run: str, file: Path) -> None:
        rows = [json.loads(line) for line in (self.folder() / "runlog" / f"{run}.jsonl").read_text().splitlines()]
        assert rows[-1]["artifact"] == str(file)
        assert len(rows[-1]["sha256"]) == 64


def test_a_line_that_a_kill_tore_is_passed_over(tmp_path: Path) -> None:
    log = JsonLines(tmp_path)
    run = log.start("torn", {}, {})
    log.metrics(run, {"loss": 1.0}, 0)
    path = tmp_path / "runlog" / f"{run}.jsonl"
    os.truncate(path, path.stat().st_size - 5)
    [record] = log.runs()
    assert record.metrics == {}


def test_a_file_that_is_no_run_is_no_run(tmp_path: Path) -> None:
    log = JsonLines(tmp_path)
    run = log.start("one", {}, {})
    (tmp_path / "runlog" / "zeros.jsonl").write_bytes(b"\0" * 100 + b"\n[1]\nnonsense\n\xff\xfe\n")
    assert [record.id for record in log.runs()] == [run]


def test_where_nothing_can_be_written_it_says_so(tmp_path: Path) -> None:
    (tmp_path / "runlog").write_text("in the way")
    with pytest.raises(InputError, match="runlog: cannot write"):
        JsonLines(tmp_path).start("one", {}, {})
    assert list(JsonLines(tmp_path).runs()) == []
    with pytest.raises(InputError, match="no id of a run"):
        JsonLines(tmp_path).finish(".hidden", RunState.FINISHED)


def test_a_start_that_a_kill_tore_is_written_when_it_is_told_again(tmp_path: Path) -> None:
    log = JsonLines(tmp_path)
    run = log.start("torn", {"lr": 0.1}, {RUN_KEY: "key"})
    path = tmp_path / "runlog" / f"{run}.jsonl"
    os.truncate(path, path.stat().st_size - 5)
    assert list(log.runs()) == []
    assert JsonLines(tmp_path).start("torn", {"lr": 0.1}, {RUN_KEY: "key"}) == run
    [record] = log.runs()
    assert (record.name, record.parameters) == ("torn", {"lr": "0.1"})


def test_a_torn_line_takes_nothing_with_it(tmp_path: Path) -> None:
    log = JsonLines(tmp_path)
    run = log.start("torn", {}, {})
    log.metrics(run, {"loss": 1.0}, 0)
    path = tmp_path / "runlog" / f"{run}.jsonl"
    os.truncate(path, path.stat().st_size - 5)
    log.metrics(run, {"loss": 0.5}, 1)
    [record] = log.runs()
    assert record.metrics == {"loss": 0.5}


@pytest.mark.parametrize(
    "line",
    [
        '{"start": 5}',
        '{"at": 1, "start": {}}',
        '{"at": "soon", "start": {"name": "x", "parameters": {}, "tags": {}}}',
        '{"at": 1, "start": {"name": "x", "parameters": [], "tags": {}}}',
        '{"at": 1, "start": {"name": "x", "parameters": {}, "tags": {}}}\n{"at": 2, "state": "odd"}',
        '{"at": 1, "start": {"name": "x", "parameters": {}, "tags": {}}}\n{"metrics": 5}',
    ],
)
def test_lines_that_no_run_of_ours_would_have_hide_no_other_run(tmp_path: Path, line: str) -> None:
    log = JsonLines(tmp_path)
    run = log.start("one", {}, {})
    (tmp_path / "runlog" / "strange.jsonl").write_text(line + "\n")
    (tmp_path / "runlog" / "folder.jsonl").mkdir()
    assert [record.id for record in log.runs()] == [run]
