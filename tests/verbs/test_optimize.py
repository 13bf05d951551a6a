"""The search for a faster model: what it says is what it measured, and what was killed goes on."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from throughline.bundled import DETECTOR
from throughline.contracts.errors import InputError
from throughline.evaluation import pace
from throughline.evaluation import search as searching
from throughline.models import passport as passports
from throughline.models.artifact import read_artifact
from throughline.testing.world import World, write_yolo
from throughline.verbs.optimize import OptimizeReport, optimize


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    for file in (DETECTOR, DETECTOR.with_suffix(".passport.json")):
        shutil.copy(file, folder / file.name)
    return folder / DETECTOR.name


@pytest.fixture(scope="module")
def streets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_yolo(World(seed=21), tmp_path_factory.mktemp("data") / "streets", train=8, val=8)


@pytest.fixture(autouse=True)
def _short_measurements(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is tested is not how exact they are."""
    monkeypatch.setattr(pace, "_STRETCH", 0.02)
    monkeypatch.setattr(searching, "_FULL", 2)


def search(model: Path, streets: Path, folder: Path, **options: str) -> OptimizeReport:
    return optimize(
        model, data=str(streets), out=folder, **{"budget": "1s", "max_degradation": "30%", "imgsz": "320", **options}
    )


def test_it_takes_what_it_measured_to_be_fastest_and_goes_on_where_it_was(
    model: Path, streets: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "search"
    first = search(model, streets, folder)
    assert first.baseline.ratio == 1.0
    assert not first.baseline.setting.fitted
    assert len(first.tried) == 1
    assert not first.complete
    assert first.winner is not None, str(first)
    assert first.ratio > 1, "a street in a rectangle is less work than in a square"
    made, source = read_artifact(first.winner), read_artifact(model)
    assert passports.holds(first.winner) is None
    assert made.passport.parent == source.sha256
    step = made.passport.steps[-1]
    assert step.name == "optimize"
    assert step.options["imgsz"] == first.tried[0].setting.imgsz
    (verdict,) = made.passport.evidence
    assert verdict.passed
    assert verdict.checks[-1].name == "mAP50-95, non-inferior"
    page = first.report.read_text("utf-8")
    assert "Everything that was tried" in page
    assert page.count("<svg") == 1
    again = search(model, streets, folder)
    assert len(again.tried) == 2
    assert {one.setting for one in first.tried} < {one.setting for one in again.tried}


@pytest.mark.usefixtures("one_core")
def test_killed_it_goes_on_with_what_it_knew(model: Path, streets: Path, tmp_path: Path) -> None:
    folder = tmp_path / "search"
    asked = ["optimize", str(model), "--data", str(streets), "--out", str(folder), "--imgsz", "320"]
    program = (
        "from throughline.cli import main; from throughline.evaluation import pace, search\n"
        f"pace._STRETCH, search._FULL = 0.02, 2\nmain({[*asked, '--max-degradation', '30%']})"
    )
    child = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True, env={**os.environ})
    assert child.stderr is not None
    with child:
        for line in child.stderr:
            if "note: 1 of" in line:
                break
        child.send_signal(signal.SIGKILL)
    report = search(model, streets, folder)
    assert len(report.tried) == 2, "the one that was told of, and the one that was tried now"
    assert report.winner is not None
    assert {path.name for path in folder.iterdir()} >= {report.winner.name, "report.html", "search.json", "study.log"}


def test_another_question_is_another_search(model: Path, streets: Path, tmp_path: Path) -> None:
    folder = tmp_path / "search"
    folder.mkdir()
    (folder / "search.json").write_text('{"model": "another"}')
    with pytest.raises(InputError, match="holds a search with another model"):
        search(model, streets, folder)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"budget": "soon"}, "is no time"),
        ({"budget": "0s"}, "is no time"),
        ({"latency_target": "fast"}, "is no time"),
        ({"accept": "anything"}, "nothing of that name"),
        ({"imgsz": "640,large"}, "holds what is no size"),
        ({"variants": str(DETECTOR.with_suffix(".safetensors"))}, "is safetensors, read by"),
    ],
)
def test_wrong_usage_is_one_clear_error(
    model: Path, streets: Path, tmp_path: Path, options: dict[str, str], says: str
) -> None:
    with pytest.raises(InputError, match=says):
        search(model, streets, tmp_path / "search", **options)


def test_pictures_that_nobody_labelled_decide_nothing(model: Path, streets: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nobody has said what is on these 8 pictures"):
        search(model, streets.parent / "images" / "val", tmp_path / "search")


@pytest.mark.usefixtures("one_core")
def test_what_was_done_before_the_search_is_in_the_passport_too(streets: Path, tmp_path: Path) -> None:
    weights = tmp_path / "detector.safetensors"
    for suffix in (".safetensors", ".safetensors.passport.json"):
        shutil.copy(DETECTOR.with_suffix(suffix), weights.with_suffix(suffix))
    report = search(weights, streets, tmp_path / "search", class_="throughline.testing.demo_detector:build")
    assert report.winner is not None, str(report)
    passport = read_artifact(report.winner).passport
    assert passport.parent == read_artifact(weights).sha256
    assert [step.name for step in passport.steps if step.name != "train"][:1] == ["to_onnx"]
    first, last = passport.evidence
    assert first.subjects == (passport.parent, last.subjects[0])
    assert last.subjects[1] == passport.sha256
