"""Another form of a model: proven and whole beside its passport, or nothing at all."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from throughline.bundled import DETECTOR
from throughline.cli import main
from throughline.contracts.errors import InputError, Unavailable
from throughline.models import passport as passports
from throughline.models.artifact import read_artifact
from throughline.testing.world import World, write_yolo
from throughline.verbs.export import export
from throughline.verbs.inspect import inspect


@pytest.fixture
def model(tmp_path: Path) -> Path:
    for file in (DETECTOR, DETECTOR.with_suffix(".passport.json")):
        shutil.copy(file, tmp_path / file.name)
    return tmp_path / DETECTOR.name


@pytest.fixture(scope="session")
def streets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_yolo(World(seed=21), tmp_path_factory.mktemp("data") / "streets", train=16, val=24)


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.name != "state"}


def test_what_is_written_is_proven_and_knows_where_it_came_from(model: Path) -> None:
    before = files(model.parent)
    report = export(model, to="openvino")
    assert report.exit_code == 0
    assert report.path == model.with_suffix(".xml")
    assert files(model.parent) - before == {"detector.xml", "detector.bin", "detector.xml.passport.json"}
    made, source = read_artifact(report.path), read_artifact(model)
    assert passports.holds(report.path) is None
    assert made.passport.parent == source.sha256
    assert made.labels == source.labels
    assert [step.name for step in made.passport.steps][-2:] == ["simplify", "openvino"]
    (verdict,) = made.passport.evidence
    assert verdict.passed
    assert verdict.subjects == (source.sha256, made.sha256)
    assert "proven" in str(report)
    assert inspect(report.path).decoder == "yolo"


def test_int8_is_calibrated_and_proven_on_labelled_pictures(model: Path, streets: Path) -> None:
    calibration = streets.parent / "images" / "train"
    report = export(model, to="onnx", int8=str(calibration), verify=str(streets), max_degradation="20%")
    assert report.path == model.with_name("detector-int8.onnx"), str(report)
    made = read_artifact(report.path)
    assert made.passport.precision is not None
    assert made.passport.precision.startswith("int8")
    data = next(step for step in made.passport.steps if step.name == "data")
    assert data.options["calibration"]["pictures"] == 16
    assert data.options["proof"]["pictures"] == 24
    assert any(check.name.startswith("task metric") for check in made.passport.evidence[0].checks)


def test_what_fails_its_proof_is_not_kept(model: Path, streets: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = files(model.parent)
    calibration = streets.parent / "images" / "train"
    asked = ["--int8", str(calibration), "--verify", str(streets), "--max-degradation", "0.00001"]
    assert main(["export", str(model), "--to", "onnx", *asked, "--json"]) == 5
    told = json.loads(capsys.readouterr().out)
    assert told["path"] is None
    assert told["verdict"]["checks"] != []
    assert files(model.parent) == before


def test_pictures_that_both_calibrate_and_prove_are_told_of(model: Path, streets: Path) -> None:
    report = export(model, to="openvino", int8=str(streets), verify=str(streets), max_degradation="20%")
    assert any("in both the calibration and the proof" in note for note in report.notes)


def test_an_engine_that_cannot_be_run_here_is_kept_only_if_that_is_accepted(model: Path) -> None:
    before = files(model.parent)
    with pytest.raises(Unavailable, match="cannot run what --to tensorrt_rtx makes"):
        export(model, to="tensorrt_rtx", capability="8.9")
    assert files(model.parent) == before
    report = export(model, to="tensorrt_rtx", capability="8.9", accept="unrun")
    assert report.path == model.with_suffix(".engine")
    checks = read_artifact(report.path).passport.evidence[0].checks
    assert any(check.name == "the engine itself" and "not run" in str(check.observed) for check in checks)


def test_a_file_that_is_not_an_export_of_ours_is_left_alone(model: Path) -> None:
    there = model.with_name("mine.onnx")
    shutil.copy(model, there)
    kept = there.read_bytes()
    with pytest.raises(InputError, match="is there already"):
        export(model, to="onnx", out=there)
    with pytest.raises(InputError, match="over the model it is made from"):
        export(model, to="onnx", out=model)
    assert there.read_bytes() == kept


def test_exported_again_it_takes_its_own_place(model: Path) -> None:
    first = export(model, to="onnx", half=True)
    again = export(model, to="onnx", half=True)
    assert first.path == again.path == model.with_name("detector-half.onnx")
    assert passports.holds(again.path) is None


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"to": "coreml"}, "no such format"),
        ({"to": "onnx", "half": True, "int8": "x"}, "both given"),
        ({"to": "onnx", "accept": "anything"}, "nothing of that name"),
        ({"to": "torchscript"}, "cannot become torchscript"),
        ({"to": "pt2", "half": True}, "work on the ONNX graph"),
        ({"to": "onnx", "imgsz": "0x3"}, "is not a size"),
        ({"to": "openvino", "out": Path("model.onnx")}, "ends in .xml"),
    ],
)
def test_wrong_usage_is_one_clear_error_and_writes_nothing(model: Path, options: dict[str, object], says: str) -> None:
    before = files(model.parent)
    with pytest.raises(InputError, match=says):
        export(model, **options)  # type: ignore[arg-type]
    assert files(model.parent) == before
