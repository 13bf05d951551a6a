"""Axes are open where the graph is, and nowhere else: what only looks so is found, mended or refused by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from throughline.contracts.artifacts import Artifact
from throughline.contracts.errors import InputError, ModelRefused
from throughline.models.artifact import read_artifact
from throughline.models.session import open_model
from throughline.models.transforms import TRANSFORMS
from throughline.testing.transforms import detector, pictures

Write = Callable[[bytes | onnx.ModelProto], Artifact]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def written(model: bytes | onnx.ModelProto) -> Artifact:
        path = tmp_path / "parent.onnx"
        path.write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
        return read_artifact(path)

    return written


def small(nodes: list[Any], shape: list[Any], out: list[Any], **constants: Any) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, out)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_open_axes_are_fixed(write: Write, tmp_path: Path) -> None:
    parent = write(detector())
    made = TRANSFORMS.make("axes", parent, tmp_path / "fixed.onnx", batch=2, imgsz=(64, 96))
    child = read_artifact(tmp_path / "fixed.onnx")
    assert child.inputs[0].shape == (2, 3, 64, 96)
    assert child.outputs[0].shape == (2, 7, 96)
    assert child.passport.imgsz == made.changes["imgsz"] == (64, 96)
    (feed,) = pictures(1, batch=2, height=64, width=96)
    with open_model(parent.path) as one, open_model(child.path) as other:
        np.testing.assert_allclose(one.predict(feed)["output0"], other.predict(feed)["output0"], rtol=1e-5)


def test_fixed_axes_are_opened(write: Write, tmp_path: Path) -> None:
    parent = write(detector(1, 32, 48))
    TRANSFORMS.make("axes", parent, tmp_path / "open.onnx", batch="dynamic", imgsz="dynamic")
    child = read_artifact(tmp_path / "open.onnx")
    assert child.inputs[0].shape == ("batch", 3, "height", "width")
    assert child.outputs[0].shape[:2] == ("batch", 7)
    assert isinstance(child.outputs[0].shape[2], str)


@pytest.mark.parametrize("target", [[1, 6, -1], [1, 6, 256], [1, -1]])
def test_a_batch_of_one_in_a_reshape_is_mended(target: list[int], write: Write, tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Concat", ["x", "x"], ["two"], "twice", axis=1),
        helper.make_node("Reshape", ["two", "target"], ["y"], "baked"),
    ]
    out = [1, 6, 256] if len(target) == 3 else [1, 1536]
    parent = write(small(nodes, [1, 3, 16, 16], out, target=np.array(target)))
    made = TRANSFORMS.make("axes", parent, tmp_path / "open.onnx", batch="dynamic")
    assert any("'baked'" in note for note in made.notes)
    x = np.random.default_rng(0).random((4, 3, 16, 16), np.float32)
    with open_model(tmp_path / "open.onnx") as child:
        found = child.predict({"x": x})["y"]
    np.testing.assert_array_equal(found, np.concatenate([x, x], 1).reshape(4, *out[1:]))


def test_sides_in_a_reshape_and_a_resize_are_mended(write: Write, tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Resize", ["x", "", "", "sizes"], ["grown"], "grow", mode="nearest"),
        helper.make_node("Reshape", ["grown", "target"], ["y"], "flat"),
    ]
    parent = write(
        small(nodes, [1, 3, 64, 64], [1, 3, 16384], sizes=np.array([1, 3, 128, 128]), target=np.array([1, 3, 16384]))
    )
    made = TRANSFORMS.make("axes", parent, tmp_path / "open.onnx", batch="dynamic", imgsz="dynamic")
    assert any("'grow'" in note for note in made.notes)
    x = np.random.default_rng(0).random((2, 3, 32, 96), np.float32)
    with open_model(tmp_path / "open.onnx") as child:
        assert child.predict({"x": x})["y"].shape == (2, 3, 4 * 32 * 96)


def test_pictures_that_a_reshape_runs_together_are_found(write: Write, tmp_path: Path) -> None:
    """It declares a dynamic batch and runs at every one, and the answers of a batch are not its pictures'."""
    nodes = [
        helper.make_node("Relu", ["x"], ["positive"], "relu"),
        helper.make_node("Reshape", ["positive", "target"], ["rows"], "mixer"),
        helper.make_node("Softmax", ["rows"], ["y"], "softmax", axis=1),
    ]
    parent = write(small(nodes, ["batch", 3, 4, 4], ["rows", "all"], target=np.array([2, -1])))
    with pytest.raises(ModelRefused, match="batch") as refused:
        TRANSFORMS.make("axes", parent, tmp_path / "open.onnx", batch="dynamic")
    assert "'mixer'" in str(refused.value)
    assert refused.value.fix
    assert not (tmp_path / "open.onnx").exists()


def test_a_batch_that_is_averaged_over_is_found(write: Write, tmp_path: Path) -> None:
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["mean"], "over_the_batch", axes=[0], keepdims=1),
        helper.make_node("Sub", ["x", "mean"], ["y"], "centred"),
    ]
    parent = write(small(nodes, [1, 3, 4, 4], [1, 3, 4, 4]))
    with pytest.raises(ModelRefused, match="'over_the_batch'"):
        TRANSFORMS.make("axes", parent, tmp_path / "open.onnx", batch="dynamic")


def test_a_grid_of_one_size_is_refused_by_the_name_of_its_node(write: Write, tmp_path: Path) -> None:
    nodes = [helper.make_node("Add", ["x", "grid"], ["y"], "add_grid")]
    parent = write(small(nodes, ["b", 3, "h", "w"], ["b", 3, "h", "w"], grid=np.ones((1, 3, 64, 64), np.float32)))
    with pytest.raises(ModelRefused, match="'add_grid'") as refused:
        TRANSFORMS.make("axes", parent, tmp_path / "open.onnx", imgsz="dynamic")
    assert "does not run at" in refused.value.problem


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "neither"),
        ({"batch": 0}, "batch=0"),
        ({"batch": "any"}, "batch='any'"),
        ({"imgsz": (0, 64)}, "imgsz"),
        ({"imgsz": (64,)}, "imgsz"),
    ],
)
def test_options_that_mean_nothing_are_refused(options: Any, said: str, write: Write, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said):
        TRANSFORMS.make("axes", write(detector()), tmp_path / "out.onnx", **options)


def test_sides_of_what_takes_no_pictures_are_refused(write: Write, tmp_path: Path) -> None:
    parent = write(small([helper.make_node("Relu", ["x"], ["y"])], ["b", 4], ["b", 4]))
    with pytest.raises(InputError, match="pictures"):
        TRANSFORMS.make("axes", parent, tmp_path / "out.onnx", imgsz=(32, 32))
    TRANSFORMS.make("axes", parent, tmp_path / "out.onnx", batch=3)
    assert read_artifact(tmp_path / "out.onnx").outputs[0].shape == (3, 4)
