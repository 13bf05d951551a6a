"""``throughline verify`` as its users call it: the exit code, the passport, the page and the repair."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

sys.path.append(str(Path(__file__).parents[1] / "faults"))

import architectures
from edits import carried, edited, set_weights

from throughline.cli import main
from throughline.contracts.errors import InputError
from throughline.models import passport as passports
from throughline.models.transforms import TRANSFORMS
from throughline.verbs.verify import verify


@pytest.fixture
def pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """A model, and the same under another name."""
    monkeypatch.chdir(tmp_path)
    reference = architectures.classifier(tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    return reference.path, edited(reference, other, lambda model: None).path


def test_the_same_model_is_proven_and_its_passport_says_so(
    pair: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", *map(str, pair), "--asked", "float32", "--out", "report"]) == 0
    said = capsys.readouterr().out
    assert "proven" in said
    assert Path("report/report.html").exists()
    known = passports.read(pair[1])
    assert known is not None
    assert [verdict.passed for verdict in known.evidence] == [True]
    assert known.evidence[0].subjects == (passports.digest(pair[0]), passports.digest(pair[1]))
    assert passports.holds(pair[1]) is None
    assert main(["verify", *map(str, pair), "--out", "report"]) == 0
    again = passports.read(pair[1])
    assert again is not None
    assert len(again.evidence) == 1  # a newer verdict about the same two files takes the older one's place


def test_another_model_fails_with_exit_code_5_and_its_passport_says_that_too(
    pair: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    model = onnx.load(pair[1])
    set_weights(model, "block1.conv1.weight", lambda w: w * 0)
    onnx.save(model, pair[1])
    passports.path_of(pair[1]).unlink()
    carried(pair[1], architectures.read_artifact(pair[0]))
    assert main(["verify", *map(str, pair), "--json", "--out", "report"]) == 5
    report = json.loads(capsys.readouterr().out)
    assert report["parting"]["layer"] == "block1.conv1"
    known = passports.read(pair[1])
    assert known is not None
    assert [verdict.passed for verdict in known.evidence] == [False]


def test_named_arrays_are_read_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    model = architectures.recurrent(tmp_path)
    shutil.copy(model.path, tmp_path / "copy.onnx")
    np.savez(tmp_path / "rows.npz", series=np.random.default_rng(0).normal(0, 1, (6, 12, 8)).astype(np.float32))
    report = verify(model.path, tmp_path / "copy.onnx", data="rows.npz")
    assert report.exit_code == 0
    assert report.inputs == "6 rows of the arrays given"


def test_a_split_without_data_is_refused(pair: tuple[Path, Path]) -> None:
    with pytest.raises(InputError, match="--split 'val' without --data"):
        verify(*pair, split="val")


def test_halves_that_overflow_are_made_anew_and_proven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from planted import saturating_half

    monkeypatch.chdir(tmp_path)
    fault = saturating_half(tmp_path)
    report = verify(fault.reference.path, fault.candidate.path, asked="float16", repair=True)
    assert not report.verdict.passed
    assert report.repaired == fault.candidate.path.with_name("candidate.repaired.onnx")
    assert report.exit_code == 0
    made = passports.read(report.repaired)
    assert made is not None
    assert made.parent == fault.reference.sha256
    assert [verdict.passed for verdict in made.evidence] == [True]
    again = verify(fault.reference.path, report.repaired)
    assert again.verdict.passed


def test_eight_bits_are_made_anew_with_the_layers_kept_that_need_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    known = architectures.perceptron(tmp_path)
    model = onnx.load(known.path)
    # two inputs a thousand times as large as the others, which one scale cannot hold
    set_weights(model, "first.weight", lambda w: np.concatenate([w[:2] / 1000, w[2:]]))
    onnx.save(model, tmp_path / "unlike.onnx")
    reference = carried(tmp_path / "unlike.onnx", known)
    rows = np.random.default_rng(3).normal(0, 1, (48, 16)).astype(np.float32)
    rows[:, :2] *= 1000
    np.savez(tmp_path / "rows.npz", row=rows)

    def feeds() -> object:
        return ({"row": rows[number : number + 1]} for number in range(len(rows)))

    TRANSFORMS.make("int8", reference, tmp_path / "small.onnx", feeds=feeds, sensitive="none")
    candidate = carried(tmp_path / "small.onnx", reference)
    report = verify(reference.path, candidate.path, data="rows.npz", repair=True)
    assert not report.verdict.passed
    assert report.repaired is not None
    assert verify(reference.path, report.repaired, data="rows.npz").verdict.passed
