"""``throughline rollback`` as its users call it."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("mlflow")

from throughline.cli import main
from throughline.models import passport as passports
from throughline.models.artifact import read_artifact
from throughline.testing.stores import small_model


def test_one_command_brings_back_what_was_there_before(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in (1, 2):
        small_model(Path(f"{number}.onnx"), number)
        assert main(["register", f"{number}.onnx", "adds"]) == 0
    assert main(["rollback", "adds"]) == 5
    assert main(["promote", "adds", "1"]) == 0
    assert main(["promote", "adds", "2", "--force", "--reason", "try it"]) == 0
    assert read_artifact("models:/adds@champion").sha256 == passports.digest(Path("2.onnx"))
    capsys.readouterr()
    assert main(["rollback", "adds", "--reason", "it was a try"]) == 0
    assert "models:/adds/1  (before: version 2)" in capsys.readouterr().out
    assert read_artifact("models:/adds@champion").sha256 == passports.digest(Path("1.onnx"))
    assert main(["rollback", "adds"]) == 5
    assert "nothing was there before version 1" in capsys.readouterr().err
