"""``throughline register`` as its users call it, and its names wherever a model is accepted."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("mlflow")

from throughline.bundled import DETECTOR
from throughline.cli import main
from throughline.models.session import open_model
from throughline.testing.stores import small_model


def test_a_model_is_registered_once_and_stays_what_it_is(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small_model(Path("model.onnx"), 2)
    assert main(["register", "model.onnx", "adds"]) == 0
    assert "models:/adds/1" in capsys.readouterr().out
    assert main(["register", "model.onnx", "adds", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["version"], said["new"], said["uri"]) == (1, False, "models:/adds/1")
    assert said["registry"] == str(project / "mlflow.db")
    small_model(Path("model.onnx"), 3)
    assert main(["register", "model.onnx", "adds", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["version"] == 2
    with open_model("models:/adds/1") as session:
        assert np.array_equal(session.predict({"x": np.zeros((1, 3), np.float32)})["y"], np.full((1, 3), 2.0))


def test_its_name_stands_wherever_a_model_does(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for suffix in (".onnx", ".passport.json"):
        shutil.copy(DETECTOR.with_suffix(suffix), f"detector{suffix}")
    assert main(["register", "detector.onnx", "street"]) == 0
    assert main(["promote", "street", "1"]) == 0
    capsys.readouterr()
    assert main(["inspect", "models:/street@champion", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["sha256"] in Path("detector.passport.json").read_text()
    assert said["task"] == "detect"
    small_model(Path("model.onnx"))
    assert main(["register", "model.onnx", "adds"]) == 0
    assert main(["export", "models:/adds/1", "--to", "openvino"]) == 0
    assert Path("model.xml").exists(), "what is made of a registered model lies where its user is"


@pytest.mark.parametrize("name", ["a/b", "", "models:/x", "x'y"])
def test_a_name_that_cannot_be_one_is_refused_before_anything_is_read(name: str, project: Path) -> None:
    assert main(["register", "missing.onnx", name]) == 2


def test_looking_for_a_name_makes_no_registry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for words in (["inspect", "models:/adds@champion"], ["history", "adds"], ["promote", "adds", "1"]):
        assert main(words) == 2
        assert "there is no registry" in capsys.readouterr().err
    assert not list(tmp_path.glob("mlflow*"))


def test_what_is_not_registered_is_said_with_what_is(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small_model(Path("model.onnx"))
    assert main(["register", "model.onnx", "adds"]) == 0
    for said in ("models:/ads@champion", "models:/adds@champion", "models:/adds/9", "models:/ads/latest"):
        assert main(["inspect", said]) == 2
        assert "throughline" in capsys.readouterr().err
