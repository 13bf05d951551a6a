"""``throughline history`` as its users call it: who, when, why and the evidence; and what was done past the record."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

pytest.importorskip("mlflow")

from throughline.cli import main
from throughline.contracts.verdicts import Check, Verdict
from throughline.evaluation.evidence import write_evidence
from throughline.models import passport as passports
from throughline.registry.stores.mlflow import MlflowStore
from throughline.testing.stores import small_model


@pytest.fixture
def moved(project: Path) -> Path:
    """Two versions, the second promoted on evidence."""
    for number in (1, 2):
        small_model(Path(f"{number}.onnx"), number)
        assert main(["register", f"{number}.onnx", "adds"]) == 0
    verdict = Verdict(
        (passports.digest(Path("1.onnx")), passports.digest(Path("2.onnx"))), (Check("least gain", 0.02, -0.01, True),)
    )
    write_evidence(
        Path("e.json"), verdict, data_sha256="d" * 64, metric="accuracy", sentence="it is 0.04 better: wörtlich"
    )
    assert main(["promote", "adds", "1", "--reason", "the first"]) == 0
    assert main(["promote", "adds", "2", "--evidence", "e.json"]) == 0
    return project


def test_who_when_why_and_on_what_evidence_is_told_the_newest_first(
    moved: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert main(["history", "adds"]) == 0
    said = capsys.readouterr().out
    for part in (
        "2  promote @champion: 1 -> 2",
        "the first",
        "it is 0.04 better: wörtlich",
        "passed  least gain: 0.02",
    ):
        assert part in said
    assert main(["history", "adds", "--json"]) == 0
    body = json.loads(capsys.readouterr().out)
    assert [(move["action"], move["before"], move["after"]) for move in body["moves"]] == [
        ("promote", 1, 2),
        ("promote", None, 1),
    ]
    newest = body["moves"][0]
    assert (newest["metric"], newest["data_sha256"], newest["vouched"]) == ("accuracy", "d" * 64, True)
    assert "@" in newest["who"]
    assert [(row["version"], row["aliases"]) for row in body["versions"]] == [(2, ["champion"]), (1, [])]
    assert body["faults"] == []


def test_what_was_done_past_the_record_and_in_it_is_said_with_exit_code_5(
    moved: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = MlflowStore()
    store._client.set_registered_model_alias("adds", "champion", "1")
    assert main(["history", "adds"]) == 5
    assert (
        "'champion' points to version 1, and the last move written down leads to version 2" in capsys.readouterr().out
    )
    store._client.delete_registered_model_alias("adds", "champion")
    assert main(["history", "adds"]) == 5
    assert "'champion' is gone" in capsys.readouterr().out
    store._client.set_registered_model_alias("adds", "champion", "2")
    assert main(["history", "adds"]) == 0
    key = next(key for key in store._model("adds").tags if key.startswith("throughline.evidence."))
    text = store._model("adds").tags[key]
    store._client.set_registered_model_tag("adds", key, text.replace("0.02", "0.92"))
    assert main(["history", "adds"]) == 5
    assert "the evidence of move 2 was changed after it was written down" in capsys.readouterr().out
    store._client.set_registered_model_tag("adds", key, text)
    store._client.delete_registered_model_tag("adds", "throughline.history.000001")
    assert main(["history", "adds"]) == 5
    assert "move 1 was taken out of the record" in capsys.readouterr().out


def test_a_database_that_cannot_be_written_is_said_and_not_a_fault_of_ours(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{os.devnull}/mlflow.db")
    assert main(["history", "adds"]) in (2, 6)
    assert "fix:" in capsys.readouterr().err
    (project / "broken.db").write_bytes(b"this is no database" * 100)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{project / 'broken.db'}")
    assert main(["history", "adds"]) == 6
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    assert main(["history", "adds"]) == 6
    assert "127.0.0.1:9" in capsys.readouterr().err
