"""What a file says of itself is understood: sizes, names, precision, and what exporters write."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import hostile_graphs
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from throughline.contracts.artifacts import TensorSpec
from throughline.contracts.errors import InputError, ModelRefused
from throughline.models.decoder_family import classes_of, decoder_family
from throughline.models.formats._exported import exported_fields, labels_from
from throughline.models.formats._precision import precision_of
from throughline.models.identify import identify


def _detector(folder: Path, shape: list[Any], **metadata: str) -> Path:
    graph = helper.make_graph(
        [helper.make_node("Identity", ["images"], ["output0"])],
        "g",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 3, 64, 96])],
        [helper.make_tensor_value_info("output0", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(np.zeros((4, 5), np.float32), "w")],
    )
    proto = helper.make_model(graph, producer_name="test", producer_version="1", opset_imports=hostile_graphs.OPSET)
    for key, value in metadata.items():
        proto.metadata_props.add(key=key, value=value)
    return hostile_graphs.saved(folder, proto)


def test_a_yolo_export_is_read_whole(tmp_path: Path) -> None:
    names = {0: "person", 1: "traffic light (red)", 2: 'dog\'s "toy"'}
    path = _detector(
        tmp_path, ["batch", 7, "anchors"], names=repr(names), stride="32", imgsz="[64, 96]", task="detect",
        author="Somebody", license="MIT", date="2026-01-01",
    )  # fmt: skip
    found = identify(path)
    assert found.inputs == (TensorSpec("images", "float32", ("batch", 3, 64, 96)),)
    assert found.outputs == (TensorSpec("output0", "float32", ("batch", 7, "anchors")),)
    assert found.labels == tuple(names.values())
    assert (found.stride, found.imgsz, found.task, found.decoder) == (32, (64, 96), "detect", "yolo")
    assert (found.author, found.licence, found.producer) == ("Somebody", "MIT", "test 1")
    assert (found.precision, found.parameters) == ("float32", 20)
    assert found.metadata["date"] == "2026-01-01"
    assert found.risk.level == "data"
    assert found.files == (path,)


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("{0: 'a', 1: 'b'}", ("a", "b")),
        ("{1: 'b', 0: 'a'}", ("a", "b")),
        ('{"0": "a", "1": "b"}', ("a", "b")),
        ("['a', \"b\"]", ("a", "b")),
        ('["a", "b"]', ("a", "b")),
        ("{0: 'it\\'s'}", ("it's",)),
        ("a,b", ("a", "b")),
        ("", ()),
        ("{}", ()),
        ("{0: __import__('os').system('x')}", ()),
        ("{0: 'a' + 'b'}", ()),
        ("[[[['a']]]]", ()),
        ("{0: 1}", ()),
        ("[" * 100_000 + "]" * 100_000, ()),
        ("{" + "0: 'a', " * 300_000 + "}", ()),
    ],
)
def test_labels_are_read_by_a_grammar_that_only_knows_labels(text: str, labels: tuple[str, ...]) -> None:
    assert labels_from(text) == labels


@pytest.mark.parametrize(
    ("key", "value", "field", "expected"),
    [
        ("imgsz", "[640, 480]", "imgsz", (640, 480)),
        ("imgsz", "640", "imgsz", (640, 640)),
        ("imgsz", "[0, 0]", "imgsz", None),
        ("imgsz", "nonsense", "imgsz", None),
        ("stride", "32", "stride", 32),
        ("stride", "[8, 16, 32]", "stride", 32),
        ("stride", "32.0", "stride", 32),
        ("stride", "-1", "stride", None),
        ("task", "object-detection", "task", "detect"),
        ("task", "make coffee", "task", None),
        ("decoder", "yolo", "decoder", "yolo"),
        ("decoder", "../x", "decoder", None),
    ],
)
def test_exported_fields(key: str, value: str, field: str, expected: object) -> None:
    assert exported_fields({key: value})[field] == expected


@pytest.mark.parametrize(
    ("shape", "task", "labels", "decoder", "classes"),
    [
        (("b", 84, 8400), "detect", 80, "yolo", 80),
        (("b", 84, "anchors"), None, 80, "yolo", 80),
        (("b", 9, 126), None, 0, "yolo", 5),
        (("b", 24, 126), None, 80, "yolo", 20),
        (("b", 25200, 85), None, 80, "yolov5", 80),
        (("b", 378, 10), None, 0, "yolov5", 5),
        (("b", 56, 8400), "pose", 1, "yolo_pose", None),
        (("b", 300, 6), "detect", 80, "yolo", None),
        (("b", 10), "classify", 10, "classify", 10),
        (("b", 1000), None, 0, "classify", 1000),
        (("b", 128), None, 0, None, None),
        (("b", 7, 7, 30), None, 0, None, None),
    ],
)
def test_the_decoder_is_guessed_only_where_the_shapes_allow_no_other(
    shape: tuple[Any, ...], task: str | None, labels: int, decoder: str | None, classes: int | None
) -> None:
    outputs = [TensorSpec("y", "float32", shape)]
    assert decoder_family(outputs, task, ["l"] * labels, (64, 96)) == decoder
    assert classes_of(outputs, decoder, task) == classes


def test_detectors_known_by_their_outputs_names() -> None:
    def spec(*names: str) -> list[TensorSpec]:
        return [TensorSpec(name, "float32", (100, 80)) for name in names]

    assert decoder_family(spec("cls_score0", "bbox_pred0"), None, []) == "nanodet"
    assert decoder_family(spec("logits", "pred_boxes"), None, []) == "detr"
    assert decoder_family([], None, []) is None


@pytest.mark.parametrize(
    ("elements", "quantised", "name"),
    [
        ({"float32": 100, "int64": 5000}, 0, "float32"),
        ({"float16": 980, "float32": 20}, 0, "mixed: float16 98 %, float32 2 %"),
        ({"float16": 999, "float32": 1}, 0, "float16"),
        ({"float32": 25, "int8": 75}, 75, "int8 (q/dq), 75 % of weights"),
        ({"uint8": 10, "int8": 90, "float32": 0}, 100, "int8 (q/dq), 100 % of weights"),
        ({"int64": 3}, 0, None),
        ({}, 0, None),
    ],
)
def test_precision_is_measured(elements: dict[str, int], quantised: int, name: str | None) -> None:
    assert precision_of(elements, quantised=quantised) == name


def test_quantised_weights_are_seen_behind_their_scales(tmp_path: Path) -> None:
    weights = numpy_helper.from_array(np.ones((4, 3), np.int8), "w")
    scale = numpy_helper.from_array(np.float32(0.1).reshape(()), "s")
    nodes = [helper.make_node("DequantizeLinear", ["w", "s"], ["d"]), helper.make_node("MatMul", ["x", "d"], ["y"])]
    extra = numpy_helper.from_array(np.ones((4,), np.float32), "b")
    found = identify(hostile_graphs.saved(tmp_path, hostile_graphs.model(nodes, [weights, scale, extra])))
    assert found.precision == "int8 (q/dq), 75 % of weights"
    assert found.parameters == 16


def test_an_ir_is_read_whole(tmp_path: Path) -> None:
    info = '<model_info><labels value="cat big_dog"/><stride value="32"/><task value="detect"/></model_info>'
    found = identify(hostile_graphs.ir(tmp_path, info=info))
    assert found.inputs == (TensorSpec("x", "float32", (1, 4)),)
    assert [output.shape for output in found.outputs] == [(1, 4)]
    assert (found.labels, found.stride, found.task) == (("cat", "big dog"), 32, "detect")
    assert (found.precision, found.parameters) == ("float32", 4)
    assert found.files == (tmp_path / "m.xml", tmp_path / "m.bin")


@pytest.mark.parametrize(("asked", "precision"), [("bfloat16", "bfloat16"), ("int8", "float32"), ("", "float32")])
def test_an_ir_that_asks_for_a_precision_nobody_acts_upon_has_its_own(
    asked: str, precision: str, tmp_path: Path
) -> None:
    path = hostile_graphs.ir(tmp_path, info=f'<model_info><precision value="{asked}"/></model_info>')
    (tmp_path / "metadata.yaml").write_text("precision: bfloat16\n")
    found = identify(path)
    assert found.precision == ("float32" if asked == "" else precision)


def test_digits_that_are_no_decimals_are_no_numbers(tmp_path: Path) -> None:
    """Python's isdigit takes the superscripts, which int() then chokes on."""
    path = tmp_path / "m.txt"
    path.write_text("tree\nversion=v4\nmax_feature_idx=²\nobjective=binary\n\nTree=0\n")
    with pytest.raises(InputError, match="damaged LightGBM"):
        identify(path)
    path = tmp_path / "m.json"
    path.write_text('{"learner":{"learner_model_param":{"num_feature":"²","num_class":"²"}}}')
    assert identify(path).inputs == ()
    ir = hostile_graphs.ir(tmp_path, size="²")
    identify(ir)
    ir.write_text(ir.read_text().replace("<dim>4</dim>", "<dim>²</dim>"))
    with pytest.raises(ModelRefused, match="dimension"):
        identify(ir)


def test_cross_entropy_estimates_a_share_and_tells_no_classes_apart(tmp_path: Path) -> None:
    path = tmp_path / "m.txt"
    for objective, task in (("cross_entropy", None), ("binary sigmoid:1", "classify")):
        path.write_text(f"tree\nversion=v4\nmax_feature_idx=3\nobjective={objective}\n\nTree=0\n")
        assert identify(path).task == task


def test_the_yaml_beside_an_ir_is_read(tmp_path: Path) -> None:
    path = hostile_graphs.ir(tmp_path)
    (tmp_path / "metadata.yaml").write_text(
        "task: detect\nstride: 32\nimgsz:\n- 64\n- 96\nnames:\n  0: cat\n  1: dog\n"
    )
    found = identify(path)
    assert (found.labels, found.stride, found.imgsz, found.task) == (("cat", "dog"), 32, (64, 96), "detect")


def test_an_ir_that_openvino_wrote_is_read_as_openvino_reads_it(tmp_path: Path) -> None:
    openvino = pytest.importorskip("openvino")
    source = _detector(tmp_path, ["batch", 3, 64, 96])
    openvino.save_model(openvino.convert_model(source), tmp_path / "m.xml", compress_to_fp16=False)
    model = openvino.Core().read_model(tmp_path / "m.xml")
    found = identify(tmp_path / "m.xml")
    assert [spec.name for spec in found.inputs] == [port.get_any_name() for port in model.inputs]
    assert [spec.name for spec in found.outputs] == [port.get_any_name() for port in model.outputs]
    assert found.inputs[0].shape == ("batch", 3, 64, 96)


def _safetensors(folder: Path, header: object, data: bytes = bytes(16)) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path = folder / "m.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return path


def test_safetensors_with_metadata(tmp_path: Path) -> None:
    header = {
        "__metadata__": {"names": '["cat"]', "license": "MIT"},
        "a": {"dtype": "F16", "shape": [2, 2], "data_offsets": [0, 8]},
        "b": {"dtype": "BF16", "shape": [4], "data_offsets": [8, 16]},
    }
    found = identify(_safetensors(tmp_path, header))
    assert (found.labels, found.licence, found.parameters) == (("cat",), "MIT", 8)
    assert found.precision == "mixed: float16 50 %, bfloat16 50 %"
    assert found.kind == "state dict of 2 tensors"


def _one(**changes: object) -> dict[str, object]:
    return {"w": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16], **changes}}


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (_one(data_offsets=[0, 64]), "cut short"),
        (_one(data_offsets=[8, 16]), "not those of"),
        (_one(shape=[1 << 40]), "not those of"),
        (_one(shape=[-4]), "has the shape"),
        (_one(shape="4"), "has the shape"),
        (_one(dtype="F99"), "unknown type"),
        (_one(dtype=[]), "unknown type"),
        (_one(data_offsets=["0", "16"]), "has the offsets"),
        (_one(data_offsets=[16, 0]), "has the offsets"),
        ({"w": 7}, "has the offsets"),
        ({}, "belong to none"),
        (b'{"a":{"dtype":"U8","shape":[16],"data_offsets":[0,16]},"a":{}}', "a name is given twice"),
        (b'{"a":' + b"[" * 50_000, "is not JSON"),
        (b'{"a"', "is not JSON"),
    ],
)
def test_a_safetensors_header_that_lies_is_damaged(header: object, words: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=words):
        identify(_safetensors(tmp_path, header))


def test_a_header_longer_than_the_file(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes((5000).to_bytes(8, "little") + b'{"w":{}}')
    with pytest.raises(InputError, match="header declares 5,000 bytes and 8 are left"):
        identify(path)


def test_an_onnx_without_a_graph_is_no_model(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(onnx.ModelProto(ir_version=9, producer_name="x").SerializeToString())
    with pytest.raises(InputError, match="without a graph"):
        identify(path)
