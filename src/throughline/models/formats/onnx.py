"""ONNX: a graph and its weights in protobuf. Data alone, though a graph may still ask for absurd memory."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any

from throughline.contracts.artifacts import Axis, TensorSpec
from throughline.contracts.errors import InputError, ModelRefused
from throughline.models.decoder_family import decoder_family
from throughline.models.formats import Description, Glimpse, Risk
from throughline.models.formats._exported import exported_fields
from throughline.models.formats._precision import precision_of
from throughline.models.loading.claims import MAX_DIMENSIONS
from throughline.models.loading.onnx_graph import dtype_name, external_locations, graphs, parse, tensors
from throughline.models.loading.onnx_guard import external_path
from throughline.models.loading.wire import looks_like_onnx
from throughline.plugins import Plugin

_QUANTISED = ("int8", "uint8", "int4", "uint4", "int16", "uint16", "int2", "uint2")
_INTEGER_OPS = ("ConvInteger", "MatMulInteger", "QLinearConv", "QLinearMatMul", "DynamicQuantizeMatMul", "MatMulNBits")
_STANDARD_DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "ai.onnx.training", "ai.onnx.preview.training")


class Onnx:
    """A ``.onnx`` file, with its external data where it has any."""

    suffixes = (".onnx",)

    def recognises(self, file: Glimpse) -> bool:
        """Whether the fields at its head are those of an ONNX model."""
        return looks_like_onnx(file.head)

    def describe(self, file: Glimpse) -> Description:
        """Read the graph and what its exporter wrote."""
        model = parse(file.path)
        graph = model.graph
        if not graph.node and not graph.initializer and not graph.output:
            raise InputError(f"{file.path} is an ONNX file without a graph", "export the model again")
        fields = exported_fields({entry.key: entry.value for entry in model.metadata_props})
        weights = {tensor.name for tensor in graph.initializer}
        inputs = tuple(_spec(value) for value in graph.input if value.name not in weights)
        outputs = tuple(_spec(value) for value in graph.output)
        fields["imgsz"] = fields["imgsz"] or _image_size(inputs)
        decoder = fields.pop("decoder") or decoder_family(outputs, fields["task"], fields["labels"], fields["imgsz"])
        if decoder == "classify":
            fields["task"] = fields["task"] or "classify"
        elif decoder is not None:
            fields["task"] = fields["task"] or "detect"
        opsets = {entry.domain or "ai.onnx": entry.version for entry in model.opset_import}
        foreign = sorted(domain for domain in opsets if domain not in _STANDARD_DOMAINS)
        precision, parameters = _measure(model)
        risk, files, notes = _outside(model, file.path)
        return Description(
            path=file.path,
            format="onnx",
            kind=f"opset {opsets.get('ai.onnx', '?')}" + (" with " + ", ".join(foreign) if foreign else ""),
            risk=risk,
            inputs=inputs,
            outputs=outputs,
            decoder=decoder,
            precision=precision,
            parameters=parameters,
            producer=" ".join(filter(None, (model.producer_name, model.producer_version))) or None,
            files=(file.path, *files),
            notes=notes,
            **fields,
        )


def _outside(model: Any, path: Path) -> tuple[Risk, tuple[Path, ...], tuple[str, ...]]:
    """The risk that lies in where the model keeps its data, and the files that are its own."""
    files: list[Path] = []
    notes: list[str] = []
    for location in external_locations(model):
        try:
            files.append(external_path(path, location, "its data"))
        except ModelRefused as refusal:
            return Risk("data", f"opening it is refused: {refusal.problem.removeprefix(f'{path}: ')}"), (), ()
        except InputError as missing:
            notes.append(missing.problem.removeprefix(f"{path}: "))
    return Risk("data", "a graph and numbers: nothing in it runs when it is opened"), tuple(files), tuple(notes)


def _spec(value: Any) -> TensorSpec:
    tensor = value.type.tensor_type
    shape: list[Axis] = []
    for index, axis in enumerate(tensor.shape.dim):
        if axis.HasField("dim_value") and axis.dim_value >= 0:
            shape.append(axis.dim_value)
        else:
            shape.append(axis.dim_param or f"axis{index}")
    return TensorSpec(value.name, dtype_name(tensor.elem_type), tuple(shape))


def _image_size(inputs: tuple[TensorSpec, ...]) -> tuple[int, int] | None:
    if len(inputs) != 1 or len(inputs[0].shape) != 4:
        return None
    channels, height, width = inputs[0].shape[1:]
    if channels in (1, 3, 4) and isinstance(height, int) and isinstance(width, int):
        return height, width
    return None


def _measure(model: Any) -> tuple[str | None, int]:
    """The measured precision, and how many parameters there are."""
    elements: dict[str, int] = {}
    behind_scale: set[str] = set()
    for graph in graphs(model):
        for node in graph.node:
            if node.op_type == "DequantizeLinear" or node.op_type in _INTEGER_OPS:
                behind_scale.update(node.input)
    quantised = 0
    for tensor in _weights(model):
        dtype, count = dtype_name(tensor.data_type), prod(max(size, 0) for size in tensor.dims[:MAX_DIMENSIONS])
        if dtype in _QUANTISED and tensor.name in behind_scale:
            quantised += count
        elements[dtype] = elements.get(dtype, 0) + count
    parameters = sum(count for dtype, count in elements.items() if "float" in dtype) + quantised
    return precision_of(elements, quantised=quantised), parameters


def _weights(model: Any) -> Iterator[Any]:
    return (tensor for tensor in tensors(model) if tensor.dims)


PLUGIN = Plugin(make=Onnx, summary="a graph and its weights (.onnx)", needs=("onnx",))
