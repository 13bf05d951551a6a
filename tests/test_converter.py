from __future__ import annotations

import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from throughline import TensorRTConverter
from throughline.bundled import DETECTOR, WEIGHTS
from throughline.contracts.errors import InputError, ModelRefused, Unavailable
from throughline.hardware import detect
from throughline.models import passport as passports
from throughline.models.artifact import read_artifact
from throughline.testing.transforms import detector

rtx = pytest.mark.skipif(find_spec("tensorrt_rtx") is None, reason="tensorrt_rtx is not installed")
without_gpu = pytest.mark.skipif(bool(detect().gpus), reason="there is a GPU here")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "small.onnx"
    path.write_bytes(detector())
    return path


@rtx
def test_an_engine_for_another_gpu_says_that_it_never_ran(model: Path) -> None:
    made = TensorRTConverter("8.9", batch=2).convert(model)
    assert (made.path, made.product, made.precision, made.proven) == (
        model.with_suffix(".engine"), "tensorrt_rtx", "float32", False
    )  # fmt: skip
    about = read_artifact(made.path)
    assert about.issued
    assert about.passport.parent == read_artifact(model).sha256
    assert about.labels == ("cat", "dog", "bird")
    assert [step.name for step in about.passport.steps] == ["tensorrt_rtx"]
    assert [check.observed for check in about.passport.evidence[0].checks] == ["not run on this machine"]
    assert passports.holds(made.path) is None
    assert "not run here" in str(made)
    assert not [path for path in model.parent.iterdir() if path.name.startswith(".")], "no draft is left behind"


@rtx
def test_halves_are_proven_before_they_become_an_engine(tmp_path: Path) -> None:
    half = TensorRTConverter("12.0").convert(DETECTOR, tmp_path / "half.engine", half=True)
    assert half.precision is not None
    assert "float16" in half.precision
    about = read_artifact(half.path).passport
    assert [step.name for step in about.steps[-2:]] == ["half", "tensorrt_rtx"]
    assert len(about.evidence[0].checks) > 3


@rtx
def test_a_graph_that_is_no_longer_the_model_becomes_no_engine(model: Path) -> None:
    converter = TensorRTConverter("12.0")

    def nothing_to_see() -> Iterator[dict[str, np.ndarray[Any, Any]]]:
        yield {"images": np.zeros((1, 3, 32, 48), np.float32)}

    with pytest.raises(ModelRefused, match="the onnx made of it is not the same model"):
        converter.convert(model, int8=nothing_to_see)
    assert not model.with_suffix(".engine").exists()
    with pytest.raises(InputError, match="both given"):
        converter.convert(model, half=True, int8=nothing_to_see)


@rtx
def test_a_graph_that_asks_for_absurd_memory_is_opened_in_a_child_first(tmp_path: Path) -> None:
    parts = {"root": np.array([1 << 30], np.int64), "factor": np.array([1 << 10], np.int64)}
    graph = helper.make_graph(
        [
            helper.make_node("Mul", ["root", "factor"], ["size"]),
            helper.make_node("ConstantOfShape", ["size"], ["filled"]),
            helper.make_node("Add", ["x", "filled"], ["y"]),
        ],
        "greedy",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in parts.items()],
    )
    path = tmp_path / "greedy.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    with pytest.raises(ModelRefused, match="asked for more than"):
        TensorRTConverter("8.9").convert(path, half=True)


@rtx
def test_what_would_be_overwritten_is_said_before_anything_is_built(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.with_suffix(".engine").write_bytes(b"somebody else's")
    monkeypatch.setattr("throughline.converter.follow", lambda *_: pytest.fail("it was built"))
    with pytest.raises(InputError, match="is there already"):
        TensorRTConverter("8.9").convert(model)


@rtx
def test_one_failure_does_not_stop_the_others(model: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.onnx").write_bytes(b"no model at all")
    shutil.copy(model, tmp_path / "third.onnx")
    out = tmp_path / "engines"
    broken, small, third = TensorRTConverter("8.9").batch_convert(tmp_path, out)
    assert broken.engine is None
    assert "broken.onnx" in str(broken)
    assert small.engine is not None
    assert third.engine is not None
    assert sorted(path.name for path in out.glob("*.engine")) == ["small.engine", "third.engine"]
    with pytest.raises(InputError, match=r"holds no \.onnx file"):
        TensorRTConverter("8.9").batch_convert(out)


@rtx
def test_a_model_is_timed_and_held_against_itself(model: Path) -> None:
    converter = TensorRTConverter("8.9")
    stats = converter.benchmark(model, batch=2, runs=5, device="cpu")
    assert (stats.calls, stats.samples, dict(stats.batch_sizes)) == (5, 10, {2: 5})
    assert converter.compare_models(model, model).verdict.passed
    with pytest.raises(InputError, match="batch=0"):
        converter.benchmark(model, batch=0)


@rtx
@without_gpu
def test_what_needs_a_gpu_says_so(model: Path) -> None:
    converter = TensorRTConverter("8.9")
    made = converter.convert(model)
    with pytest.raises(Unavailable, match="needs an NVIDIA GPU"):
        converter.benchmark(made.path)
    with pytest.raises(Unavailable, match="needs an NVIDIA GPU"):
        converter.compare_models(model, made.path)
    with pytest.raises(Unavailable, match="no GPU here to build engines for") as raised:
        TensorRTConverter()
    assert "'8.9'" in raised.value.fix


@rtx
def test_what_cannot_be_converted_is_said(model: Path, tmp_path: Path) -> None:
    converter = TensorRTConverter("8.9")
    with pytest.raises(InputError, match="is safetensors; engines are built from onnx"):
        converter.convert(WEIGHTS)
    with pytest.raises(InputError, match="TensorRT-RTX builds no engines for it"):
        TensorRTConverter("9.0").convert(model)
    with pytest.raises(InputError, match="timing_cache"):
        TensorRTConverter("8.9", timing_cache=tmp_path / "timings")
    with pytest.raises(InputError, match="written over the model"):
        converter.convert(model, model)
    assert not model.with_suffix(".engine").exists()


@pytest.mark.gpu
def test_an_engine_for_this_gpu_is_proven_on_it() -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        converter = TensorRTConverter()
        made = converter.convert(DETECTOR, Path(folder) / "detector.engine", half=True)
        assert made.proven
        assert converter.benchmark(made.path, runs=10).calls == 10
