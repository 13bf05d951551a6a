"""``throughline promote`` as its users call it: the exit codes, and which version a number or a file means."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("mlflow")

from throughline.cli import main
from throughline.contracts.verdicts import Check, Verdict
from throughline.evaluation.evidence import write_evidence
from throughline.models import passport as passports
from throughline.testing.stores import small_model


@pytest.fixture
def two(project: Path) -> Path:
    """Two versions, the first promoted, and the evidence that the second is better."""
    for number in (1, 2):
        small_model(Path(f"{number}.onnx"), number)
        assert main(["register", f"{number}.onnx", "adds"]) == 0
    assert main(["promote", "adds", "1"]) == 0
    return evidence("1.onnx", "2.onnx", True)


def evidence(reference: str, candidate: str, passed: bool) -> Path:
    subjects = (passports.digest(Path(reference)), passports.digest(Path(candidate)))
    verdict = Verdict(subjects, (Check("accuracy: least gain", 0.02, -0.01, passed),))
    path = Path(f"{candidate}.{passed}.json")
    write_evidence(path, verdict, data_sha256="d" * 64, metric="accuracy", sentence="it is 0.04 better")
    return path


def test_a_better_one_is_promoted(two: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert (
        main(["promote", "adds", "2", "--alias", "champion", "--evidence", str(two), "--reason", "the new data"]) == 0
    )
    said = capsys.readouterr().out
    assert "models:/adds/2  (before: version 1)" in said
    assert "it is 0.04 better" in said
    assert "throughline rollback adds --alias champion" in said


def test_a_refusal_has_exit_code_5_and_changes_nothing(two: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for more in ([], ["--evidence", str(evidence("1.onnx", "2.onnx", False))]):
        assert main(["promote", "adds", "2", *more]) == 5
        assert "was not promoted" in capsys.readouterr().err
    assert main(["promote", "adds", "2", "--force"]) == 2
    assert main(["history", "adds", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["moves"]) == 1


def test_a_file_stands_for_its_version(two: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["promote", "adds", "2.onnx", "--evidence", str(two)]) == 0
    small_model(Path("3.onnx"), 3)
    capsys.readouterr()
    assert main(["promote", "adds", "3.onnx"]) == 2
    assert "throughline register 3.onnx adds" in capsys.readouterr().err
    assert main(["promote", "adds", "nothing"]) == 2
    assert main(["promote", "adds", "9"]) == 2
    assert main(["promote", "other", "1"]) == 2
