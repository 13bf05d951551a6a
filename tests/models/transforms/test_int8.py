"""INT8 that still finds things: what must stay float is found, and the numbers say what was lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from throughline.bundled import DETECTOR
from throughline.contracts.artifacts import Artifact
from throughline.contracts.detections import Detections
from throughline.contracts.errors import InputError, ModelRefused
from throughline.contracts.frames import Frame
from throughline.evaluation.boxes import score_boxes
from throughline.models.artifact import read_artifact
from throughline.models.session import open_model
from throughline.models.transforms import TRANSFORMS, int8
from throughline.models.transforms._calibration import ranges
from throughline.models.transforms._layers import told_apart
from throughline.models.transforms._sensitivity import difference
from throughline.testing.transforms import detector, pictures
from throughline.testing.world import World
from throughline.vision.detector import detector_for

FRAMES = 40


@pytest.fixture
def parent(tmp_path: Path) -> Artifact:
    path = tmp_path / "parent.onnx"
    path.write_bytes(detector())
    return read_artifact(path)


def feeds() -> Iterator[dict[str, np.ndarray]]:
    return iter(pictures(4))


def quantised(path: Path) -> set[str]:
    """The names of the nodes that read something dequantised."""
    nodes = onnx.load(path).graph.node
    made = {node.output[0] for node in nodes if node.op_type == "DequantizeLinear"}
    return {node.name for node in nodes if made.intersection(node.input)} - {
        node.name for node in nodes if node.op_type == "QuantizeLinear"
    }


def on_streets(seeds: range) -> Iterator[tuple[np.ndarray, tuple[Frame, Detections]]]:
    source = read_artifact(DETECTOR)
    with open_model(DETECTOR, device="cpu") as session:
        model = detector_for(source, session, frame=(384, 640))
        for seed in seeds:
            frame, truth = World(seed).frame(seed % 97)
            batch = model.buffer(1)
            model.fill(batch, [frame])
            yield batch, (frame, truth.detections)


def test_the_bundled_detector_loses_next_to_nothing(tmp_path: Path) -> None:
    source = read_artifact(DETECTOR)
    calibration = [{"images": batch} for batch, _ in on_streets(range(100, 108))]
    made = TRANSFORMS.make("int8", source, tmp_path / "int8.onnx", feeds=lambda: iter(calibration))
    assert made.step.options["feeds"] == 8
    assert made.step.options["layers"] == 76
    assert (tmp_path / "int8.onnx").stat().st_size < 0.4 * DETECTOR.stat().st_size
    assert "int8 (q/dq)" in (read_artifact(tmp_path / "int8.onnx").passport.precision or "")
    scores = {}
    streets = list(on_streets(range(9_000, 9_000 + FRAMES)))
    for path in (DETECTOR, tmp_path / "int8.onnx"):
        with open_model(path, device="cpu") as session:
            model = detector_for(source, session, frame=(384, 640), conf=0.001)
            found = []
            for batch, (frame, _) in streets:
                fit = model.preprocess.fit(frame.size, model.canvas)
                found += model.read(model.predict(batch), [fit])
            scores[path.name] = score_boxes(found, [truth for _, (_, truth) in streets]).map50_95
    assert scores["int8.onnx"] > scores["detector.onnx"] - 0.02


def test_decoding_stays_float_and_layers_do_not(parent: Artifact, tmp_path: Path) -> None:
    TRANSFORMS.make("int8", parent, tmp_path / "int8.onnx", feeds=feeds)
    found = quantised(tmp_path / "int8.onnx")
    assert {"stem", "body", "deep", "boxes", "classes"} <= found
    assert not {"both", "places"} & found


def test_boxes_and_scores_do_not_share_a_scale_even_before_a_layer(tmp_path: Path) -> None:
    """The failure that ends in no detections at all: pixels and probabilities in one tensor of eight bits."""
    dice = np.random.default_rng(0)
    eye = np.eye(8, dtype=np.float32)[:, :, None, None]
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "w"], ["features"], "layer"),
            helper.make_node("Split", ["features"], ["boxes", "logits"], "split", axis=1),
            helper.make_node("Mul", ["boxes", "pixels"], ["in_pixels"], "in_pixels"),
            helper.make_node("Sigmoid", ["logits"], ["scores"], "scores"),
            helper.make_node("Concat", ["in_pixels", "scores"], ["both"], "both", axis=1),
            helper.make_node("Conv", ["both", "eye"], ["y"], "last"),
        ],
        "mixed",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["b", 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["b", 8, 8, 8])],
        [
            numpy_helper.from_array(dice.normal(0, 1, (8, 3, 1, 1)).astype(np.float32), "w"),
            numpy_helper.from_array(np.array(640, np.float32), "pixels"),
            numpy_helper.from_array(eye, "eye"),
        ],
    )
    path = tmp_path / "mixed.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    x = dice.random((1, 3, 8, 8), np.float32)
    made = TRANSFORMS.make("int8", read_artifact(path), tmp_path / "int8.onnx", feeds=lambda: iter([{"x": x}]))
    assert any("both" in note and "unlike" in note for note in made.notes)
    assert "last" not in quantised(tmp_path / "int8.onnx")
    rounded = {
        node.input[0] for node in onnx.load(tmp_path / "int8.onnx").graph.node if node.op_type == "QuantizeLinear"
    }
    assert "features" in rounded
    assert not {"both", "y"} & rounded
    with open_model(path, device="cpu") as one, open_model(tmp_path / "int8.onnx", device="cpu") as other:
        expected, found = one.predict({"x": x})["y"], other.predict({"x": x})["y"]
    np.testing.assert_allclose(found[:, 4:], expected[:, 4:], atol=0.05)


def test_the_layer_that_spoils_the_answers_is_found_and_left_out(tmp_path: Path) -> None:
    """One activation in a thousand is large and decides nothing; eight bits over it leave nothing of the rest."""
    dice = np.random.default_rng(1)
    nodes, weights, last = [], {}, "x"
    for number in range(4):
        weights[f"w{number}"] = dice.normal(0, 0.4, (8, 8, 1, 1)).astype(np.float32)
        nodes.append(helper.make_node("Conv", [last, f"w{number}"], [f"c{number}"], f"layer{number}"))
        nodes.append(helper.make_node("Relu", [f"c{number}"], [f"a{number}"], f"relu{number}"))
        last = f"a{number}"
    weights["w1"][0] *= 3000.0
    weights["w2"][:, 0] = 0.0
    graph = helper.make_graph(
        nodes,
        "outlier",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["b", 8, 8, 8])],
        [helper.make_tensor_value_info("a3", TensorProto.FLOAT, ["b", 8, 8, 8])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    path = tmp_path / "outlier.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    xs = [{"x": dice.random((1, 8, 8, 8), np.float32)} for _ in range(3)]

    def make(name: str, **options: Any) -> dict[str, Any]:
        made = TRANSFORMS.make(
            "int8", read_artifact(path), tmp_path / name, feeds=lambda: iter(xs), method="minmax", **options
        )
        return dict(made.step.options)

    whole, spared = make("whole.onnx", sensitive="none"), make("spared.onnx")
    assert whole["left_out"] == []
    assert whole["error"] > 0.25 >= spared["error"]
    assert set(spared["left_out"]) <= {"layer1", "layer2"}
    by_hand = make("kept.onnx", sensitive="none", keep=("layer1", "relu1", "layer2"))
    assert by_hand["error"] < 0.25
    assert by_hand["kept"] == ["layer1", "relu1", "layer2"]


def test_nothing_is_made_or_asked_twice(parent: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    walks, made, quantise = 0, 0, int8._quantised

    def counted() -> Iterator[dict[str, np.ndarray]]:
        nonlocal walks
        walks += 1
        return feeds()

    def counting(*args: Any) -> Any:
        nonlocal made
        made += 1
        return quantise(*args)

    monkeypatch.setattr(int8, "_quantised", counting)
    result = TRANSFORMS.make("int8", parent, tmp_path / "int8.onnx", feeds=counted, error=1e-9)
    tried = 3  # of five layers at most two are left out: none, one, two
    assert made == tried
    assert walks == 2 + 1 + 1, "the ranges take two, the float model's answers one, each layer's share one"
    assert len(result.step.options["left_out"]) <= 2


def test_pairs_for_nvidia_are_symmetric_and_biases_float(parent: Artifact, tmp_path: Path) -> None:
    TRANSFORMS.make("int8", parent, tmp_path / "int8.onnx", feeds=feeds, for_="nvidia")
    model = onnx.load(tmp_path / "int8.onnx")
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    pairs = [node for node in model.graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")]
    for node in pairs:
        zero = numpy_helper.to_array(constants[node.input[2]])
        assert zero.dtype == np.int8
        assert not zero.any()
    for node in model.graph.node:
        if node.op_type == "Conv":
            assert constants[node.input[2]].data_type == TensorProto.FLOAT
            assert all(name not in constants for name in node.input[:2])


def test_weights_have_a_scale_for_each_channel(parent: Artifact, tmp_path: Path) -> None:
    TRANSFORMS.make("int8", parent, tmp_path / "int8.onnx", feeds=feeds)
    constants = {tensor.name: tensor for tensor in onnx.load(tmp_path / "int8.onnx").graph.initializer}
    assert list(constants["w3_scale"].dims) == [16]
    assert constants["w3_quantized"].data_type == TensorProto.INT8


@pytest.mark.parametrize("method", ["entropy", "percentile", "minmax"])
def test_every_method_cuts_ranges_and_feeds_may_differ_in_size(method: Any) -> None:
    model = onnx.shape_inference.infer_shapes(onnx.load_from_string(detector()))
    several = [*pictures(2), *pictures(2, batch=2, height=64, width=32)]
    found = ranges(model, lambda: iter(several), ["a1", "a2", "c3"], method)
    whole = ranges(model, lambda: iter(several), ["a1", "a2", "c3"], "minmax")
    for name, (low, high) in found.items():
        assert whole[name][0] <= low <= 0 <= high <= whole[name][1]
        assert high > 0.2 * whole[name][1]


def test_no_levels_are_spent_on_what_an_activation_function_cannot_tell_apart() -> None:
    """A SiLU makes nothing of -60; the two that read it otherwise need all of it."""
    nodes = [
        helper.make_node("Sigmoid", ["x"], ["gate"]),
        helper.make_node("Mul", ["gate", "x"], ["silu"]),
        helper.make_node("HardSigmoid", ["silu"], ["hard"], alpha=0.25, beta=0.5),
        helper.make_node("Sigmoid", ["read"], ["one"]),
        helper.make_node("Relu", ["read"], ["other"]),
        helper.make_node("Sigmoid", ["out"], ["last"]),
        helper.make_node("HardSwish", ["last"], ["end"]),
    ]
    tensors = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [4]) for name in ("x", "read", "out")]
    model = helper.make_model(helper.make_graph(nodes, "gates", tensors, tensors[2:]))
    wide = (-60.0, 70.0)
    found = told_apart(model, dict.fromkeys(("x", "silu", "read", "out", "last"), wide))
    assert found == {"x": (-8.0, 70.0), "silu": (-2.0, 2.0), "read": wide, "out": wide, "last": (-8.0, 70.0)}
    x = np.linspace(*wide, 9999)
    lost = np.clip(x, -8, 70)
    assert np.abs(x / (1 + np.exp(-x)) - lost / (1 + np.exp(-lost))).max() < 0.003


def test_an_outlier_is_cut_off_by_percentile_and_entropy() -> None:
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "same",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n"])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    values = np.random.default_rng(0).normal(0, 1, 500_000).astype(np.float32)
    values[0] = 50.0
    for method, most in (("minmax", 50.0), ("percentile", 6.0), ("entropy", 10.0)):
        ((low, high),) = ranges(model, lambda: iter([{"x": values}]), ["y"], method).values()  # type: ignore[arg-type]
        assert high <= most
        assert high >= 2.0
        assert -6.0 <= low <= -2.0


def test_scores_are_not_hidden_behind_boxes() -> None:
    real = np.zeros((1, 6, 100), np.float32)
    real[:, :4] = np.random.default_rng(0).uniform(50, 600, (4, 100))
    real[:, 4:] = np.random.default_rng(1).uniform(0, 1, (2, 100))
    without = real.copy()
    without[:, 4:] = 0
    assert difference({"y": real}, {"y": real}) == 0
    assert difference({"y": real}, {"y": without}) == pytest.approx(1.0)
    assert difference({"y": real.transpose(0, 2, 1)}, {"y": without.transpose(0, 2, 1)}) == pytest.approx(1.0)


def test_what_cannot_be_done_is_refused(parent: Artifact, tmp_path: Path) -> None:
    def make(**options: Any) -> None:
        TRANSFORMS.make("int8", parent, tmp_path / "int8.onnx", **{"feeds": feeds, **options})

    with pytest.raises(InputError, match="method='best'"):
        make(method="best")
    with pytest.raises(InputError, match="for_='tpu'"):
        make(for_="tpu")
    with pytest.raises(InputError, match="no feeds"):
        make(feeds=lambda: iter(()))
    with pytest.raises(InputError, match="'stemm'"):
        make(keep=("stemm",))
    with pytest.raises(InputError, match="nothing is left"):
        make(keep=("stem", "body", "deep", "boxes", "classes"))
    with pytest.raises(InputError, match="named"):
        make(feeds=lambda: iter([{"pictures": np.zeros((1, 3, 32, 32), np.float32)}]))
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])],
        "bare",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4])],
    )
    bare = tmp_path / "bare.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), bare)
    with pytest.raises(ModelRefused, match="no convolution"):
        TRANSFORMS.make("int8", read_artifact(bare), tmp_path / "int8.onnx", feeds=feeds)
