"""``throughline tune``: ranges in, the best recipe and its model out; several processes share the trials."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import throughline
from throughline.contracts.errors import InputError
from throughline.models import passport as passports
from throughline.models.artifact import read_artifact
from throughline.training.folder import steps_of
from throughline.training.recording import run_log
from throughline.training.search import Search, Step, Trying
from throughline.verbs.tune import TuneReport

pytest.importorskip("torch")
pytest.importorskip("optuna")
pytest.importorskip("sqlalchemy")

NETWORKS = Path(__file__).parents[1] / "training"
RECIPE = """trainer: torch_loop
data: rows.npz
model: networks_that_learn:perceptron
epochs: 2
lr: 1e-3 .. 1e-1 log
batch: 8 | 16
seed: 4
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    dice = np.random.default_rng(3)
    x = dice.standard_normal((80, 6)).astype(np.float32)
    np.savez(tmp_path / "rows.npz", x=x, y=(x[:, 0] > 0).astype(np.int64))
    (tmp_path / "networks_that_learn.py").write_text((NETWORKS / "networks_that_learn.py").read_text())
    (tmp_path / "rows.yaml").write_text(RECIPE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_the_best_of_several_objectives_is_kept_with_its_recipe(project: Path) -> None:
    report = throughline.tune(
        Path("rows.yaml"), trials=3, objectives="accuracy, min size_mb", tuner="random", log="jsonl"
    )
    assert isinstance(report, TuneReport)
    assert report.objectives == ("max accuracy", "min size_mb")
    assert report.values["accuracy"] == max(one.values["accuracy"] for one in report.trials)
    assert report.values["size_mb"] == report.model.stat().st_size / 2**20
    assert passports.holds(report.model) is None
    recipe = read_artifact(report.model).passport.steps[0].options["recipe"]
    assert {name: recipe[name] for name in report.best} == {
        name: int(value) if name == "batch" else value for name, value in report.best.items()
    }
    best = throughline.train(report.recipe, name="again", log="jsonl")
    assert best.metrics["accuracy"] == pytest.approx(report.values["accuracy"])
    page = report.report.read_text("utf-8")
    assert page.count("<svg") >= 4
    runs = list(run_log("jsonl").runs())
    (search,) = [one for one in runs if one.name == "rows"]
    assert sorted(one.name for one in runs if one.parent == search.id) == ["rows-0", "rows-1", "rows-2"]


@pytest.mark.parametrize("objectives", [None, "accuracy", "min loss"])
def test_what_ends_a_trial_early_is_the_metric_that_is_wanted(
    project: Path, monkeypatch: pytest.MonkeyPatch, objectives: str | None
) -> None:
    heard: dict[int, list[float]] = {}
    tried = Search._tried

    def listening(self: Search, trial: Any, attempt: Trying, say: Any) -> None:
        def hearing(number: int, taken: Mapping[str, Any], step: Step) -> Mapping[str, float]:
            def told(value: float, at: int) -> None:
                heard.setdefault(number, []).append(value)
                step(value, at)

            return attempt(number, taken, told)

        tried(self, trial, hearing, say)

    monkeypatch.setattr(Search, "_tried", listening)
    report = throughline.tune(Path("rows.yaml"), trials=2, objectives=objectives, tuner="random", log="jsonl")
    name = {"min loss": "loss"}.get(str(objectives), "accuracy")
    for one in report.trials:
        rows = steps_of(project / "runs" / "tune-rows" / "trials" / f"{one.number:04}")
        known = objectives is not None or one.number > 0
        assert heard.get(one.number, []) == ([row[f"val/{name}"] for row in rows] if known else [])


def test_killed_in_a_trial_the_same_command_goes_on_with_it(project: Path) -> None:
    command = [sys.executable, "-m", "throughline.cli", "tune", "rows.yaml", "--log", "jsonl", "--tuner", "random"]
    command += ["--set", "epochs=30", "--set", "batch=8", "--pruner", "none"]
    child = subprocess.Popen(
        [*command, "--trials", "1"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ}
    )
    with child:
        metrics = project / "runs" / "tune-rows" / "trials" / "0000" / "metrics.jsonl"
        while not (metrics.exists() and metrics.stat().st_size):
            with contextlib.suppress(subprocess.TimeoutExpired):
                pytest.fail(f"it ended by itself, with code {child.wait(timeout=0.02)}")
        child.send_signal(signal.SIGKILL)
    before = metrics.read_text()
    report = throughline.tune(
        Path("rows.yaml"), trials=1, tuner="random", log="jsonl", pruner="none", set_=["epochs=30", "batch=8"]
    )
    assert [one.state for one in report.trials] == ["complete"]
    assert metrics.read_text().startswith(before.rpartition("\n")[0])
    assert len(report.trials) == 1


def test_more_processes_make_no_more_trials_than_were_asked_for(project: Path) -> None:
    report = throughline.tune(Path("rows.yaml"), trials=4, tuner="random", workers=2, log="jsonl")
    assert [one.number for one in report.trials] == [0, 1, 2, 3]
    assert {one.state for one in report.trials} <= {"complete", "pruned"}
    assert list(report.values) == ["accuracy"]
    assert "accuracy" in str(report)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"set_": ["lr=0.1", "batch=8"]}, "there is nothing to search"),
        ({"set_": ["lr=1 .. 20"]}, "the range of lr: lr is 20"),
        ({"set_": ["rate=1 .. 20"]}, "has no option 'rate'"),
        ({"trials": 0}, "--trials 0"),
        ({"objectives": "best accuracy"}, "is no objective"),
        ({"objectives": "accuracy, min accuracy"}, "there twice"),
        ({"tuner": "magic"}, "there is no tuner 'magic'"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_trained(project: Path, given: dict[str, object], says: str) -> None:
    with pytest.raises(InputError, match=says):
        throughline.tune(Path("rows.yaml"), log="jsonl", **given)
    assert not (project / "runs" / "tune-rows" / "trials").exists()
