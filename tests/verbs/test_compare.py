"""Comparing real models on real data: decisions, evidence, the page, and whatever the two sides may differ in."""

from __future__ import annotations

import csv
import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, load, numpy_helper, save

from throughline.contracts.artifacts import Step
from throughline.contracts.errors import InputError, ModelRefused
from throughline.evaluation.evidence import read_evidence
from throughline.models.artifact import read_artifact
from throughline.models.passport import digest, issue
from throughline.testing.world import World, write_mot, write_yolo
from throughline.verbs.compare import CompareReport, compare
from throughline.verbs.evaluate import evaluate

DETECTOR = Path(__file__).parents[2] / "src" / "throughline" / "bundled" / "detector.onnx"
SMALL = World(7, 320, 192)
PICTURES = 12


def shaken(path: Path, amount: float, seed: int = 0) -> Path:
    """The bundled detector with unsteady weights."""
    model, chance = load(str(DETECTOR)), np.random.default_rng(seed)
    for tensor in model.graph.initializer:
        weights = numpy_helper.to_array(tensor)
        if weights.dtype == np.float32 and weights.ndim == 4:
            noise = chance.normal(0, amount * weights.std(), weights.shape)
            tensor.CopyFrom(numpy_helper.from_array((weights + noise).astype(np.float32), tensor.name))
    save(model, str(path))
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("compare")
    write_yolo(SMALL, place / "yolo", 1, PICTURES)
    (place / "yolo" / "traits.csv").write_text(
        "file,camera\n" + "".join(f"images/val/{number:06}.png,{'ab'[number % 2]}\n" for number in range(PICTURES))
    )
    for seed in range(2):
        shaken(place / f"run-{seed}.onnx", 0.1, seed)
        shaken(place / f"other-{seed}.onnx", 0.1, 10 + seed)
    shaken(place / "shaky.onnx", 0.2)
    return place


@pytest.fixture(scope="module")
def report(folder: Path) -> CompareReport:
    return compare(
        str(DETECTOR), str(folder / "shaky.onnx"), data=str(folder / "yolo"), slices="light,camera", imgsz=320,
        threads=1, out=folder / "out",
    )  # fmt: skip


def test_a_worse_model_is_worse_and_the_command_would_say_so(folder: Path, report: CompareReport) -> None:
    assert (report.decision, report.passed, report.exit_code) == ("worse", False, 5)
    assert report.sentence.startswith("shaky.onnx is worse than detector.onnx: mAP50-95 ")
    alone = evaluate(DETECTOR, data=str(folder / "yolo"), imgsz=320, threads=1, out=folder / "alone")
    assert report.figures["reference"] == pytest.approx(alone.figures["mAP50-95"].value)
    assert report.figures["low"] < report.figures["difference"] < report.figures["high"] < 0
    assert {part.trait for part in report.parts} == {"class", "light", "camera"}
    told = str(report)
    assert told.endswith(report.sentence)
    for word in ("camera a", "p (Holm)", "paired bootstrap", "Cohen's dz", str(report.evidence), str(report.report)):
        assert word in told


def test_the_evidence_names_both_files_and_the_data_and_needs_this_machine(folder: Path) -> None:
    done = compare(
        str(DETECTOR), str(folder / "run-0.onnx"), data=str(folder / "yolo"), imgsz=320, threads=1, margin="90%",
        out=folder / "kept",
    )  # fmt: skip
    assert done.evidence == folder / "kept" / "evidence.json"
    found = read_evidence(done.evidence)
    assert (found.reference, found.candidate) == (digest(DETECTOR), digest(folder / "run-0.onnx"))
    assert found.data_sha256 in done.data
    assert (found.metric, found.sentence, found.passed) == ("mAP50-95", done.sentence, done.passed)
    assert found.figures["difference"] == done.figures["difference"]
    done.evidence.write_text(done.evidence.read_text().replace(found.candidate, "0" * 64))
    with pytest.raises(ModelRefused, match="it was changed"):
        read_evidence(done.evidence)


def test_the_page_shows_the_difference_its_parts_and_pictures(report: CompareReport) -> None:
    assert report.report is not None
    page = report.report.read_text()
    for part in ("How sure the difference is", "By class", "By camera", "Where they differ most", "WORSE", "Holm"):
        assert part in page
    assert report.sentence in page
    assert page.count("data:image/jpeg;base64,") >= 3


def test_a_file_is_not_better_than_itself(folder: Path) -> None:
    copy = folder / "copy.onnx"
    copy.write_bytes(DETECTOR.read_bytes())
    done = compare(str(DETECTOR), str(copy), data=str(folder / "yolo"))
    assert (done.decision, done.exit_code, done.evidence) == ("the same file", 0, None)
    assert "are the same file" in str(done)


def test_several_runs_are_compared_as_runs(folder: Path) -> None:
    done = compare(
        str(folder / "run-*.onnx"), str(folder / "other-*.onnx"), data=str(folder / "yolo"), imgsz=320, threads=1,
        slices="camera", out=folder / "runs",
    )  # fmt: skip
    assert (done.decision, done.evidence) == ("cannot tell", None)
    assert "(2 runs)" in done.sentence
    assert "classes and slices are not compared between runs" in done.notes
    assert [one.name for one in done.tests] == ["t over runs and samples", "Welch"]
    with pytest.raises(InputError, match="1 and 2 runs cannot be compared"):
        compare(str(DETECTOR), str(folder / "run-*.onnx"), data=str(folder / "yolo"), imgsz=320, out=folder / "x")
    assert not (folder / "x").exists(), "before anything is asked"
    with pytest.raises(InputError, match="no file fits"):
        compare(str(DETECTOR), str(folder / "none-*.onnx"), data=str(folder / "yolo"))


def test_the_frames_of_one_video_say_nothing_of_others(folder: Path, tmp_path: Path) -> None:
    write_mot(SMALL, tmp_path / "mot", 4)
    done = compare(
        str(DETECTOR), str(folder / "shaky.onnx"), data=str(tmp_path / "mot"), imgsz=320, threads=1, out=tmp_path / "o"
    )
    assert (done.decision, done.exit_code, done.more) == ("cannot tell", 5, 4)
    assert done.sentence.endswith("on 1 video; label pictures of about 4 more videos.")


def colours(path: Path, names: tuple[str, ...], favour: float) -> Path:
    """Says which channel is strongest on average, a little in favour of the first class, in this order of classes."""
    order = np.array([("red", "green", "blue").index(name) for name in names])
    nodes = [
        helper.make_node("ReduceMean", ["images", "axes"], ["means"], keepdims=0),
        helper.make_node("Gather", ["means", "order"], ["chosen"], axis=1),
        helper.make_node("Add", ["chosen", "favour"], ["scores"]),
    ]
    weights = [
        numpy_helper.from_array(np.array([2, 3]), "axes"),
        numpy_helper.from_array(order, "order"),
        numpy_helper.from_array(np.float32([[favour, 0, 0]]), "favour"),
    ]
    graph = helper.make_graph(
        nodes, "colours",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ("batch", 3, 32, 32))],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ("batch", 3))],
        weights,
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    save(model, str(path))
    return path


def vouched(path: Path, labels: tuple[str, ...]) -> str:
    passport = read_artifact(path).passport
    issue(path, dataclasses.replace(passport, decoder="classify", task="classify", labels=labels), vouch=True)
    return str(path)


def test_the_two_may_differ_in_format_and_in_the_order_of_their_classes(tmp_path: Path) -> None:
    import cv2
    import openvino

    chance = np.random.default_rng(0)
    for at, name in enumerate(("blue", "green", "red")):  # as OpenCV counts channels
        (tmp_path / "data" / name).mkdir(parents=True)
        for number in range(20):
            image = chance.integers(0, 150, (32, 32, 3), np.uint8)
            image[..., at] += np.uint8(10 + 3 * number)
            cv2.imwrite(str(tmp_path / "data" / name / f"{name}-{number}.png"), image)
    names, others = ("red", "green", "blue"), ("green", "blue", "red")
    first = vouched(colours(tmp_path / "first.onnx", names, 1.5), names)
    openvino.save_model(openvino.convert_model(str(colours(tmp_path / "m.onnx", others, 0.0))), tmp_path / "second.xml")
    second = vouched(tmp_path / "second.xml", others)
    done = compare(first, second, data=str(tmp_path / "data"), threads=1, out=tmp_path / "out")
    assert (done.decision, done.exit_code, done.metric) == ("better", 0, "accuracy")
    assert done.figures["candidate"] > 0.9
    assert [one.name for one in done.tests] == ["McNemar", "paired bootstrap"]
    assert {part.name: part.clear for part in done.parts} == {"blue": True, "green": True, "red": False}
    assert done.report is not None
    assert "wrong; candidate: " in done.report.read_text()


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    chance = np.random.default_rng(0)
    with (tmp_path / "rows.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("a", "b", "kind", "size"))
        for a, b in chance.normal(0, 1, (300, 2)):
            writer.writerow((a, b, "high" if a + b > 0 else "low", 2 * a + b))
    return tmp_path / "rows.csv"


def linear(path: Path, weights: list[list[float]], labels: tuple[str, ...]) -> str:
    """Classes of rows by a softmax, or one number a row."""
    nodes = [helper.make_node("MatMul", ["X", "w"], ["s" if labels else "values"])]
    gives = [helper.make_tensor_value_info("values", TensorProto.FLOAT, ("batch", 1))]
    if labels:
        nodes += [
            helper.make_node("Softmax", ["s"], ["probabilities"], axis=1),
            helper.make_node("ArgMax", ["s"], ["label"], axis=1, keepdims=0),
        ]
        gives = [
            helper.make_tensor_value_info("label", TensorProto.INT64, ("batch",)),
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ("batch", 2)),
        ]
    graph = helper.make_graph(
        nodes, "rows", [helper.make_tensor_value_info("X", TensorProto.FLOAT, ("batch", len(weights)))], gives,
        [numpy_helper.from_array(np.float32(weights), "w")],
    )  # fmt: skip
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), str(path))
    if labels:
        issue(path, dataclasses.replace(read_artifact(path).passport, labels=labels), vouch=True)
    return str(path)


def test_models_of_tables_are_compared_by_row(rows: Path, tmp_path: Path) -> None:
    narrow = tmp_path / "narrow.csv"
    narrow.write_text("".join(f"{','.join(line.split(',')[:3])}\n" for line in rows.read_text().splitlines()))
    first = linear(tmp_path / "first.onnx", [[0, 1], [0, 0.2]], ("low", "high"))
    second = linear(tmp_path / "second.onnx", [[1, 0], [1, 0]], ("high", "low"))
    done = compare(first, second, data=str(narrow), target="kind", slices="class,a", threads=1, out=tmp_path / "out")
    assert [(part.trait, part.samples) for part in done.parts][2:] == [("a", 100)] * 3
    assert {part.name for part in done.parts[:2]} == {"high", "low"}
    assert (done.decision, done.metric, list(done.others)) == ("better", "accuracy", ["log loss"])
    assert "300 rows" in done.sentence
    assert "log loss" in str(done)
    assert done.others["log loss"]["high"] < 0
    assert read_evidence(tmp_path / "out" / "evidence.json").passed
    passport = read_artifact(second).passport
    learned = Step("train", {"data_sha256": read_evidence(tmp_path / "out" / "evidence.json").data_sha256})
    issue(Path(second), dataclasses.replace(passport, steps=(learned,)), vouch=True)
    again = compare(first, second, data=str(narrow), target="kind", threads=1, out=tmp_path / "out")
    assert again.notes == ("second.onnx was trained on these very data: what it is worth on others, they do not show",)
    with pytest.raises(InputError, match="which column is to be told"):
        compare(first, second, data=str(narrow), threads=1, out=tmp_path / "out")


def test_numbers_are_compared_by_their_absolute_error_of_which_less_is_better(rows: Path, tmp_path: Path) -> None:
    plain = tmp_path / "plain.csv"
    cells = [line.split(",") for line in rows.read_text().splitlines()]
    plain.write_text("".join(f"{a},{b},{size}\n" for a, b, _, size in cells))
    models = [linear(tmp_path / f"{name}.onnx", [[a], [1]], ()) for name, a in (("first", 2.0), ("second", 1.5))]
    done = compare(*models, data=str(plain), target="size", threads=1, out=tmp_path / "out")
    assert (done.decision, done.metric, done.figures["difference"] > 0) == ("worse", "absolute error", True)


def test_scores_that_were_measured_elsewhere_are_compared_and_prove_nothing_of_a_file(tmp_path: Path) -> None:
    chance = np.random.default_rng(0)
    scores = chance.random(50)
    for name, shift in (("a", 0.0), ("b", 0.1)):
        lines = [f"{at},{'xy'[at % 2]},{score + shift * (1 + chance.normal())}" for at, score in enumerate(scores)]
        (tmp_path / f"{name}.csv").write_text("name,site,score\n" + "\n".join(lines))
    done = compare(str(tmp_path / "a.csv"), str(tmp_path / "b.csv"), slices="site", out=tmp_path / "out")
    assert (done.decision, done.evidence) == ("better", None)
    assert [(part.trait, part.name) for part in done.parts] == [("site", "x"), ("site", "y")]
    for name, losses in (("a", "[0.5, 0.52, 0.51]"), ("b", "[0.4, 0.41, 0.42, 0.43]")):
        (tmp_path / f"{name}.json").write_text(f'{{"metric": "loss", "scores": {losses}}}')
    runs = compare(str(tmp_path / "a.json"), str(tmp_path / "b.json"), out=tmp_path / "runs")
    assert (runs.decision, runs.tests[0].name) == ("better", "Welch")
    assert "less loss was taken for better, by its name" in runs.notes
    with pytest.raises(InputError, match="so they are runs, not samples"):
        compare(str(tmp_path / "a.json"), str(tmp_path / "b.json"), slices="site")
    with pytest.raises(InputError, match="nobody has said which data"):
        compare(str(DETECTOR), str(tmp_path / "b.json"))


def test_what_cannot_be_is_refused_before_a_model_runs(folder: Path, tmp_path: Path) -> None:
    both = str(DETECTOR), str(folder / "shaky.onnx")
    with pytest.raises(InputError, match="no picture of this data has such a trait"):
        compare(*both, data=str(folder / "yolo"), slices="camra", out=tmp_path / "out")
    with pytest.raises(InputError, match="--conf 7"):
        compare(*both, data=str(folder / "yolo"), conf=7)
    with pytest.raises(InputError, match="the margin is 'much'"):
        compare(*both, data=str(folder / "yolo"), margin="much", imgsz=320, out=tmp_path / "out")


def test_the_command_prints_it_and_gives_all_of_it_as_json(tmp_path: Path) -> None:
    for name, shift in (("a", 0.0), ("b", -0.5)):
        (tmp_path / f"{name}.json").write_text(json.dumps({str(at): at % 7 * 0.1 + shift for at in range(20)}))
    ran = subprocess.run(
        [sys.executable, "-m", "throughline.cli", "compare", "a.json", "b.json", "--json"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 5, ran.stderr
    told = json.loads(ran.stdout)
    assert told["decision"] == "worse"
    assert set(told) == {field.name for field in dataclasses.fields(CompareReport)}
    assert (tmp_path / "runs" / "compare-a-b" / "report.html").is_file()
