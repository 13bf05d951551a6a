"""``throughline bench`` as its users call it: what is inside each number, every sample kept, and nothing made up."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from runs import write_clip

sys.path.append(str(Path(__file__).parents[1] / "faults"))

import architectures

from throughline.bundled import DETECTOR
from throughline.cli import main
from throughline.contracts.errors import InputError
from throughline.hardware import cores
from throughline.testing.world import World, write_yolo
from throughline.verbs.bench import BenchReport, bench
from throughline.verbs.evaluate import evaluate

LEVELS = ["engine", "frames", "run"]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def _short_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("throughline.verbs.bench.STRETCH", 0.05)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_clip(tmp_path / "clip.mp4", 40)


def test_two_models_are_measured_at_every_level_and_held_to_each_other(
    blob_model: Path, clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["bench", str(blob_model), "--against", str(blob_model), "--source", str(clip), "--rounds", "6", "--json"]
    assert main([*words, "--device", "cpu", "--threads", "1", "--out", "report"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [(one["level"], one["model"]) for one in told["speeds"]] == [
        (level, name) for level in LEVELS for name in ("blobs.onnx", "blobs.onnx (2)")
    ]
    assert [one["level"] for one in told["compared"]] == LEVELS
    assert not any("not all are given as much" in one for one in told["notes"])
    for one in told["compared"]:
        assert (one["model"], one["other"], one["rounds"]) == ("blobs.onnx (2)", "blobs.onnx", 6)
        assert 0 < one["low"] <= one["ratio"] <= one["high"]
    kept = json.loads(Path(told["samples"]).read_text())
    assert list(kept["levels"]) == LEVELS
    for one in told["speeds"]:
        rounds = kept["levels"][one["level"]]["models"][one["model"]]["rounds"]
        assert len(rounds) == 6
        assert one["samples"] == sum(each["turn"]["samples"] for each in rounds)
        calls = [call for each in rounds for call in each["turn"]["calls"]]
        if one["level"] == "run":
            assert (calls, one["samples"], one["p50_ms"]) == ([], 240, None)
        else:
            assert one["calls"] == len(calls)
            assert one["p50_ms"] == pytest.approx(1000 * np.percentile(calls, 50))
            assert one["p50_ms"] <= one["p95_ms"] <= one["p99_ms"]
        assert one["per_second"] > 0
        assert one["cpu_ms"] > 0
        assert one["peak_mb"] > 10
    page = Path(told["report"]).read_text()
    assert "The model alone" in page
    assert "Decode to sink" in page
    assert page.count("<svg") == 5  # single calls and rounds, and of whole runs the rounds alone
    assert kept["machine"]["libraries"]["onnxruntime"]


def test_one_model_on_two_runtimes(blob_model: Path, clip: Path) -> None:
    both, threads = "onnxruntime,openvino", cores() + 1
    told = bench(blob_model, source=str(clip), backend=both, device="cpu", threads=threads, rounds=1, batch=2)
    assert [one.model for one in told.speeds if one.level == "engine"] == [
        "blobs.onnx on onnxruntime",
        "blobs.onnx on openvino",
    ]
    assert {one.ran_on.partition(" ")[0] for one in told.speeds} == {"onnxruntime", "openvino"}
    assert {one.batch for one in told.speeds} == {2}
    assert all("too few rounds to tell (1)" in str(one) for one in told.compared)
    assert "decode to sink: a whole run" in str(told).lower()
    assert any("stand in each other's way" in one for one in told.notes)
    assert {one.spread for one in told.speeds} == {None}  # of one round there is none
    assert "rounds differ" not in str(told)


def test_a_model_that_takes_no_pictures_is_measured_alone_and_it_says_so(tmp_path: Path) -> None:
    model = architectures.recurrent(tmp_path).path
    told = bench(model, device="cpu", rounds=1)
    assert [one.measured for one in told.speeds] == [True, False, False]
    assert told.source == "seeded inputs: nobody gave real ones"
    assert "not measured: recurrent.onnx: it takes no pictures" in str(told)
    np.savez("rows.npz", series=np.random.default_rng(0).normal(0, 1, (6, 12, 8)).astype(np.float32))
    given = bench(model, source="rows.npz", device="cpu", rounds=1, batch=4)
    assert given.speeds[0].batch == 4
    assert "6 rows of rows.npz" in given.report.read_text()


def test_an_estimator_whose_file_does_not_say_what_it_takes_is_asked_by_its_runtime() -> None:
    import xgboost

    rows = np.random.default_rng(0).normal(size=(50, 8))
    xgboost.XGBClassifier(n_estimators=3).fit(rows, (rows[:, 0] > 0).astype(int)).save_model("trees.ubj")
    told = bench(Path("trees.ubj"), device="cpu", rounds=1)
    assert [one.measured for one in told.speeds] == [True, False, False]
    assert "X float32[1, 8]" in told.report.read_text()
    assert "its file does not say that it takes pictures" in str(told)


def test_a_model_whose_outputs_nobody_can_read_is_measured_alone(blob_model: Path, clip: Path) -> None:
    model = onnx.load(blob_model)
    del model.metadata_props[:]
    onnx.save(model, "mute.onnx")
    for side, size in zip(model.graph.input[0].type.tensor_type.shape.dim[2:], (32, 128), strict=True):
        side.dim_value = size
    onnx.save(model, "wide.onnx")
    told = bench(Path("mute.onnx"), Path("wide.onnx"), source=str(clip), device="cpu", rounds=1)
    assert [one.measured for one in told.speeds] == [True, True, False, False, False, False]
    [note] = [one for one in told.notes if "not all are given as much" in one]
    assert "mute.onnx images float32[1, 3, 64, 64]; wide.onnx images float32[1, 3, 32, 128]" in note
    assert "its outputs do not say how they are read; give --decoder" in str(told)
    assert "images float32[1, 3, 64, 64]" in told.report.read_text()


def test_without_a_source_a_street_is_filmed_and_it_is_said(
    blob_model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("throughline.verbs.bench._STREET_FRAMES", 12)
    told = bench(blob_model, device="cpu", rounds=1)
    assert "a synthetic street filmed for the purpose: 12 frames of 1280x768" in told.source
    assert "no --source: filming 12 frames" in capsys.readouterr().err
    assert any("a whole run lasted" in one for one in told.notes)
    assert _levels(told) == LEVELS


def test_what_cannot_be_measured_is_refused_before_anything_is(blob_model: Path, clip: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no model was given"):
        bench()
    with pytest.raises(InputError, match="--rounds 0"):
        bench(blob_model, rounds=0)
    with pytest.raises(InputError, match="a stream cannot be measured on"):
        bench(blob_model, source="rtsp://camera/1")
    with pytest.raises(InputError, match="takes pictures"):
        bench(blob_model, source="rows.npz")
    with pytest.raises(InputError, match="takes no pictures"):
        bench(architectures.recurrent(tmp_path).path, source=str(clip))
    with pytest.raises(InputError, match="names nothing"):
        bench(blob_model, backend=",")
    with pytest.raises(InputError, match="there is no backend 'nonsense'"):
        bench(blob_model, backend="onnxruntime,nonsense")
    with pytest.raises(InputError, match="there is no decoder 'nonsense'"):
        bench(blob_model, decoder="nonsense")
    assert not Path("runs").exists()


def test_a_source_without_a_frame_is_an_error(blob_model: Path) -> None:
    Path("broken.mp4").write_bytes(b"\0" * 4096)
    assert main(["bench", str(blob_model), "--source", "broken.mp4"]) in (2, 4)
    assert not list(Path("runs").iterdir())


def test_weights_are_measured_with_what_builds_their_network_and_refused_without() -> None:
    weights = DETECTOR.with_suffix(".safetensors")
    with pytest.raises(InputError, match="weights and not the network") as raised:
        bench(weights, device="cpu", rounds=1)
    assert "--class" in raised.value.fix


@pytest.mark.usefixtures("one_core")
def test_weights_are_evaluated_and_run_as_the_file_made_of_them_is(tmp_path: Path) -> None:
    builds = "throughline.testing.demo_detector:build"
    data = str(write_yolo(World(4, 320, 192), tmp_path / "street", train=1, val=3))
    weights, whole = (
        evaluate(model, data=data, imgsz=320, class_=class_, device="cpu", out=tmp_path / "evaluated")
        for model, class_ in ((DETECTOR.with_suffix(".safetensors"), builds), (DETECTOR, None))
    )
    assert weights.figures["mAP50-95"].value == pytest.approx(whole.figures["mAP50-95"].value, abs=1e-3)
    setups = bench(DETECTOR.with_suffix(".safetensors"), device="cpu", rounds=1, class_=builds, out=tmp_path / "bench")
    assert _levels(setups) == ["engine", "frames", "run"]


def _levels(told: BenchReport) -> list[str]:
    return [one.level for one in told.speeds if one.measured]
