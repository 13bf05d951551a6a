"""The type in which each layer computes, read from the file and not from its name."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

sys.path.append(str(Path(__file__).parents[1] / "faults"))

import architectures
from conversions import feeds_of

from throughline.bundled import DETECTOR, WEIGHTS
from throughline.models.precision import precision_of_layers
from throughline.models.transforms import TRANSFORMS


def test_work_is_counted_as_by_hand(tmp_path: Path) -> None:
    layers = {layer.name: layer for layer in precision_of_layers(architectures.classifier(tmp_path)).layers}
    assert layers["stem"].work == 32 * 32 * 16 * 3 * 9
    assert layers["top"].work == 16 * 16 * 32 * 16 * 9
    assert layers["logits"].work == 10 * 32
    assert {layer.dtype for layer in layers.values()} == {"float32"}


def test_work_of_grouped_transposed_and_recurrent_layers(tmp_path: Path) -> None:
    depth = {layer.name: layer.work for layer in precision_of_layers(architectures.depthwise(tmp_path)).layers}
    assert depth["block0.depth"] == 32 * 32 * 48 * 9
    up = {layer.name: layer.work for layer in precision_of_layers(architectures.segmenter(tmp_path)).layers}
    assert up["up1"] == 16 * 16 * 32 * 24 * 4
    steps = {layer.name: layer.work for layer in precision_of_layers(architectures.recurrent(tmp_path)).layers}
    assert steps["lstm"] == 12 * 4 * 24 * (8 + 24)


@pytest.mark.parametrize(
    ("transform", "suffix", "dtype"),
    [
        ("half", ".onnx", "float16"),
        ("int8", ".onnx", "int8"),
        ("openvino_int8", ".xml", "int8"),
        ("openvino", ".xml", "float32"),
    ],
)
def test_what_transforms_make_is_what_it_says(tmp_path: Path, transform: str, suffix: str, dtype: str) -> None:
    source = architectures.segmenter(tmp_path)
    target = tmp_path / f"made{suffix}"
    TRANSFORMS.make(transform, source, target, **({} if transform == "openvino" else {"feeds": feeds_of(source)}))
    shares = precision_of_layers(target).shares
    assert shares[dtype] > 0.9
    assert sum(shares.values()) == pytest.approx(1)


def test_both_formats_count_the_same_work(tmp_path: Path) -> None:
    source = architectures.segmenter(tmp_path)
    TRANSFORMS.make("openvino", source, tmp_path / "made.xml")
    one, other = (precision_of_layers(path) for path in (source.path, tmp_path / "made.xml"))
    assert sum(layer.work for layer in one.layers) == sum(layer.work for layer in other.layers)


def test_halves_that_are_cast_up_before_they_are_used_compute_in_float32(tmp_path: Path) -> None:
    weights = np.ones((4, 3, 1, 1), np.float16)
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["half"], ["full"], to=TensorProto.FLOAT),
            helper.make_node("Conv", ["x", "full"], ["y"], name="conv"),
        ],
        "cast",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, "height", "width"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 4, "height", "width"])],
        [numpy_helper.from_array(weights, "half")],
    )  # fmt: skip
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "cast.onnx"
    )
    assert precision_of_layers(tmp_path / "cast.onnx").shares == {"float32": 1.0}


def test_weights_alone_in_eight_bits_are_not_computed_in_eight_bits(tmp_path: Path) -> None:
    source = architectures.perceptron(tmp_path)
    TRANSFORMS.make("weights", source, tmp_path / "small.onnx", bits=8)
    assert precision_of_layers(tmp_path / "small.onnx").shares == {"float32": 1.0}


def test_the_bundled_detector_computes_in_float32() -> None:
    found = precision_of_layers(DETECTOR)
    assert found.shares == {"float32": 1.0}
    assert len(found.layers) > 50


def test_what_cannot_be_read_is_said() -> None:
    found = precision_of_layers(WEIGHTS)
    assert found.layers == ()
    assert found.shares == {}
    assert ".safetensors does not say" in found.unreadable
