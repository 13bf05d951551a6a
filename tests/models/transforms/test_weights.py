"""Weights in few bits: a smaller file with nearly the same answers, in standard operators alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from throughline.bundled import DETECTOR
from throughline.contracts.errors import InputError, ModelRefused
from throughline.models.artifact import read_artifact
from throughline.models.session import open_model
from throughline.models.transforms import TRANSFORMS

X = np.random.default_rng(0).random((3, 64), np.float32)


def products(path: Path) -> Path:
    """Two matrix products that know different ways of writing the same thing."""
    dice = np.random.default_rng(1)
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "w"], ["h"], "product"),
            helper.make_node("Relu", ["h"], ["a"], "relu"),
            helper.make_node("Gemm", ["a", "v", "b"], ["y"], "linear", transB=1),
        ],
        "products",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 48])],
        [
            numpy_helper.from_array(dice.normal(0, 0.1, (64, 96)).astype(np.float32), "w"),
            numpy_helper.from_array(dice.normal(0, 0.1, (48, 96)).astype(np.float32), "v"),
            numpy_helper.from_array(dice.normal(0, 0.1, 48).astype(np.float32), "b"),
        ],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.mark.parametrize(("bits", "lost", "size"), [(8, 0.02, 0.4), (4, 0.2, 0.3)])
def test_products_shrink_and_answer(bits: int, lost: float, size: float, tmp_path: Path) -> None:
    parent, child = products(tmp_path / "parent.onnx"), tmp_path / "child.onnx"
    made = TRANSFORMS.make("weights", read_artifact(parent), child, bits=bits)
    assert made.step.options["layers"] == 2
    assert child.stat().st_size < size * parent.stat().st_size
    with open_model(parent, device="cpu") as one, open_model(child, device="cpu") as other:
        expected, found = one.predict({"x": X})["y"], other.predict({"x": X})["y"]
    assert np.linalg.norm(found - expected) <= lost * np.linalg.norm(expected)
    model = onnx.load(child)
    assert {entry.domain for entry in model.opset_import} <= {"", "ai.onnx"}
    packed = {tensor.name: tensor for tensor in model.graph.initializer}
    assert packed["w_packed"].data_type == (TensorProto.INT8 if bits == 8 else TensorProto.INT4)
    assert list(packed["w_scale"].dims) == ([96] if bits == 8 else [2, 96])
    assert list(packed["v_scale"].dims) == ([48] if bits == 8 else [48, 3])


def test_the_bundled_detector_shrinks_to_a_third(tmp_path: Path) -> None:
    TRANSFORMS.make("weights", read_artifact(DETECTOR), tmp_path / "small.onnx")
    assert (tmp_path / "small.onnx").stat().st_size < 0.36 * DETECTOR.stat().st_size
    x = np.random.default_rng(0).random((2, 3, 96, 128), np.float32)
    with open_model(DETECTOR, device="cpu") as one, open_model(tmp_path / "small.onnx", device="cpu") as other:
        expected, found = one.predict({"images": x})["output0"], other.predict({"images": x})["output0"]
    np.testing.assert_allclose(found[:, 4:], expected[:, 4:], atol=0.04)


def test_kept_nodes_keep_their_weights_and_small_ones_are_left(tmp_path: Path) -> None:
    parent = read_artifact(products(tmp_path / "parent.onnx"))
    TRANSFORMS.make("weights", parent, tmp_path / "child.onnx", keep=("linear",))
    packed = {tensor.name for tensor in onnx.load(tmp_path / "child.onnx").graph.initializer}
    assert {"v", "b", "w_packed"} <= packed
    with pytest.raises(ModelRefused, match="no float32 weights"):
        TRANSFORMS.make("weights", parent, tmp_path / "child.onnx", keep=("linear", "product"))
    with pytest.raises(InputError, match="bits=3"):
        TRANSFORMS.make("weights", parent, tmp_path / "child.onnx", bits=3)
