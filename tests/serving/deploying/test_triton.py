"""The model repository, read back by Triton's own schema: what is in it is what was meant, or it was refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto
from small_models import HOSTILE, issued, order_of, write_model
from tritonclient.grpc import model_config_pb2 as schema

from throughline.bundled import DETECTOR
from throughline.contracts.artifacts import TensorSpec
from throughline.contracts.errors import InputError
from throughline.contracts.verdicts import Check, Verdict
from throughline.models.artifact import read_artifact
from throughline.models.session import open_model
from throughline.serving.deploying import TARGETS, Order
from throughline.serving.deploying.triton import _label_lines, _written


def config_of(text: str) -> Any:
    return text_format.Parse(text, schema.ModelConfig())


def made(path: Path, out: Path, **given: object) -> Any:
    out.mkdir()
    TARGETS.make("triton", order_of(path, out, **given), out)
    return config_of((out / "small" / "config.pbtxt").read_text())


def test_a_model_with_open_rows_is_batched_for(tmp_path: Path) -> None:
    config = made(DETECTOR, tmp_path / "out", max_batch_size=16, max_latency_ms=2.5, threads=3)
    assert (config.name, config.backend, config.max_batch_size) == ("small", "onnxruntime", 16)
    assert [(one.name, one.data_type, list(one.dims)) for one in config.input] == [
        ("images", schema.TYPE_FP32, [3, -1, -1])
    ]
    assert [(one.name, list(one.dims), one.label_filename) for one in config.output] == [("output0", [10, -1], "")]
    assert config.dynamic_batching.max_queue_delay_microseconds == 2500
    assert config.instance_group[0].count == 1
    assert config.parameters["intra_op_thread_count"].string_value == "3"
    there = tmp_path / "out" / "small"
    assert (there / "labels.txt").read_text().splitlines() == list(read_artifact(DETECTOR).labels)
    with open_model(there / "1" / "model.onnx") as session:  # what Triton will open
        session.warm_up(1)


@pytest.mark.parametrize(
    ("changes", "asked", "dims"),
    [
        ({"shape": (1, 3)}, 8, [1, 3]),
        ({"shape": (4, 3)}, 8, [4, 3]),
        ({"rows_out": "rows"}, 8, [-1, 3]),
        ({"rows_out": 3}, 8, [-1, 3]),  # it only looks open: running it shows one row
        ({}, 1, [-1, 3]),
    ],
)
def test_rows_that_are_not_to_be_batched_are_written_out(
    changes: dict[str, Any], asked: int, dims: list[int], tmp_path: Path
) -> None:
    config = made(write_model(tmp_path / "m.onnx", **changes), tmp_path / "out", max_batch_size=asked)
    assert config.max_batch_size == 0
    assert not config.HasField("dynamic_batching")
    assert list(config.input[0].dims) == dims


def test_one_number_a_row_has_an_axis_for_triton_and_none_for_the_model(tmp_path: Path) -> None:
    config = made(write_model(tmp_path / "m.onnx", shape=("batch",)), tmp_path / "out")
    (one,) = config.input
    assert (config.max_batch_size, list(one.dims), one.HasField("reshape"), list(one.reshape.shape)) == (
        8,
        [1],
        True,
        [],
    )


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (TensorProto.DOUBLE, "FP64"),
        (TensorProto.INT64, "INT64"),
        (TensorProto.FLOAT16, "FP16"),
        (TensorProto.INT32, "INT32"),
    ],
)
def test_types_are_tritons(number: int, kind: str, tmp_path: Path) -> None:
    config = made(write_model(tmp_path / "m.onnx", dtype=number), tmp_path / "out")
    assert {one.data_type for one in (*config.input, *config.output)} == {schema.DataType.Value(f"TYPE_{kind}")}


def test_classes_are_named_where_an_output_has_one_number_for_each(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m.onnx")
    issued(path, labels=("a", "b", "c"), task="classify")
    assert made(path, tmp_path / "out").output[0].label_filename == "labels.txt"


def test_an_ir_keeps_its_weights_and_its_proof(tmp_path: Path) -> None:
    import openvino

    ir = tmp_path / "an ir.xml"
    openvino.save_model(openvino.convert_model(DETECTOR), ir)
    before = issued(ir, evidence=(Verdict(("a", "b"), (Check("it is the same", 0.0, 1.0, True),)),))
    config = made(ir, tmp_path / "out")
    assert (config.backend, config.max_batch_size, list(config.input[0].dims)) == ("openvino", 8, [3, -1, -1])
    there = tmp_path / "out" / "small" / "1"
    assert {path.name for path in there.iterdir()} == {"model.xml", "model.bin", "model.passport.json"}
    carried = read_artifact(there / "model.xml")
    assert carried.issued
    assert (carried.sha256, carried.passport.evidence) == (before.sha256, before.passport.evidence)
    x = np.random.default_rng(0).random((2, 3, 64, 96), np.float32)
    with open_model(ir) as one, open_model(there / "model.xml") as other:
        np.testing.assert_array_equal(one.predict({"images": x})["output0"], other.predict({"images": x})["output0"])


def engine(path: Path, kind: str, inputs: tuple[TensorSpec, ...]) -> Order:
    """An engine as its passport tells of it: there is no machine here that could run one."""
    order = order_of(path, path.parent, max_batch_size=4)
    about = dataclasses.replace(order.model.passport, format="tensorrt", inputs=inputs, outputs=inputs)
    return dataclasses.replace(order, model=dataclasses.replace(order.model, passport=about), kind=kind)


def test_an_engine_goes_by_its_passport(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m.onnx")
    for axes, batch, dims in ((("n", 3), 4, [3]), ((2, 3), 0, [2, 3])):
        out = tmp_path / f"{batch}"
        TARGETS.make("triton", engine(path, "TensorRT 11", (TensorSpec("x", "float32", axes),)), out)
        config = config_of((out / "small" / "config.pbtxt").read_text())
        assert (config.backend, config.max_batch_size, list(config.input[0].dims)) == ("tensorrt", batch, dims)
        assert config.instance_group[0].kind == schema.ModelInstanceGroup.KIND_GPU
        assert (out / "small" / "1" / "model.plan").read_bytes() == path.read_bytes()
    with pytest.raises(InputError, match="which Triton does not load"):
        TARGETS.make("triton", engine(path, "TensorRT-RTX 1.7", ()), tmp_path / "rtx")
    with pytest.raises(InputError, match="nothing says what it takes"):
        TARGETS.make("triton", engine(path, "TensorRT 11", ()), tmp_path / "none")


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        (TensorSpec("x", "int4", (1,)), "no type"),
        (TensorSpec("x", "float32", ()), "cannot describe"),
        (TensorSpec("x", "float32", (0, 3)), "cannot describe"),
        (TensorSpec("x", "any", ("...",)), "nothing says what"),
        (TensorSpec("", "float32", (3,)), "no request can name"),
        (TensorSpec("\ud800", "float32", (3,)), "no request can name"),
    ],
)
def test_what_triton_cannot_serve_is_refused(spec: TensorSpec, says: str, tmp_path: Path) -> None:
    order = engine(write_model(tmp_path / "m.onnx"), "TensorRT 11", (spec,))
    with pytest.raises(InputError, match=says):
        TARGETS.make("triton", order, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def order(tmp_path_factory: pytest.TempPathFactory) -> Order:
    folder = tmp_path_factory.mktemp("order")
    return order_of(write_model(folder / "m.onnx"), folder)


NAMES = st.lists(st.text(min_size=1) | st.sampled_from(HOSTILE), min_size=1, max_size=4, unique=True)


@given(names=NAMES, labels=st.lists(st.text() | st.sampled_from(HOSTILE), max_size=4))
def test_names_are_read_back_as_they_were_or_refused(order: Order, names: list[str], labels: list[str]) -> None:
    specs = tuple(TensorSpec(name, "float32", ("n", 3)) for name in names)
    try:
        config = config_of(_written(order, specs, specs[:1], 8))
    except InputError:
        assert any("\ud800" <= char <= "\udfff" for name in names for char in name)
    else:
        assert [one.name for one in config.input] == names
        assert (config.name, config.backend, len(config.output)) == ("small", "onnxruntime", 1)
    about = dataclasses.replace(order.model.passport, labels=tuple(labels))
    try:
        lines = _label_lines(dataclasses.replace(order.model, passport=about)).encode()
    except InputError:
        assert any(len(label.splitlines()) > 1 or not label.isprintable() for label in labels)
    else:
        assert lines.decode().split("\n")[:-1] == labels
