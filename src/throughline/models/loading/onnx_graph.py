"""Every place in an ONNX model where a graph, a node or a tensor can be, found once for all who look.

A tensor may be an initialiser, an attribute of a node, half of a sparse tensor,
or any of these inside a branch, a loop, a function or the training part. A
check that forgets one of them is a check that can be walked around.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from throughline.contracts.errors import InputError
from throughline.models.loading.wire import measure

_DTYPES = {
    1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 8: "string", 9: "bool",
    10: "float16", 11: "float64", 12: "uint32", 13: "uint64", 14: "complex64", 15: "complex128", 16: "bfloat16",
    17: "float8_e4m3fn", 18: "float8_e4m3fnuz", 19: "float8_e5m2", 20: "float8_e5m2fnuz", 21: "uint4", 22: "int4",
    23: "float4_e2m1fn", 24: "float8_e8m0fnu", 25: "uint2", 26: "int2",
}  # fmt: skip


def dtype_name(number: int) -> str:
    """The numpy name of an ONNX element type."""
    return _DTYPES.get(number, f"type {number}")


def dtype_bits(number: int) -> int | None:
    """How many bits one element takes; None where that is not fixed."""
    name = _DTYPES.get(number)
    if name is None or name == "string":
        return None
    fixed = {"bool": 8, "complex64": 64, "complex128": 128, "bfloat16": 16, "float4_e2m1fn": 4}
    if name in fixed:
        return fixed[name]
    if name.startswith("float8"):
        return 8
    return int(name.lstrip("abcdefghijklmnopqrstuvwxyz"))


def parse(path: Path) -> Any:
    """The model's protobuf, without its external data; an ``InputError`` where it is damaged."""
    measure(path)
    import onnx
    from google.protobuf.message import DecodeError

    model = onnx.ModelProto()
    try:
        model.ParseFromString(path.read_bytes())
    except (DecodeError, RecursionError, ValueError) as error:
        raise InputError(
            f"{path} is a damaged ONNX file: {str(error)[:200]}", "copy or download the file again"
        ) from None
    return model


def graphs(model: Any) -> Iterator[Any]:
    """Every graph: the model's own, those of the training part, and those inside nodes."""
    pending = [model.graph, *(part for info in model.training_info for part in (info.initialization, info.algorithm))]
    pending.extend(_inner(node for function in model.functions for node in function.node))
    pending.extend(
        graph for function in model.functions for default in function.attribute_proto for graph in _graphs_in(default)
    )
    while pending:
        graph = pending.pop()
        yield graph
        pending.extend(_inner(graph.node))


def nodes(model: Any) -> Iterator[Any]:
    """Every node of every graph and function."""
    for graph in graphs(model):
        yield from graph.node
    for function in model.functions:
        yield from function.node


def tensors(model: Any) -> Iterator[Any]:
    """Every tensor, wherever it is kept; for a sparse one both its values and its indices."""
    for graph in graphs(model):
        yield from graph.initializer
        yield from _dense(graph.sparse_initializer)
    for node in nodes(model):
        yield from _tensors_in(node.attribute)
    for function in model.functions:
        yield from _tensors_in(function.attribute_proto)


def external_fields(tensor: Any) -> dict[str, str] | None:
    """What a tensor says about the file its bytes are in; None where they are in the model."""
    if tensor.data_location != 1 and not tensor.external_data:
        return None
    return {entry.key: entry.value for entry in tensor.external_data}


def external_locations(model: Any) -> tuple[str, ...]:
    """What the model calls the files that hold its tensors, once each."""
    found = (fields for tensor in tensors(model) if (fields := external_fields(tensor)) is not None)
    return tuple(dict.fromkeys(fields.get("location", "") for fields in found))


def _inner(found: Iterator[Any]) -> Iterator[Any]:
    return (graph for node in found for attribute in node.attribute for graph in _graphs_in(attribute))


def _graphs_in(attribute: Any) -> Iterator[Any]:
    if attribute.HasField("g"):
        yield attribute.g
    yield from attribute.graphs


def _tensors_in(attributes: Any) -> Iterator[Any]:
    for attribute in attributes:
        if attribute.HasField("t"):
            yield attribute.t
        yield from attribute.tensors
        if attribute.HasField("sparse_tensor"):
            yield from _dense([attribute.sparse_tensor])
        yield from _dense(attribute.sparse_tensors)


def _dense(sparse: Any) -> Iterator[Any]:
    for tensor in sparse:
        yield tensor.values
        yield tensor.indices
