"""Explanations that can be held to something: where the objects are, and what adds up."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from throughline.bundled import DETECTOR, WEIGHTS
from throughline.contracts.tables import Table
from throughline.evaluation.explanations.gradients import network_of, where_gradients_point
from throughline.evaluation.explanations.occlusion import Looked, overlaid, where_it_looks
from throughline.evaluation.explanations.shares import shares_of
from throughline.models.artifact import read_artifact
from throughline.models.session import open_model
from throughline.testing.world import World
from throughline.vision.detector import detector_for

pytest.importorskip("sklearn")
COLUMNS = ("noise", "strong", "weak", "constant")


def looks(model: Path, conf: float = 0.02) -> tuple[np.ndarray, list[Looked]]:
    picture = World(21, 320, 192).frame(0)[0].picture
    artifact = read_artifact(DETECTOR)
    with open_model(model, backend="onnxruntime", device="cpu") as session:
        detector = detector_for(artifact, session, frame=(192, 320), imgsz=320, conf=conf)
        return picture, where_it_looks(detector, picture)


def test_a_detector_looks_at_what_it_finds() -> None:
    picture, found = looks(DETECTOR)
    assert found
    assert [one.confidence for one in found] == sorted((one.confidence for one in found), reverse=True)
    for one in found:
        assert one.heat.shape == picture.shape[:2]
        assert one.heat.min() >= 0
        assert one.inside > 5 * one.by_chance
        shown = overlaid(picture, one)
        assert shown.shape == picture.shape
        assert shown.dtype == np.uint8
    again = looks(DETECTOR)[1]
    assert all(np.array_equal(one.heat, other.heat) for one, other in zip(found, again, strict=True))


def test_a_model_that_looks_at_nothing_has_no_place_to_show(tmp_path: Path) -> None:
    model = onnx.load(DETECTOR)
    answer = model.graph.output[0].name
    last = next(node for node in model.graph.node if answer in node.output)
    constant = np.zeros((1, 10, 1), np.float32)
    constant[0, :5, 0] = (160, 96, 80, 60, 0.9)
    model.graph.node.remove(last)
    rows = np.array([10, 1], np.int64)
    model.graph.initializer.extend([numpy_helper.from_array(constant, "told"), numpy_helper.from_array(rows, "rows")])
    model.graph.node.extend(
        [
            onnx.helper.make_node("Shape", ["images"], ["batch"], start=0, end=1),
            onnx.helper.make_node("Concat", ["batch", "rows"], ["shape"], axis=0),
            onnx.helper.make_node("Expand", ["told", "shape"], [answer]),
        ]
    )
    model.graph.output[0].type.tensor_type.ClearField("shape")
    onnx.save(model, tmp_path / "blind.onnx")
    _, (one,) = looks(tmp_path / "blind.onnx")
    assert one.confidence == pytest.approx(0.9)
    assert one.heat.max() == 0
    assert np.isnan(one.inside)


@pytest.mark.parametrize("seed", [21, 22, 23])
def test_gradients_point_at_what_is_found(seed: int) -> None:
    pytest.importorskip("torch")
    picture = World(seed, 320, 192).frame(0)[0].picture
    artifact, builds = read_artifact(WEIGHTS), "throughline.testing.demo_detector:build"
    network = network_of(artifact, builds, trust=False)
    assert network is not None
    with open_model(WEIGHTS, device="cpu", class_=builds) as session:
        detector = detector_for(artifact, session, frame=(192, 320), imgsz=320)
        found, again = (where_gradients_point(network, detector, picture) for _ in range(2))
    assert len(found) == 3
    for one, other in zip(found, again, strict=True):
        assert one.heat.shape == picture.shape[:2]
        assert one.heat.min() >= 0
        assert one.inside > 4 * one.by_chance
        assert np.array_equal(one.heat, other.heat)


def test_the_gradients_of_a_network_that_looks_at_one_place_point_there() -> None:
    torch = pytest.importorskip("torch")

    class Corner(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = torch.nn.Conv2d(3, 4, 3, padding=1), torch.nn.Conv2d(4, 4, 3, padding=1)
            for one in (self.first, self.second):
                torch.nn.init.constant_(one.weight, 0.05)

        def forward(self, images: object) -> object:
            deep = self.second(self.first(images).relu()).relu()
            return torch.stack((deep[:, :, :24, :24].mean((1, 2, 3)), deep.mean((1, 2, 3)) * 0), 1)

    artifact = read_artifact(DETECTOR)
    told = replace(artifact, passport=replace(artifact.passport, decoder="classify", labels=("corner", "nothing")))
    picture = np.random.default_rng(0).integers(1, 255, (64, 64, 3), dtype=np.uint8)
    with open_model(DETECTOR, device="cpu") as session:  # takes pictures, as the network does
        detector = detector_for(told, session, frame=(64, 64), imgsz=64, conf=0.0)
        (one,) = where_gradients_point(Corner().eval().requires_grad_(False), detector, picture, 1)
    assert one.box is None
    assert one.heat[:28, :28].sum() > 0.99 * one.heat.sum() > 0


def table(kinds: bool) -> Table:
    dice = np.random.default_rng(0)
    noise, strong, weak = dice.standard_normal((3, 400))
    told = 3 * strong + 0.5 * weak
    columns = {"noise": noise, "strong": strong, "weak": weak, "constant": np.ones(400)}
    return Table("rows", {**columns, "told": (told > 0).astype(np.int64) if kinds else told}, "told", "0" * 64)


def estimator(kind: str, folder: Path, rows: Table) -> Path:
    x, y = np.stack([rows.columns[name] for name in COLUMNS], 1).astype(np.float32), rows.columns["told"]
    if kind == "xgboost":
        xgboost = pytest.importorskip("xgboost")
        xgboost.XGBClassifier(n_estimators=20, max_depth=3, n_jobs=1).fit(x, y).save_model(folder / "model.ubj")
        return folder / "model.ubj"
    if kind == "lightgbm":
        lightgbm = pytest.importorskip("lightgbm")
        made = lightgbm.LGBMRegressor(n_estimators=20, n_jobs=1, verbose=-1).fit(x, y)
        made.booster_.save_model(folder / "model.txt")
        return folder / "model.txt"
    skops = pytest.importorskip("skops.io")
    from sklearn.linear_model import LogisticRegression

    skops.dump(LogisticRegression().fit(x, y), folder / "model.skops")
    return folder / "model.skops"


@pytest.mark.parametrize("kind", ["xgboost", "lightgbm", "skops"])
def test_what_the_columns_add_is_the_answer_and_the_one_that_matters_comes_first(kind: str, tmp_path: Path) -> None:
    pytest.importorskip("shap")
    rows = table(kinds=kind != "lightgbm")
    shares = shares_of(read_artifact(estimator(kind, tmp_path, rows)), rows)
    assert shares.columns == COLUMNS
    assert shares.values.shape == (100, 4)
    assert shares.off < 1e-3 * max(1.0, float(np.abs(shares.answers).max()))
    means = dict(shares.means)
    assert next(iter(means)) == "strong"
    assert means["strong"] > 2 * means["weak"] > 2 * means["constant"]
    assert means["constant"] == pytest.approx(0, abs=1e-6)
