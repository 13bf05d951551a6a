"""Pruning an ONNX graph: what counts for nothing goes without a trace, and what cannot go stays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from throughline.bundled import DETECTOR
from throughline.contracts.errors import InputError, ModelRefused
from throughline.models.artifact import read_artifact
from throughline.models.transforms import TRANSFORMS
from throughline.models.transforms import _graph as graph
from throughline.models.transforms._channels import least
from throughline.models.transforms._graph_channels import follow, unshared, without
from throughline.models.transforms._running import Opened
from throughline.testing.transforms import TransformConformance, detector


class TestPruneOnnx(TransformConformance):
    transform = "prune_onnx"
    options = {"ratio": 0.5}  # noqa: RUF012 - the suite declares it
    error = None  # it is not the same model any more


def network(opset: int = 17) -> onnx.ModelProto:
    """Residual, split, joined, depthwise, gated, normalised, resized and flattened channels, in one small graph."""
    dice = np.random.default_rng(4)

    def weights(*shape: int) -> np.ndarray[Any, Any]:
        return dice.normal(0, 1 / np.sqrt(np.prod(shape[1:])), shape).astype(np.float32)

    tensors = {
        "w0": weights(16, 3, 3, 3), "b0": weights(16, 1)[:, 0], "w1": weights(16, 16, 3, 3), "b1": weights(16, 1)[:, 0],
        "wd": weights(8, 1, 3, 3), "wt": weights(24, 12, 2, 2), "ws": weights(12, 12, 1, 1), "wl": weights(20, 48),
        "bl": weights(20, 1)[:, 0], "wo": weights(20, 5), "bn": weights(12, 1)[:, 0], "mean": weights(12, 1)[:, 0],
        "var": np.ones(12, np.float32), "gain": weights(1, 16)[:, :, None, None],
        "scales": np.array([1, 1, 2, 2.0], np.float32), "sizes": np.array([8, 8], np.int64),
        "rows": np.array([0, -1], np.int64),
    }  # fmt: skip
    node = helper.make_node
    nodes = [
        node("Conv", ["images", "w0", "b0"], ["c0"], "stem", strides=[2, 2], pads=[1] * 4),
        node("Sigmoid", ["c0"], ["s0"]),
        node("Mul", ["c0", "s0"], ["a0"]),
        node("Conv", ["a0", "w1", "b1"], ["c1"], "body", pads=[1] * 4),
        node("Mul", ["gain", "c1"], ["g1"]),
        node("LeakyRelu", ["g1"], ["a1"], alpha=0.2),
        node("Add", ["a0", "a1"], ["sum"], "residual"),
        node("Split", ["sum", "sizes"], ["left", "right"], "halves", axis=1),
        node("Conv", ["left", "wd"], ["deep"], "depthwise", pads=[1] * 4, group=8),
        node("Concat", ["left", "deep", "right"], ["all"], "together", axis=1),
        node("ConvTranspose", ["all", "wt"], ["up"], "wider", strides=[2, 2]),
        node("BatchNormalization", ["up", "bn", "bn", "mean", "var"], ["normal"], "norm"),
        node("LeakyRelu", ["normal"], ["a2"], alpha=0.2),
        node("GlobalAveragePool", ["a2"], ["mean_of"]),
        node("Conv", ["mean_of", "ws"], ["gate"], "gate"),
        node("Mul", ["a2", "gate"], ["gated"]),
        node("MaxPool", ["gated"], ["pooled"], kernel_shape=[4, 4], strides=[4, 4]),
        node("Resize", ["pooled", "", "scales"], ["larger"], mode="nearest"),
        node("AveragePool", ["larger"], ["small"], kernel_shape=[4, 4], strides=[4, 4]),
        node("Reshape", ["small", "rows"], ["flat"], "flatten"),
        node("Gemm", ["flat", "wl", "bl"], ["linear"], "linear", transB=1),
        node("LeakyRelu", ["linear"], ["a3"], alpha=0.2),
        node("MatMul", ["a3", "wo"], ["y"], "answer"),
    ]
    made = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 3, 16, 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 5])],
        [numpy_helper.from_array(value, name) for name, value in tensors.items()],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    graph.name_nodes(model.graph.node)
    return model


def bundled() -> onnx.ModelProto:
    model = onnx.load(DETECTOR)
    graph.name_nodes(model.graph.node)
    return model


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 1000), ratio=st.floats(0.05, 0.95), which=st.sampled_from([network, bundled]))
def test_channels_that_count_for_nothing_go_without_a_trace(seed: int, ratio: float, which: Any) -> None:
    model, dice = which(), np.random.default_rng(seed)
    graph.lift_constants(model)
    unshared(model)
    model = graph.inferred(model)
    found = follow(model)
    assert len(found.groups()) > 2
    values = graph.constants(model)
    gone, _ = least(found, lambda name: dice.random(values[name].shape), ratio, "l1")
    for tie in found.ties.values():
        if tie.role == "filter" or values[tie.weight].ndim == 1:  # what makes the channel; not what reads it
            leaving = [found.root(channel) in gone for channel in tie.channels.tolist()]
            emptied = np.moveaxis(values[tie.weight].copy(), tie.axis, 0)
            emptied[leaving] = 0
            values[tie.weight] = np.moveaxis(emptied, 0, tie.axis)
    for tensor in model.graph.initializer:
        tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(values[tensor.name]), tensor.name))
    picture = {"images": dice.random((2, 3, 16, 16) if which is network else (1, 3, 64, 96), np.float32)}
    expected, size = Opened(model).run(picture), model.ByteSize()
    without(model, found, gone)
    onnx.checker.check_model(graph.inferred(model), full_check=True)
    assert model.ByteSize() < size or not gone
    for name, answer in Opened(model).run(picture).items():
        assert expected[name].std() > 0
        np.testing.assert_allclose(answer, expected[name], rtol=1e-4, atol=1e-4 * np.abs(expected[name]).max())


def test_channels_that_hang_together_are_one_group() -> None:
    model = network()
    unshared(model)
    groups = follow(graph.inferred(model)).groups()
    assert {layers: len(members) for layers, members in groups.items()} == {
        ("body", "stem"): 16,
        ("gate", "wider"): 12,
        ("linear",): 20,
    }, "the answer's own channels are not among them"


def test_what_is_not_followed_keeps_its_channels(tmp_path: Path) -> None:
    """Each of these reads the channels as something that is not known here, or is read by somebody else, too."""
    for change in ("reshape", "shared weight", "output", "inner graph"):
        model = network()
        nodes, tensors = model.graph.node, model.graph.initializer
        if change == "reshape":
            tensors.append(numpy_helper.from_array(np.array([0, 8, 2, -1], np.int64), "odd"))
            nodes.append(helper.make_node("Reshape", ["sum", "odd"], ["unread"], "odd"))
        elif change == "shared weight":
            nodes.append(helper.make_node("ReduceSum", ["w1"], ["unread"], "odd", keepdims=0))
        elif change == "output":
            model.graph.output.append(helper.make_tensor_value_info("sum", TensorProto.FLOAT, None))
        else:
            branch = helper.make_graph(
                [helper.make_node("Identity", ["sum"], ["b"], "b")],
                "branch",
                [],
                [helper.make_tensor_value_info("b", TensorProto.FLOAT, None)],
            )
            tensors.append(numpy_helper.from_array(np.array(True), "yes"))
            nodes.append(helper.make_node("If", ["yes"], ["unread"], "odd", then_branch=branch, else_branch=branch))
        unshared(model)
        groups = follow(graph.inferred(model)).groups()
        assert ("body", "stem") not in groups, change
        assert ("linear",) in groups, change


def test_it_becomes_smaller_and_says_what_it_did(tmp_path: Path) -> None:
    made = TRANSFORMS.make("prune_onnx", read_artifact(DETECTOR), tmp_path / "pruned.onnx", ratio=0.5)
    before, after = made.step.options["parameters"]
    assert after < 0.5 * before
    assert (tmp_path / "pruned.onnx").stat().st_size < 0.55 * DETECTOR.stat().st_size
    assert read_artifact(tmp_path / "pruned.onnx").labels == read_artifact(DETECTOR).labels


def test_scales_of_batch_normalisation_decide_where_they_are_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "network.onnx"
    model = network()
    for tensor in model.graph.initializer:
        if tensor.name == "bn":
            tensor.CopyFrom(numpy_helper.from_array(np.repeat([0.01, 3.0], 6).astype(np.float32), "bn"))
    onnx.save(model, path)
    TRANSFORMS.make("prune_onnx", read_artifact(path), tmp_path / "pruned.onnx", ratio=0.3, importance="scale")
    left = graph.constants(onnx.load(tmp_path / "pruned.onnx"))["bn"]
    assert left.tolist() == pytest.approx([0.01] * 2 + [3.0] * 6)


def test_what_cannot_be_done_is_refused(tmp_path: Path) -> None:
    parent = tmp_path / "parent.onnx"
    parent.write_bytes(detector())
    source = read_artifact(parent)
    for options, said in (({"ratio": 1.0}, "ratio=1.0"), ({"importance": "l3"}, "importance='l3'")):
        with pytest.raises(InputError, match=said):
            TRANSFORMS.make("prune_onnx", source, tmp_path / "pruned.onnx", **options)
    with pytest.raises(InputError, match="no batch normalisation"):
        TRANSFORMS.make("prune_onnx", source, tmp_path / "pruned.onnx", importance="scale")
    with pytest.raises(ModelRefused, match="no channels that can go"):
        TRANSFORMS.make("prune_onnx", source, tmp_path / "pruned.onnx", ratio=0.001)
