"""Suppression in the graph finds what ours finds, row for row, on real answers and on made-up ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from throughline.bundled import DETECTOR
from throughline.contracts.errors import InputError
from throughline.models.artifact import Given, read_artifact
from throughline.models.session import open_model
from throughline.models.transforms import TRANSFORMS
from throughline.testing.transforms import detector
from throughline.testing.world import World
from throughline.vision.decoders import DECODERS
from throughline.vision.letterbox import Letterbox

FIT = Letterbox.fit((384, 640), (384, 640))
LABELS = ("cat", "dog", "bird")


def head(path: Path, shape: list[int | str], dtype: int = TensorProto.FLOAT, opset: int = 17) -> Path:
    """A model that returns what it is given: a raw head."""
    kinds = {"names": "{0: 'cat', 1: 'dog', 2: 'bird'}", "task": "detect"}
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["output0"])],
        "head",
        [helper.make_tensor_value_info("x", dtype, shape)],
        [helper.make_tensor_value_info("output0", dtype, shape)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    helper.set_model_props(model, kinds)
    onnx.save(model, path)
    return path


def crowd(batch: int, places: int, classes: int = 3) -> np.ndarray:
    """Crowded places with distinct scores: [batch, 4 + classes, places]."""
    dice = np.random.default_rng(places)
    xywh = np.concatenate([dice.uniform(50, 250, (batch, 2, places)), dice.uniform(20, 80, (batch, 2, places))], 1)
    return np.concatenate([xywh, dice.random((batch, classes, places))], 1).astype(np.float32)


def same(found: list[Any], expected: list[Any], atol: float = 0.0) -> None:
    assert len(found) == len(expected)
    for here, there in zip(found, expected, strict=True):
        assert len(here) == len(there)
        np.testing.assert_allclose(here.xyxy, there.xyxy, atol=atol)
        np.testing.assert_allclose(here.confidence, there.confidence, atol=atol)
        np.testing.assert_array_equal(here.class_id, there.class_id)


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_the_bundled_detector_finds_the_same_objects(backend: str, tmp_path: Path) -> None:
    source = read_artifact(DETECTOR)
    made = TRANSFORMS.make("nms", source, tmp_path / "nms.onnx", conf=0.1, iou=0.6, max_det=50)
    child = read_artifact(tmp_path / "nms.onnx")
    assert made.changes == {"decoder": "yolo"}
    assert child.passport.decoder == "yolo"
    assert child.labels == source.labels
    assert child.outputs[0].shape == ("batch", 50, 6)
    x = np.empty((3, 3, 384, 640), np.float32)
    for row, slot in enumerate(x):
        FIT.apply(World(9_000 + row).frame(5)[0].image, slot)
    options = {"labels": source.labels, "conf": 0.1, "iou": 0.6, "max_det": 50}
    decode = DECODERS.make("yolo")
    with open_model(DETECTOR, device="cpu") as one, open_model(child.path, device="cpu", backend=backend) as other:
        for feed in (x, x[:1, :, :256, :320]):
            fits = [FIT] * len(feed)
            expected = decode(one.predict({"images": feed}), fits, **options)
            assert any(len(each) for each in expected)
            same(
                decode(other.predict({"images": np.ascontiguousarray(feed)}), fits, **options),
                expected,
                0.0 if backend == "onnxruntime" else 1e-2,
            )


def test_what_only_the_passport_knows_goes_into_the_file(tmp_path: Path) -> None:
    source = read_artifact(head(tmp_path / "head.onnx", ["batch", 7, "places"]))
    source = replace(source, passport=replace(source.passport, licence="MIT", stride=16, imgsz=(64, 96)))
    TRANSFORMS.make("nms", source, tmp_path / "nms.onnx", max_det=20)
    child = read_artifact(tmp_path / "nms.onnx").passport
    assert (child.labels, child.licence, child.stride, child.imgsz) == (LABELS, "MIT", 16, (64, 96))
    assert child.decoder == "yolo"


@pytest.mark.parametrize(("places", "max_det"), [(2000, 300), (5000, 300), (40, 100), (1, 10)])
@pytest.mark.parametrize("family", ["yolo", "yolov5"])
def test_crowds_are_thinned_as_ours_are(family: str, places: int, max_det: int, tmp_path: Path) -> None:
    raw = crowd(2, places)
    shape: list[int | str] = ["batch", 7, "places"]
    if family == "yolov5":
        sure = np.random.default_rng(1).random((2, 1, places), np.float32)
        raw = np.concatenate([raw[:, :4], sure, raw[:, 4:]], 1).transpose(0, 2, 1).copy()
        shape = ["batch", "places", 8]
    source = read_artifact(head(tmp_path / "head.onnx", shape), Given(decoder=family))
    TRANSFORMS.make("nms", source, tmp_path / "nms.onnx", conf=0.3, iou=0.5, max_det=max_det)
    options = {"labels": LABELS, "conf": 0.3, "iou": 0.5, "max_det": max_det}
    with open_model(tmp_path / "nms.onnx", device="cpu") as model:
        outputs = model.predict({"x": raw})
    assert outputs["output0"].shape == (2, max_det, 6)
    expected = DECODERS.make(family)({"output0": raw}, [FIT, FIT], **options)
    same(DECODERS.make("yolo")(outputs, [FIT, FIT], **options), expected, 1e-4)


def test_what_no_detector_should_say_is_no_object(tmp_path: Path) -> None:
    raw = np.full((2, 7, 4), np.nan, np.float32)
    raw[:, :4] = 50
    raw[0, 4:] = [[0.9], [0.1], [0.1]]
    raw[0, 0] = [np.nan, np.inf, 1e9, 50]
    raw[1, 4:] = 0.0
    source = read_artifact(head(tmp_path / "head.onnx", ["batch", 7, "places"]))
    TRANSFORMS.make("nms", source, tmp_path / "nms.onnx", conf=0.0, max_det=5)
    with open_model(tmp_path / "nms.onnx", device="cpu") as model:
        (found, nothing) = model.predict({"x": raw})["output0"]
    np.testing.assert_allclose(found[0], [25, 25, 75, 75, 0.9, 0])
    assert not found[1:].any()
    assert not nothing.any()


def test_an_older_opset_and_half_outputs_do_as_well(tmp_path: Path) -> None:
    source = read_artifact(head(tmp_path / "head.onnx", [1, 7, 84], TensorProto.FLOAT16, opset=12))
    TRANSFORMS.make("nms", source, tmp_path / "nms.onnx", conf=0.5, max_det=20)
    child = read_artifact(tmp_path / "nms.onnx")
    assert (child.outputs[0].dtype, child.outputs[0].shape) == ("float16", (1, 20, 6))
    with open_model(child.path, device="cpu") as model:
        rows = model.predict({"x": crowd(1, 84).astype(np.float16)})["output0"][0]
    assert rows[0, 4] >= rows[1, 4] > 0.5


def test_what_cannot_be_done_is_refused(tmp_path: Path) -> None:
    parent = tmp_path / "parent.onnx"
    parent.write_bytes(detector())
    source = read_artifact(parent)
    for options, said in (({"conf": 1.5}, "conf=1.5"), ({"iou": -1}, "iou=-1"), ({"max_det": 0}, "max_det=0")):
        with pytest.raises(InputError, match=said):
            TRANSFORMS.make("nms", source, tmp_path / "nms.onnx", **options)
    with pytest.raises(InputError, match="max_det=7"):
        TRANSFORMS.make("nms", source, tmp_path / "nms.onnx", max_det=7)
    with pytest.raises(InputError, match="decoder yolox"):
        TRANSFORMS.make("nms", read_artifact(parent, Given(decoder="yolox")), tmp_path / "nms.onnx")
    TRANSFORMS.make("nms", source, tmp_path / "nms.onnx")
    with pytest.raises(InputError, match="no head before suppression"):
        TRANSFORMS.make("nms", read_artifact(tmp_path / "nms.onnx"), tmp_path / "twice.onnx")
