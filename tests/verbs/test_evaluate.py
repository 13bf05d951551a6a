"""Evaluating real models on real data sets of every format: figures, notes, the page and the refusals."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from throughline.contracts.errors import InputError
from throughline.data.reading import open_data
from throughline.evaluation.answers import answers
from throughline.evaluation.boxes import score_boxes
from throughline.models.artifact import read_artifact
from throughline.models.session import open_model
from throughline.testing.world import LABELS, World, write_coco, write_mot, write_yolo
from throughline.verbs.evaluate import EvaluateReport, evaluate
from throughline.vision.detector import detector_for

DETECTOR = Path(__file__).parents[2] / "src" / "throughline" / "bundled" / "detector.onnx"
SMALL = World(7, 320, 192)
PICTURES = 8


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("evaluate")
    write_yolo(SMALL, place / "yolo", 1, PICTURES)
    (place / "yolo" / "traits.csv").write_text(
        "file,camera\n" + "".join(f"images/val/{number:06}.png,{'ab'[number % 2]}\n" for number in range(PICTURES))
    )
    return place


@pytest.fixture(scope="module")
def report(folder: Path) -> EvaluateReport:
    return evaluate(
        DETECTOR, data=str(folder / "yolo"), imgsz=320, slices="light,camera", threads=1, out=folder / "out"
    )


def test_its_map_is_that_of_the_boxes_it_finds(folder: Path, report: EvaluateReport) -> None:
    artifact, data = read_artifact(DETECTOR), open_data(folder / "yolo")
    with open_model(DETECTOR, threads=1) as session:
        found = answers(lambda frame: detector_for(artifact, session, frame=frame, imgsz=320, conf=0.001), data)
    scores = score_boxes(found, [sample.truth for sample in data if sample.truth is not None])
    assert 0.1 < scores.map50_95 < 1
    assert report.figures["mAP50-95"].value == pytest.approx(scores.map50_95)
    assert report.figures["mAP50"].value == pytest.approx(scores.map50)
    by_class = {row.name: row.figures["AP50-95"].value for row in report.classes}
    assert by_class == pytest.approx({name: one.ap50_95 for name, one in scores.classes.items()})
    sizes = next(one for one in report.slicings if one.trait == "size")
    assert {one.name: one.figure.value for one in sizes.slices} == pytest.approx(
        {name: one.map50_95 for name, one in scores.sizes.items()}, nan_ok=True
    )


def test_figures_have_intervals_and_slices_their_pictures(report: EvaluateReport) -> None:
    main = report.figures["mAP50-95"]
    assert main.low < main.value < main.high
    assert [one.trait for one in report.slicings] == ["class", "size", "light", "camera"]
    cameras = report.slicings[-1]
    assert [(one.name, one.figure.samples) for one in cameras.slices] == [("a", 4), ("b", 4)]
    assert (report.task, report.pictures, report.data_sha256) == ("detect", PICTURES, report.data_sha256)
    told = str(report)
    for word in ("mAP50-95", "small", "camera", report.data_sha256, str(report.report)):
        assert word in told


def test_the_page_shows_figures_confusion_curves_mistakes_and_what_it_was_measured_on(report: EvaluateReport) -> None:
    page = report.report.read_text()
    for part in ("What was taken for what", "Precision and recall", "For whom it is worse", report.data_sha256):
        assert part in page
    assert "The largest objects that it missed" in page
    assert page.count("data:image/jpeg;base64,") >= 3
    assert [path.name for path in report.report.parent.iterdir()] == ["report.html"]


def test_classes_are_matched_by_name_in_whatever_order(folder: Path, report: EvaluateReport, tmp_path: Path) -> None:
    shutil.copytree(folder / "yolo", tmp_path / "other")
    order = ["truck", "person", "giraffe", "car"]
    (tmp_path / "other" / "data.yaml").write_text(
        "val: images/val\nnames:\n" + "".join(f"  {number}: {name}\n" for number, name in enumerate(order))
    )
    for label in (tmp_path / "other" / "labels" / "val").glob("*.txt"):
        lines = [line.split(" ", 1) for line in label.read_text().splitlines()]
        kept = [(LABELS[int(kind)], rest) for kind, rest in lines if LABELS[int(kind)] in order]
        label.write_text("".join(f"{order.index(name)} {rest}\n" for name, rest in kept))
    again = evaluate(DETECTOR, data=str(tmp_path / "other"), imgsz=320, threads=1, out=tmp_path / "out")
    before = {row.name: row.figures["AP50"].value for row in report.classes}
    assert {row.name for row in again.classes} <= set(order)
    for row in again.classes:
        assert row.figures["AP50"].value == pytest.approx(before[row.name])
    assert "the model does not know giraffe: their objects count as missed" in again.notes
    assert any(note.startswith("the data do not have bicycle, bus, dog") for note in again.notes)


def test_no_common_name_is_refused(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "yolo", tmp_path / "other")
    names = "".join(f"  {number}: thing {number}\n" for number in range(len(LABELS)))
    (tmp_path / "other" / "data.yaml").write_text(f"val: images/val\nnames:\n{names}")
    with pytest.raises(InputError, match="have no name in common"):
        evaluate(DETECTOR, data=str(tmp_path / "other"), imgsz=320, threads=1, out=tmp_path / "out")
    assert not (tmp_path / "out" / "report.html").exists()


def test_data_without_truth_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nobody has said what is on these 8 pictures"):
        evaluate(DETECTOR, data=str(folder / "yolo" / "images" / "val"), out=tmp_path / "out")


def test_what_cannot_be_is_refused_before_the_model_runs(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no picture of this data has such a trait"):
        evaluate(DETECTOR, data=str(folder / "yolo"), slices="camra", imgsz=320, threads=1, out=tmp_path / "out")
    with pytest.raises(InputError, match="--conf 7"):
        evaluate(DETECTOR, data=str(folder / "yolo"), conf=7)


def test_followed_objects_of_a_mot_sequence_are_scored(tmp_path: Path) -> None:
    write_mot(SMALL, tmp_path / "mot", 12)
    done = evaluate(DETECTOR, data=str(tmp_path / "mot"), imgsz=320, threads=1, out=tmp_path / "out")
    assert done.tracks is not None
    assert done.tracks.frames == 12
    assert 0.2 < done.tracks.hota < 1
    assert "MOTA" in done.report.read_text()
    assert any("the pictures are of one video" in note for note in done.notes)
    with pytest.raises(InputError, match="there is no such tracker"):
        evaluate(DETECTOR, data=str(tmp_path / "mot"), tracker="hybird", out=tmp_path / "out")


def test_a_detector_on_data_with_masks_is_measured_by_its_boxes(tmp_path: Path) -> None:
    write_coco(SMALL, tmp_path / "coco", 3)
    done = evaluate(DETECTOR, data=str(tmp_path / "coco"), imgsz=320, threads=1, out=tmp_path / "out")
    assert done.task == "detect"
    assert "the data have masks and the model gives none: its boxes were measured" in done.notes


@pytest.fixture
def classifier(tmp_path: Path) -> Path:
    """Says which of red, green and blue is strongest on average; a little in favour of red."""
    from onnx import TensorProto, helper, numpy_helper, save

    nodes = [
        helper.make_node("ReduceMean", ["images", "axes"], ["means"], keepdims=0),
        helper.make_node("Add", ["means", "favour"], ["scores"]),
    ]
    weights = [
        numpy_helper.from_array(np.array([2, 3]), "axes"),
        numpy_helper.from_array(np.float32([[0.5, 0, 0]]), "favour"),
    ]
    graph = helper.make_graph(
        nodes, "colours",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ("batch", 3, 32, 32))],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ("batch", 3))],
        weights,
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    names = {"names": str({0: "red", 1: "green", 2: "blue"}), "task": "classify"}
    helper.set_model_props(model, names)
    save(model, str(tmp_path / "colours.onnx"))
    return tmp_path / "colours.onnx"


def test_a_classifier_is_measured_by_accuracy_f1_calibration_and_fairness(classifier: Path, tmp_path: Path) -> None:
    import cv2

    chance = np.random.default_rng(0)
    rows = ["file,site\n"]
    for at, name in enumerate(("blue", "green", "red")):  # as OpenCV counts channels
        (tmp_path / "data" / name).mkdir(parents=True)
        for number in range(12):
            image = chance.integers(0, 150, (32, 32, 3), np.uint8)
            image[..., at] += np.uint8(10 + 5 * number)
            cv2.imwrite(str(tmp_path / "data" / name / f"{name}-{number}.png"), image)
            rows.append(f"{name}/{name}-{number}.png,{'north' if number < 6 else 'south'}\n")
    (tmp_path / "data" / "traits.csv").write_text("".join(rows))
    done = evaluate(
        classifier, data=str(tmp_path / "data"), decoder="classify", slices="site", threads=1, out=tmp_path / "out"
    )
    assert done.task == "classify"
    assert list(done.figures) == ["accuracy", "balanced accuracy", "macro F1", "calibration error"]
    assert 0.5 < done.figures["accuracy"].value < 1
    assert {row.name: row.objects for row in done.classes} == {"red": 12, "green": 12, "blue": 12}
    assert done.worst_gap is not None
    assert (done.worst_gap.trait, done.worst_gap.worst) == ("site", "north")
    [fair] = done.fairness
    assert (fair.trait, fair.equalized_odds > 0.2) == ("site", True)
    page = done.report.read_text()
    for part in (
        "Is it as right as it is sure?",
        "How alike groups are treated",
        "Wrong classes that it was surest of",
    ):
        assert part in page
    write_yolo(SMALL, tmp_path / "boxes", 1, 1)
    with pytest.raises(InputError, match="the model is for 'classify'"):
        evaluate(classifier, data=str(tmp_path / "boxes"), decoder="classify", out=tmp_path / "out")


def test_the_command_prints_it_and_gives_all_of_it_as_json(folder: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "throughline.cli", "evaluate", str(DETECTOR), "--data", str(folder / "yolo")]
    ran = subprocess.run(
        [*command, "--imgsz", "320", "--threads", "1", "--json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    assert told["figures"]["mAP50-95"]["samples"] == PICTURES
    assert set(told) == {field.name for field in dataclasses.fields(EvaluateReport)}
    assert (tmp_path / "runs" / "evaluate-detector" / "report.html").is_file()
