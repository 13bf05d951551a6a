"""Halves where they are safe: what would leave their range stays float32, and the answers say so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from throughline.bundled import DETECTOR
from throughline.contracts.errors import InputError
from throughline.models.artifact import read_artifact
from throughline.models.session import open_model
from throughline.models.transforms import TRANSFORMS
from throughline.testing.transforms import detector, pictures


def write(path: Path, nodes: list[Any], weights: Mapping[str, Any], out: list[Any], opset: int = 17) -> Path:
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, out)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


def rows() -> Iterator[dict[str, np.ndarray]]:
    yield {"x": np.linspace(0.1, 3, 12, dtype=np.float32).reshape(3, 4)}


def types(path: Path) -> dict[str, int]:
    """The element type of every tensor, as inferred."""
    model = onnx.shape_inference.infer_shapes(onnx.load(path))
    return {value.name: value.type.tensor_type.elem_type for value in (*model.graph.value_info, *model.graph.output)}


def answers(parent: Path, child: Path) -> tuple[np.ndarray, np.ndarray]:
    (feed,) = rows()
    with open_model(parent, device="cpu") as one, open_model(child, device="cpu") as other:
        return one.predict(feed)["y"], other.predict(feed)["y"]


OVERFLOWS = {
    "activation": (
        [
            helper.make_node("MatMul", ["x", "w"], ["large"], "grow"),
            helper.make_node("MatMul", ["large", "v"], ["y"], "shrink"),
        ],
        {"w": np.full((4, 4), 3e4, np.float32), "v": np.full((4, 4), 1e-5, np.float32) * 10},
        {"grow", "shrink"},
    ),
    "sum on its way": (
        [helper.make_node("MatMul", ["x", "w"], ["y"], "cancel")],
        {"w": np.array([[6e4], [6e4], [-6e4], [-4e4]], np.float32).repeat(4, 1)},
        {"cancel"},
    ),
    "constant": (
        [helper.make_node("Add", ["x", "w"], ["z"], "mask"), helper.make_node("Sigmoid", ["z"], ["y"], "squash")],
        {"w": np.array([0, 0, -1e9, 0], np.float32)},
        {"mask", "squash"},
    ),
    "vanishing": (
        [
            helper.make_node("Mul", ["x", "w"], ["tiny"], "fade"),
            helper.make_node("Div", ["tiny", "w"], ["y"], "back"),
        ],
        {"w": np.array(1e-8, np.float32)},
        {"fade", "back"},
    ),
}


@pytest.mark.parametrize("kind", OVERFLOWS)
def test_what_leaves_the_range_of_a_half_is_an_island(kind: str, tmp_path: Path) -> None:
    nodes, weights, expected = OVERFLOWS[kind]
    parent = write(tmp_path / "parent.onnx", nodes, weights, ["batch", 4])
    made = TRANSFORMS.make("half", read_artifact(parent), tmp_path / "half.onnx", feeds=rows)
    assert set(made.step.options["islands"]) == expected
    assert any(name in note for name in expected for note in made.notes)
    one, other = answers(parent, tmp_path / "half.onnx")
    np.testing.assert_allclose(other, one, rtol=2e-3)


@pytest.mark.parametrize("opset", [13, 17, 20])
@pytest.mark.parametrize("kind", ["GlobalAveragePool", "ReduceMean", "ReduceSum"])
@pytest.mark.parametrize("overflows", [True, False])
def test_a_sum_is_each_channels_own(kind: str, opset: int, overflows: bool, tmp_path: Path) -> None:
    """Forty channels of 3000 in each of two pictures: a channel's sum fits into a half, those of several do not."""
    named = {"axes": [2, 3]} if kind == "ReduceMean" and opset < 18 else {}
    takes = ["large", "axes"] if kind != "GlobalAveragePool" and not named else ["large"]
    graph = helper.make_graph(
        [
            helper.make_node("Mul", ["x", "w"], ["large"], "grow"),
            helper.make_node(kind, takes, ["sums"], "sum", **named),
            helper.make_node("Mul", ["sums", "v"], ["y"], "shrink"),
        ],
        "pooled",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 40, 4, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 40, 1, 1])],
        [
            numpy_helper.from_array(np.array(6000 if overflows else 3000, np.float32), "w"),
            numpy_helper.from_array(np.array(0.01, np.float32), "v"),
            *([numpy_helper.from_array(np.array([2, 3], np.int64), "axes")] if "axes" in takes else []),
        ],
    )
    parent = tmp_path / "parent.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8), parent)
    x = np.tile(np.array([[1, -1], [-1, 1]], np.float32), (2, 40, 2, 2))  # they cancel out; on their way they need not
    made = TRANSFORMS.make("half", read_artifact(parent), tmp_path / "half.onnx", feeds=lambda: iter([{"x": x}]))
    assert made.step.options["islands"] == (["sum"] if overflows else [])


def test_it_is_halves_inside(tmp_path: Path) -> None:
    parent = tmp_path / "parent.onnx"
    parent.write_bytes(detector())
    made = TRANSFORMS.make("half", read_artifact(parent), tmp_path / "half.onnx", feeds=lambda: iter(pictures(2)))
    found = types(tmp_path / "half.onnx")
    assert {found[name] for name in ("c1", "a1", "a3", "logits")} == {TensorProto.FLOAT16}
    assert found["output0"] == TensorProto.FLOAT
    assert read_artifact(tmp_path / "half.onnx").passport.precision == "float16"
    assert made.step.options["islands"] == []
    assert len([node for node in onnx.load(tmp_path / "half.onnx").graph.node if node.op_type == "Cast"]) == 2


def test_nodes_are_kept_and_share_their_casts(tmp_path: Path) -> None:
    parent = tmp_path / "parent.onnx"
    parent.write_bytes(detector())
    TRANSFORMS.make("half", read_artifact(parent), tmp_path / "half.onnx", keep=("boxes", "classes"))
    found = types(tmp_path / "half.onnx")
    assert found["boxes"] == found["logits"] == TensorProto.FLOAT
    casts = [node for node in onnx.load(tmp_path / "half.onnx").graph.node if node.op_type == "Cast"]
    assert len([node for node in casts if node.input[0] == "a3"]) == 1


def test_inputs_and_outputs_may_be_halves(tmp_path: Path) -> None:
    parent = tmp_path / "parent.onnx"
    parent.write_bytes(detector())
    TRANSFORMS.make("half", read_artifact(parent), tmp_path / "half.onnx", keep_io=False)
    child = read_artifact(tmp_path / "half.onnx")
    assert {spec.dtype for spec in (*child.inputs, *child.outputs)} == {"float16"}
    assert child.labels == ("cat", "dog", "bird")
    (feed,) = pictures(1)
    with open_model(parent, device="cpu") as one, open_model(child.path, device="cpu") as other:
        expected = one.predict(feed)["output0"]
        found = other.predict({"images": feed["images"].astype(np.float16)})["output0"]
    np.testing.assert_allclose(found, expected, rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize("opset", [13, 17, 20])
def test_graphs_inside_nodes_and_operators_without_a_half_form_stay_whole(opset: int, tmp_path: Path) -> None:
    def branch(factor: float) -> onnx.GraphProto:
        name = f"times_{factor:g}"
        return helper.make_graph(
            [
                helper.make_node("Constant", [], [f"{name}_c"], value_float=factor),
                helper.make_node("Mul", ["scaled", f"{name}_c"], [name]),
            ],
            name,
            [],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, None)],
        )

    nodes = [
        helper.make_node("Mul", ["x", "w"], ["scaled"], "scale"),
        helper.make_node("ReduceMax", ["x"], ["most"], "most", keepdims=0),
        helper.make_node("Greater", ["most", "limit"], ["large"], "compare"),
        helper.make_node("If", ["large"], ["chosen"], "choose", then_branch=branch(2.0), else_branch=branch(3.0)),
        helper.make_node("CumSum", ["chosen", "axis"], ["y"], "running"),
    ]
    weights = {"w": np.full(4, 0.5, np.float32), "limit": np.array(2, np.float32), "axis": np.array(1, np.int64)}
    parent = write(tmp_path / "parent.onnx", nodes, weights, None, opset)
    made = TRANSFORMS.make("half", read_artifact(parent), tmp_path / "half.onnx", feeds=rows)
    assert any("CumSum" in note for note in made.notes)
    one, other = answers(parent, tmp_path / "half.onnx")
    np.testing.assert_allclose(other, one, rtol=2e-3)


def test_the_bundled_detector_in_halves_gives_its_answers(tmp_path: Path) -> None:
    x = np.random.default_rng(0).random((2, 3, 96, 128), np.float32)
    source = read_artifact(DETECTOR)
    made = TRANSFORMS.make("half", source, tmp_path / "half.onnx", feeds=lambda: iter([{"images": x}]))
    assert made.step.options["islands"] == []
    with open_model(DETECTOR, device="cpu") as one, open_model(tmp_path / "half.onnx", device="cpu") as other:
        expected, found = one.predict({"images": x})["output0"], other.predict({"images": x})["output0"]
    np.testing.assert_allclose(found[:, 4:], expected[:, 4:], atol=5e-3)
    assert (tmp_path / "half.onnx").stat().st_size < 0.6 * DETECTOR.stat().st_size


def test_what_cannot_be_done_is_refused(tmp_path: Path) -> None:
    parent = tmp_path / "parent.onnx"
    parent.write_bytes(detector())
    with pytest.raises(InputError, match="'boxs'") as refused:
        TRANSFORMS.make("half", read_artifact(parent), tmp_path / "half.onnx", keep=("boxs",))
    assert "boxes" in refused.value.fix
    with pytest.raises(InputError, match="no feeds"):
        TRANSFORMS.make("half", read_artifact(parent), tmp_path / "half.onnx", feeds=lambda: iter(()))
    with pytest.raises(InputError, match="images"):
        TRANSFORMS.make("half", read_artifact(parent), tmp_path / "half.onnx", feeds=rows)
    TRANSFORMS.make("half", read_artifact(parent), tmp_path / "half.onnx", keep_io=False)
    with pytest.raises(InputError, match="no float32"):
        TRANSFORMS.make("half", read_artifact(tmp_path / "half.onnx"), tmp_path / "again.onnx")
