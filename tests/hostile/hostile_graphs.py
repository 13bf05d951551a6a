"""ONNX and OpenVINO graphs that reach outside their folder, ask for absurd memory, or break their reader."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = [helper.make_opsetid("", 17)]


def model(
    nodes: list[Any] | None = None, initializers: list[Any] | None = None, *, out: str = "y", **more: Any
) -> onnx.ModelProto:
    """A model of one input ``x`` [1, 4]; by default its output is the input."""
    graph = helper.make_graph(
        nodes or [helper.make_node("Identity", ["x"], ["y"])],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])],
        [helper.make_tensor_value_info(out, TensorProto.FLOAT, None)],
        initializers or [],
    )
    return helper.make_model(graph, opset_imports=more.pop("opset_imports", OPSET), ir_version=9, **more)


def saved(folder: Path, proto: onnx.ModelProto) -> Path:
    path = folder / "m.onnx"
    path.write_bytes(proto.SerializeToString())
    return path


def outside(location: str = "../secret.bin", *, name: str = "w", **fields: str) -> TensorProto:
    """A tensor of four numbers kept in another file."""
    kept = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    for key, value in {"location": location, **fields}.items():
        kept.external_data.add(key=key, value=value)
    return kept


def _add(kept: TensorProto) -> onnx.ModelProto:
    return model([helper.make_node("Add", ["x", kept.name], ["y"])], [kept])


def _constant(**attributes: Any) -> Any:
    node = helper.make_node("Constant", [], ["c"])
    for name, value in attributes.items():
        attribute = node.attribute.add(name=name)
        if isinstance(value, TensorProto):
            attribute.type, _ = onnx.AttributeProto.TENSOR, attribute.t.CopyFrom(value)
        elif isinstance(value, list):
            attribute.type = onnx.AttributeProto.TENSORS
            attribute.tensors.extend(value)
        else:
            attribute.type, _ = onnx.AttributeProto.SPARSE_TENSOR, attribute.sparse_tensor.CopyFrom(value)
    return node


def _sparse(values: TensorProto, indices: TensorProto) -> onnx.SparseTensorProto:
    return onnx.SparseTensorProto(values=values, indices=indices, dims=[4])


def _inside() -> TensorProto:
    return numpy_helper.from_array(np.zeros(4, np.float32), "w")


def _indices() -> TensorProto:
    return numpy_helper.from_array(np.arange(4, dtype=np.int64), "i")


def _branch(kept: TensorProto) -> onnx.GraphProto:
    return helper.make_graph(
        [helper.make_node("Identity", ["w"], ["b"])],
        "branch",
        [],
        [helper.make_tensor_value_info("b", TensorProto.FLOAT, None)],
        [kept],
    )


def in_a_branch(folder: Path) -> Path:
    condition = numpy_helper.from_array(np.array(True), "c")
    node = helper.make_node("If", ["c"], ["y"], then_branch=_branch(_inside()), else_branch=_branch(outside()))
    return saved(folder, model([node], [condition]))


def in_a_function(folder: Path) -> Path:
    function = helper.make_function("own", "f", [], ["c"], [_constant(value=outside())], OPSET)
    nodes = [helper.make_node("f", [], ["y"], domain="own")]
    return saved(folder, model(nodes, functions=[function], opset_imports=[*OPSET, helper.make_opsetid("own", 1)]))


def in_the_training_part(folder: Path) -> Path:
    proto = model()
    proto.training_info.add().algorithm.CopyFrom(_branch(outside()))
    return saved(folder, proto)


def in_sparse_values(folder: Path) -> Path:
    proto = model()
    proto.graph.sparse_initializer.append(_sparse(outside(), _indices()))
    return saved(folder, proto)


def in_sparse_indices(folder: Path) -> Path:
    kept = outside(name="i")
    kept.data_type = TensorProto.INT64
    proto = model()
    proto.graph.sparse_initializer.append(_sparse(_inside(), kept))
    return saved(folder, proto)


def in_a_constant(folder: Path) -> Path:
    return saved(folder, model([_constant(value=outside()), helper.make_node("Add", ["x", "c"], ["y"])]))


def in_a_sparse_constant(folder: Path) -> Path:
    node = _constant(sparse_value=_sparse(outside(), _indices()))
    return saved(folder, model([node, helper.make_node("Add", ["x", "c"], ["y"])]))


def in_a_list_of_tensors(folder: Path) -> Path:
    return saved(folder, model([_constant(values=[_inside(), outside()]), helper.make_node("Add", ["x", "c"], ["y"])]))


def through_dots(folder: Path) -> Path:
    return saved(folder, _add(outside("weights/../../secret.bin")))


def through_an_absolute_path(folder: Path) -> Path:
    return saved(folder, _add(outside(str(folder / "w.bin"))))


def through_backslashes(folder: Path) -> Path:
    return saved(folder, _add(outside("..\\secret.bin")))


def through_a_symbolic_link(folder: Path) -> Path:
    (folder / "real.bin").write_bytes(bytes(16))
    (folder / "w.bin").symlink_to(folder / "real.bin")
    return saved(folder, _add(outside("w.bin")))


def through_a_linked_folder(folder: Path) -> Path:
    (folder / "real").mkdir()
    (folder / "real" / "w.bin").write_bytes(bytes(16))
    (folder / "weights").symlink_to(folder / "real")
    return saved(folder, _add(outside("weights/w.bin")))


def through_a_hard_link(folder: Path) -> Path:
    (folder / "real.bin").write_bytes(bytes(16))
    os.link(folder / "real.bin", folder / "w.bin")
    return saved(folder, _add(outside("w.bin")))


def through_a_pipe(folder: Path) -> Path:
    os.mkfifo(folder / "w.bin")
    return saved(folder, _add(outside("w.bin")))


def _beside(folder: Path, **fields: str) -> Path:
    (folder / "w.bin").write_bytes(bytes(64))
    return saved(folder, _add(outside("w.bin", **fields)))


def beyond_the_file(folder: Path) -> Path:
    return _beside(folder, offset="60", length="16")


def at_a_negative_offset(folder: Path) -> Path:
    return _beside(folder, offset="-16", length="16")


def at_no_number(folder: Path) -> Path:
    return _beside(folder, offset="0x10", length="16")


def at_an_offset_that_overflows(folder: Path) -> Path:
    return _beside(folder, offset=str((1 << 64) - 8), length="16")


def of_another_length(folder: Path) -> Path:
    return _beside(folder, offset="0", length="64")


REACHING: dict[str, Callable[[Path], Path]] = {
    builder.__name__: builder
    for builder in (
        in_a_branch, in_a_function, in_the_training_part, in_sparse_values, in_sparse_indices, in_a_constant,
        in_a_sparse_constant, in_a_list_of_tensors, through_dots, through_an_absolute_path, through_backslashes,
        through_a_symbolic_link, through_a_linked_folder, through_a_hard_link, through_a_pipe, beyond_the_file,
        at_a_negative_offset, at_no_number, at_an_offset_that_overflows, of_another_length,
    )
}  # fmt: skip


def _sized(op: str, shape: list[int], *inputs: str) -> onnx.ModelProto:
    size = numpy_helper.from_array(np.array(shape, np.int64), "size")
    return model([helper.make_node(op, [*inputs, "size"], ["y"])], [size])


def a_constant_of_absurd_shape(folder: Path) -> Path:
    return saved(folder, _sized("ConstantOfShape", [1 << 20, 1 << 20]))


def an_absurd_expand(folder: Path) -> Path:
    return saved(folder, _sized("Expand", [1 << 20, 1 << 18, 4], "x"))


def an_absurd_tile(folder: Path) -> Path:
    return saved(folder, _sized("Tile", [1 << 20, 1 << 18], "x"))


def an_absurd_range(folder: Path) -> Path:
    ends = [
        numpy_helper.from_array(np.array(value, np.int64), name)
        for name, value in zip("abc", (0, 1 << 40, 1), strict=True)
    ]
    return saved(folder, model([helper.make_node("Range", ["a", "b", "c"], ["y"])], ends))


def an_absurd_input(folder: Path) -> Path:
    proto = model()
    for axis in proto.graph.input[0].type.tensor_type.shape.dim:
        axis.dim_value = 1 << 24
    return saved(folder, proto)


def absurd_random_numbers(folder: Path) -> Path:
    return saved(folder, model([helper.make_node("RandomNormal", [], ["y"], shape=[1 << 20, 1 << 20])]))


GREEDY: dict[str, Callable[[Path], Path]] = {
    builder.__name__: builder
    for builder in (
        a_constant_of_absurd_shape, an_absurd_expand, an_absurd_tile, an_absurd_range, an_absurd_input,
        absurd_random_numbers,
    )
}  # fmt: skip


def memory_only_seen_at_work(folder: Path, elements: int) -> Path:
    """The shape is computed from a constant, so that no number in the file gives it away."""
    root = numpy_helper.from_array(np.array([elements // 1024], np.int64), "root")
    factor = numpy_helper.from_array(np.array([1024], np.int64), "factor")
    nodes = [
        helper.make_node("Mul", ["root", "factor"], ["size"]),
        helper.make_node("ConstantOfShape", ["size"], ["y"]),
    ]
    return saved(folder, model(nodes, [root, factor]))


def custom_operator(folder: Path) -> Path:
    nodes = [helper.make_node("Exec", ["x"], ["y"], domain="com.example")]
    return saved(folder, model(nodes, opset_imports=[*OPSET, helper.make_opsetid("com.example", 1)]))


def declared_but_not_held(folder: Path) -> Path:
    return saved(
        folder, _add(TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1 << 20, 1 << 20], raw_data=bytes(16)))
    )


def _field(number: int, data: bytes) -> bytes:
    size, head = len(data), bytes([number << 3 | 2])
    while size > 127:
        head += bytes([size & 127 | 128])
        size >>= 7
    return head + bytes([size]) + data


def deeply_nested(folder: Path) -> Path:
    """A graph in a graph in a graph, deeper than any parser's stack."""
    graph = b""
    for _ in range(3000):
        attribute = _field(5, b"") if not graph else _field(6, graph)
        graph = _field(1, _field(5, attribute))
    path = folder / "m.onnx"
    path.write_bytes(b"\x08\x09" + _field(2, b"x") + _field(7, graph))
    return path


def millions_of_nothings(folder: Path) -> Path:
    """Two bytes a node, a hundred once parsed."""
    path = folder / "m.onnx"
    path.write_bytes(b"\x08\x09" + _field(2, b"x") + _field(7, b"\x0a\x00" * 5_000_000))
    return path


_LAYER = """<layer id="0" name="x" type="Parameter" version="opset1"><data shape="1,4" element_type="f32"/>
<output><port id="0" precision="FP32" names="x"><dim>1</dim><dim>4</dim></port></output></layer>
<layer id="1" name="w" type="Const" version="{opset}">
<data element_type="f32" shape="{shape}" offset="{offset}" size="{size}"/>
<output><port id="0" precision="FP32"><dim>4</dim></port></output></layer>
<layer id="2" name="y" type="Result" version="opset1">
<input><port id="0" precision="FP32"><dim>1</dim><dim>4</dim></port></input></layer>"""


def ir(
    folder: Path,
    *,
    opset: str = "opset1",
    shape: str = "4",
    offset: str = "0",
    size: str = "16",
    info: str = "",
    head: str = "",
) -> Path:
    layers = _LAYER.format(opset=opset, shape=shape, offset=offset, size=size)
    edges = '<edges><edge from-layer="0" from-port="0" to-layer="2" to-port="0"/></edges>'
    (folder / "m.bin").write_bytes(bytes(16))
    path = folder / "m.xml"
    path.write_text(
        f'<?xml version="1.0"?>{head}<net name="m" version="11"><layers>{layers}</layers>{edges}'
        f"<rt_info>{info}</rt_info></net>"
    )
    return path


def ir_with_entities(folder: Path) -> Path:
    laughs = "".join(f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, 12))
    return ir(
        folder,
        head=f'<!DOCTYPE net [<!ENTITY a0 "ha">{laughs}]>',
        info='<model_info><names value="&a11;"/></model_info>',
    )


def ir_beyond_its_weights(folder: Path) -> Path:
    return ir(folder, offset="8")


def ir_of_another_size(folder: Path) -> Path:
    return ir(folder, shape="1000000")


def ir_at_no_number(folder: Path) -> Path:
    return ir(folder, offset="-4")


def ir_with_linked_weights(folder: Path) -> Path:
    path = ir(folder)
    (folder / "m.bin").rename(folder / "real.bin")
    (folder / "m.bin").symlink_to(folder / "real.bin")
    return path


def ir_with_hard_linked_weights(folder: Path) -> Path:
    path = ir(folder)
    os.link(folder / "m.bin", folder / "real.bin")
    return path


def ir_with_an_extension(folder: Path) -> Path:
    return ir(folder, opset="my_extension_library")


def ir_that_names_a_library(folder: Path) -> Path:
    return ir(folder, info='<extension_library value="/tmp/evil.so"/>')


IRS: dict[str, Callable[[Path], Path]] = {
    builder.__name__: builder
    for builder in (
        ir_with_entities, ir_beyond_its_weights, ir_of_another_size, ir_at_no_number, ir_with_linked_weights,
        ir_with_hard_linked_weights, ir_with_an_extension, ir_that_names_a_library,
    )
}  # fmt: skip
