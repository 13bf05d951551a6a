"""Engines: built for a GPU that is not here and read back; what runs them needs one."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from throughline.bundled import DETECTOR
from throughline.contracts.artifacts import Artifact
from throughline.contracts.errors import InputError, MissingExtra, ModelRefused, Unavailable
from throughline.hardware import detect
from throughline.models.artifact import read_artifact
from throughline.models.identify import identify
from throughline.models.session import open_model
from throughline.models.transforms import TRANSFORMS, Made

without_gpu = pytest.mark.skipif(bool(detect().gpus), reason="there is a GPU here")
rtx = pytest.mark.skipif(find_spec("tensorrt_rtx") is None, reason="tensorrt_rtx is not installed")


def small(folder: Path, kind: str) -> Artifact:
    """One convolution: in halves, or between quantised tensors in the ways that graphs come quantised."""
    dice = np.random.default_rng(0)
    kernel, bias = dice.normal(0, 0.1, (8, 3, 3, 3)).astype(np.float32), dice.normal(0, 0.1, 8).astype(np.float32)
    constants: dict[str, Any] = {}
    if kind == "half":
        constants = {"w": kernel.astype(np.float16), "b": bias.astype(np.float16)}
        before = [helper.make_node("Cast", ["images"], ["x"], "in", to=TensorProto.FLOAT16)]
        after = [helper.make_node("Cast", ["r"], ["output0"], "out", to=TensorProto.FLOAT)]
    else:
        whole = np.uint8 if kind in ("uint8", "unsigned from zero") else np.int8
        zero = whole({"uint8": 128, "asymmetric": 7}.get(kind, 0))
        constants = {"s": np.float32(0.02), "z": zero, "ws": np.full(8, 0.01, np.float32), "wz": np.zeros(8, np.int8)}
        constants["wq"] = (kernel * 50).astype(np.int8)
        before = [
            helper.make_node("QuantizeLinear", ["images", "s", "z"], ["q"], "quantise"),
            helper.make_node("DequantizeLinear", ["q", "s", "z"], ["x"], "back"),
            helper.make_node("DequantizeLinear", ["wq", "ws", "wz"], ["w"], "weights", axis=0),
        ]
        after = [helper.make_node("Identity", ["r"], ["output0"], "out")]
        constants["b"] = bias
        if kind == "quantised bias":
            del constants["b"]
            constants |= {"bq": (bias * 1000).astype(np.int32), "bs": np.full(8, 0.001, np.float32)}
            before.append(helper.make_node("DequantizeLinear", ["bq", "bs"], ["b"], "bias", axis=0))
    middle = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"], "conv", pads=[1] * 4),
        helper.make_node("Relu", ["c"], ["r"], "relu"),
    ]
    shapes = {"images": ["batch", 3, "height", "width"], "output0": ["batch", 8, "height", "width"]}
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]
    weights = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph([*before, *middle, *after], "small", values[:1], values[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    helper.set_model_props(model, {"stride": "8", "imgsz": "[16, 24]"})
    path = folder / f"{kind}.onnx"
    path.write_bytes(model.SerializeToString())
    return read_artifact(path)


def engine(source: Artifact, folder: Path, **options: Any) -> Made:
    made: Made = TRANSFORMS.make("tensorrt_rtx", source, folder / "made.engine", **{"capability": "8.9", **options})
    return made


@rtx
def test_the_detector_becomes_an_engine_for_a_gpu_that_is_not_here(tmp_path: Path) -> None:
    made = engine(read_artifact(DETECTOR), tmp_path, batch=4, workspace=256)
    about = identify(tmp_path / "made.engine")
    assert (about.format, about.producer, about.risk.level) == ("tensorrt", "TensorRT-RTX", "program")
    assert about.kind.startswith("TensorRT-RTX engine, built by 1.7")
    assert made.step.options == {
        "capability": "8.9",
        "profile": {"images": [[1, 3, 32, 32], [1, 3, 384, 640], [4, 3, 640, 640]]},
        "layers": {"float32": 76},
        "workspace_mb": 256,
    }
    assert made.step.tool.startswith("TensorRT-RTX 1.7")
    assert [str(spec) for spec in made.changes["inputs"]] == ["images float32[batch, 3, height, width]"]
    assert [str(spec) for spec in made.changes["outputs"]] == ["output0 float32[batch, 10, anchors]"]
    assert made.changes["precision"] == "float32"
    assert "machine" not in made.changes, "it is for a GPU elsewhere"
    assert "does not promise the same bytes" in made.notes[-1]


@rtx
@pytest.mark.parametrize(
    ("kind", "precision", "layers"),
    [
        ("half", "float16", {"float16": 1}),
        ("signed", "int8 (q/dq), 100 % of weights", {"int8": 1}),
    ],
)
def test_the_precision_is_the_graphs_own(kind: str, precision: str, layers: dict[str, int], tmp_path: Path) -> None:
    made = engine(small(tmp_path, kind), tmp_path, capability="12.0")
    assert made.changes["precision"] == precision
    assert made.step.options["layers"] == layers
    assert made.step.options["profile"] == {"images": [[1, 3, 8, 8], [1, 3, 16, 24], [8, 3, 24, 24]]}


@rtx
@pytest.mark.parametrize(
    ("kind", "problem"),
    [
        ("uint8", r"the node 'quantise' \(QuantizeLinear\) quantises to uint8"),
        ("unsigned from zero", r"the node 'quantise' \(QuantizeLinear\) quantises to uint8"),
        ("asymmetric", r"does not take the node 'quantise' \(QuantizeLinear\).*Non-zero zero point"),
        ("quantised bias", r"does not take the node 'bias' \(DequantizeLinear\)"),
    ],
)
def test_what_was_quantised_for_something_else_is_refused_by_node(kind: str, problem: str, tmp_path: Path) -> None:
    with pytest.raises((InputError, ModelRefused), match=problem) as raised:
        engine(small(tmp_path, kind), tmp_path)
    assert "no quantised bias" in raised.value.fix
    assert not (tmp_path / "made.engine").exists()


@rtx
def test_a_profile_can_be_given_whole(tmp_path: Path) -> None:
    shapes = [(1, 3, 16, 16), (2, 3, 32, 32), (2, 3, 32, 64)]
    made = engine(small(tmp_path, "half"), tmp_path, profile={"images": shapes})
    assert made.step.options["profile"]["images"] == [list(shape) for shape in shapes]
    assert "'images' may be 1x3x16x16 to 2x3x32x32 to 2x3x32x64" in made.notes


@rtx
@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"capability": "9.0"}, "capability='9.0': TensorRT-RTX builds no engines for it"),
        ({"workspace": 0}, "workspace=0"),
        ({"batch": 0}, "batch=0"),
        ({"profile": {"images": [(1, 3, 8, 8)]}}, "the profile of 'images'"),
        ({"profile": {"images": [(1, 3, 8, 8), (1, 3, 4, 8), (1, 3, 8, 8)]}}, "the profile of 'images'"),
        ({"profile": {"images": [(1, 4, 8, 8)] * 3}}, "the profile of 'images'"),
        ({"profile": {"pictures": [(1, 3, 8, 8)] * 3}}, "nothing says how large 'images"),
    ],
)
def test_what_cannot_be_asked_for_is_said(options: dict[str, Any], problem: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=problem) as raised:
        engine(small(tmp_path, "half"), tmp_path, **options)
    assert raised.value.fix


@rtx
@without_gpu
def test_without_a_gpu_the_one_that_it_is_for_has_to_be_named(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="there is none") as raised:
        engine(small(tmp_path, "half"), tmp_path, capability=None)
    assert "--capability 8.9" in raised.value.fix


@without_gpu
def test_tensorrt_itself_builds_where_its_gpu_is(tmp_path: Path) -> None:
    expected = Unavailable if find_spec("tensorrt") else MissingExtra
    with pytest.raises(expected):
        TRANSFORMS.make("tensorrt", small(tmp_path, "half"), tmp_path / "made.engine")


@pytest.mark.gpu
@pytest.mark.parametrize("product", ["tensorrt", "tensorrt_rtx"])
@pytest.mark.parametrize("kind", ["half", "signed"])
def test_an_engine_gives_the_answers_of_its_graph(product: str, kind: str, tmp_path: Path) -> None:
    if find_spec(product) is None:
        pytest.skip(f"{product} is not installed")
    source = small(tmp_path, kind)
    TRANSFORMS.make(product, source, tmp_path / "made.engine")
    feeds = {"images": np.random.default_rng(1).random((3, 3, 16, 24), np.float32)}
    with open_model(source.path, device="cpu") as there:
        expected = there.predict(feeds)["output0"]
    with open_model(tmp_path / "made.engine", backend=product, trust=True) as here:
        np.testing.assert_allclose(here.predict(feeds)["output0"], expected, atol=0.02)


@pytest.mark.gpu
@pytest.mark.skipif(find_spec("tensorrt") is None, reason="no NVIDIA GPU with tensorrt")
def test_a_timing_cache_is_written_and_read(tmp_path: Path) -> None:
    cache = tmp_path / "timings.cache"
    for _ in range(2):
        TRANSFORMS.make("tensorrt", small(tmp_path, "half"), tmp_path / "made.engine", timing_cache=cache)
        assert cache.stat().st_size > 0
