"""The precision in which each layer of a model really computes, with how much work it does.

A file that is called "fp16" may hold halves that are cast up before every multiplication: half the size, and not
an ounce faster. So what counts here is the type in which a layer multiplies, weighed by its multiply-accumulates.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

from throughline.contracts.artifacts import Artifact
from throughline.contracts.errors import ThroughlineError, first_line

OPEN_SIDE: Final = 64
"""What an open axis is taken to be: shares hardly depend on it, since every layer grows alike."""
_INTEGER: Final = {"ConvInteger", "MatMulInteger", "QLinearConv", "QLinearMatMul", "QGemm", "DynamicQuantizeMatMul"}
_RECURRENT: Final = {"LSTM": 4, "GRU": 3, "RNN": 1}
_PRODUCTS: Final = {
    "Conv", "ConvTranspose", "MatMul", "Gemm", "MatMulNBits", "FusedConv", "FusedMatMul", "FusedGemm",
    "Attention", "MultiHeadAttention", *_INTEGER, *_RECURRENT,
}  # fmt: skip


@final
@dataclass(frozen=True, slots=True)
class LayerPrecision:
    """One layer that multiplies: its name, operator, the type it computes in, and its multiply-accumulates."""

    name: str
    op: str
    dtype: str
    work: int


@final
@dataclass(frozen=True, slots=True)
class Precisions:
    """The layers that multiply, and what cannot be read.

    Attributes:
        layers: in the order in which they run.
        unreadable: why nothing can be said; empty where it can.
    """

    layers: tuple[LayerPrecision, ...]
    unreadable: str = ""

    @property
    def shares(self) -> dict[str, float]:
        """The share of all multiply-accumulates by type, the largest first."""
        total = sum(layer.work for layer in self.layers)
        sums: dict[str, int] = {}
        for layer in self.layers:
            sums[layer.dtype] = sums.get(layer.dtype, 0) + layer.work
        return {name: work / total for name, work in sorted(sums.items(), key=lambda item: -item[1]) if total}


def precision_of_layers(path: Path | Artifact) -> Precisions:
    """Read the precision of every layer that multiplies, out of an ONNX graph or an OpenVINO IR.

    Nothing of the model is run. Of other formats it is said that, and why, nothing can be read.
    """
    file = path.path if isinstance(path, Artifact) else Path(path)
    if file.suffix.lower() == ".onnx":
        return _of_onnx(file)
    if file.suffix.lower() == ".xml":
        return _of_openvino(file)
    return Precisions((), f"a {file.suffix or 'file without an ending'} does not say in what its layers compute")


def _of_onnx(path: Path) -> Precisions:
    import onnx

    from throughline.models.loading.onnx_guard import check_onnx

    check_onnx(path)
    model = onnx.load(path, load_external_data=False)
    types, shapes = _known(model)
    made_by = {name: node for node in model.graph.node for name in node.output}
    constants = {tensor.name for tensor in model.graph.initializer}
    constants |= {name for node in model.graph.node if node.op_type == "Constant" for name in node.output}
    layers = []
    for number, node in enumerate(_every_node(model.graph)):
        if node.op_type in _PRODUCTS:
            dtype = _dtype(node, types, made_by, constants)
            work = _work(node, shapes)
            layers.append(LayerPrecision(node.name or f"{node.op_type}_{number}", node.op_type, dtype, work))
    return Precisions(tuple(layers))


def known_shapes(model: Any) -> dict[str, tuple[int, ...]]:
    """The shape of every tensor of an ONNX graph that can be known, open axes filled in."""
    return _known(model)[1]


def _known(model: Any) -> tuple[dict[str, str], dict[str, tuple[int, ...]]]:
    """The type and the shape of every tensor, open axes filled in."""
    import onnx
    from onnx import helper, shape_inference

    filled = onnx.ModelProto()
    filled.CopyFrom(model)
    weights = {tensor.name for tensor in model.graph.initializer}
    for value in filled.graph.input:
        if value.name not in weights:
            for axis, size in enumerate(value.type.tensor_type.shape.dim):
                if not size.HasField("dim_value"):
                    size.dim_value = 1 if axis == 0 else OPEN_SIDE
    del filled.graph.value_info[:]
    for value in filled.graph.output:
        value.type.tensor_type.ClearField("shape")
    try:
        filled = shape_inference.infer_shapes(filled, data_prop=True)
    except Exception:
        filled = model  # what it says of itself has to do
    types: dict[str, str] = {}
    shapes: dict[str, tuple[int, ...]] = {}
    for value in (*filled.graph.input, *filled.graph.value_info, *filled.graph.output):
        tensor = value.type.tensor_type
        if tensor.elem_type:
            types[value.name] = str(helper.tensor_dtype_to_np_dtype(tensor.elem_type))
        if tensor.HasField("shape"):
            shapes[value.name] = tuple(axis.dim_value if axis.HasField("dim_value") else 1 for axis in tensor.shape.dim)
    for tensor in model.graph.initializer:
        types[tensor.name] = str(helper.tensor_dtype_to_np_dtype(tensor.data_type))
        shapes[tensor.name] = tuple(tensor.dims)
    return types, shapes


def _every_node(graph: Any) -> Iterable[Any]:
    """The nodes of a graph, and of those inside its branches and loops."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                if inner.node:
                    yield from _every_node(inner)


def _dtype(node: Any, types: Mapping[str, str], made_by: Mapping[str, Any], constants: set[str]) -> str:
    if node.op_type in _INTEGER:
        return "int8"
    data, *others = (name for name in node.input if name)
    if node.op_type in ("Conv", "ConvTranspose", "MatMul", "Gemm") and others:
        pair = [_dequantised(name, types, made_by) for name in (data, others[0])]
        if all(pair):
            return max(str(one) for one in pair)
    return types.get(data) or types.get(node.output[0]) or next((types[name] for name in others if name in types), "")


def _dequantised(name: str, types: Mapping[str, str], made_by: Mapping[str, Any]) -> str | None:
    """The integer type that a tensor was until just now; None for one that was not."""
    for _ in range(4):  # what only moves numbers about does not stand between a pair and its layer
        node = made_by.get(name)
        if node is None or node.op_type not in ("Transpose", "Reshape", "Squeeze", "Unsqueeze", "Identity"):
            break
        name = node.input[0]
    if node is None or node.op_type != "DequantizeLinear":
        return None
    return types.get(node.input[0], "int8").removeprefix("u")


def _work(node: Any, shapes: Mapping[str, tuple[int, ...]]) -> int:
    """Multiply-accumulates; as many as there are weights where shapes are not known."""
    out, ins = shapes.get(node.output[0]), [shapes.get(name, ()) for name in node.input]
    kind = node.op_type
    if kind == "QLinearConv":
        return _size(out) * _size(ins[3][1:])
    if kind == "QLinearMatMul":
        return _size(out) * (ins[0] or (1,))[-1]
    weights = ins[1] if len(ins) > 1 else ()
    if kind in ("Conv", "FusedConv", "ConvInteger"):
        return _size(out) * _size(weights[1:])
    if kind == "ConvTranspose":
        return _size(ins[0]) * _size(weights[1:])
    if kind == "MatMulNBits":
        sizes = {attribute.name: attribute.i for attribute in node.attribute}
        return _size(ins[0]) * max(1, int(sizes.get("N", 1)))
    if kind in _RECURRENT:
        steps = _size(ins[0][:2])
        return max(1, steps) * (_size(weights) + _size(ins[2] if len(ins) > 2 else ()))
    if not out and weights:
        return _size(weights)
    inner = 1
    if ins[0]:
        transposed = any(attribute.name == "transA" and attribute.i for attribute in node.attribute)
        inner = ins[0][0] if transposed else ins[0][-1]
    return _size(out) * max(1, inner)


def _size(shape: tuple[int, ...] | None) -> int:
    size = 1
    for side in shape or ():
        size *= max(1, side)
    return size


def _of_openvino(path: Path) -> Precisions:
    try:
        import openvino

        from throughline.models.formats.openvino import ASKED_PRECISION
        from throughline.models.loading.openvino_guard import check_openvino
    except ModuleNotFoundError:
        return Precisions((), "OpenVINO is not installed here, which reads this format")
    check_openvino(path)
    try:
        model = openvino.Core().read_model(path)
    except Exception as error:
        raise ThroughlineError(f"{path}: OpenVINO cannot read it: {first_line(error)[:200]}") from None
    where = list(ASKED_PRECISION)
    asked = "bfloat16" if model.has_rt_info(where) and model.get_rt_info(where).astype(str) == "bfloat16" else ""
    _fill_open_axes(model)
    layers = []
    for node in model.get_ordered_ops():
        kind = node.get_type_name()
        if kind not in _OPENVINO or _static(node):
            continue
        out = tuple(_sides(node.output(0)))
        ins = [tuple(_sides(port.get_source_output())) for port in node.inputs()]
        layers.append(
            LayerPrecision(node.get_friendly_name(), kind, _openvino_dtype(node, asked), _openvino_work(kind, out, ins))
        )
    return Precisions(tuple(layers))


def _fill_open_axes(model: Any) -> None:
    """Give every input a size, so that what is inside has one; left open where the graph does not take it."""
    import contextlib

    sizes = {port: list(_sides(port)) for port in model.inputs if not port.get_partial_shape().rank.is_dynamic}
    with contextlib.suppress(RuntimeError):
        model.reshape(sizes)


_OPENVINO: Final = {
    "Convolution", "GroupConvolution", "ConvolutionBackpropData", "GroupConvolutionBackpropData", "MatMul",
    "LSTMSequence", "GRUSequence", "LSTMCell", "GRUCell", "ScaledDotProductAttention",
}  # fmt: skip


def _static(node: Any) -> bool:
    """Whether a layer works on constants alone: it is folded away before anything runs."""
    return all(port.get_source_output().get_node().get_type_name() == "Constant" for port in node.inputs())


def _sides(output: Any) -> Iterable[int]:
    shape = output.get_partial_shape()
    if shape.rank.is_dynamic:
        return
    for axis, side in enumerate(shape):
        yield (1 if axis == 0 else OPEN_SIDE) if side.is_dynamic else side.get_length()


def _openvino_dtype(node: Any, asked: str) -> str:
    from throughline.models.formats.openvino import dtype_of

    quantised = [_through_fake_quantise(port.get_source_output().get_node()) for port in list(node.inputs())[:2]]
    if len(quantised) == 2 and all(quantised):
        return "int8"
    name: str = node.input(0).get_element_type().get_type_name()
    return asked if asked and name == "f32" else dtype_of(name)


_MOVING: Final = {
    "Multiply", "Subtract", "Convert", "Reshape", "Transpose", "Unsqueeze", "Squeeze", "MaxPool", "Relu",
    "Interpolate", "Split", "VariadicSplit", "Slice", "StridedSlice", "Concat",
}  # fmt: skip
"""What stands between a rounding and a layer without undoing it."""


def _through_fake_quantise(node: Any, steps: int = 12) -> bool:
    """Whether a tensor has been rounded to a few levels, or comes from small integers behind a scale."""
    kind = node.get_type_name()
    if kind == "FakeQuantize":
        return True
    if kind == "Constant":
        return node.get_element_type().get_type_name() in ("i8", "u8")
    if kind not in _MOVING or not steps:
        return False
    parts = list(node.inputs()) if kind == "Concat" else [node.input(0)]
    return all(_through_fake_quantise(part.get_source_output().get_node(), steps - 1) for part in parts)


def _openvino_work(kind: str, out: tuple[int, ...], ins: list[tuple[int, ...]]) -> int:
    weights = ins[1] if len(ins) > 1 else ()
    if kind == "Convolution":
        return _size(out) * _size(weights[1:])
    if kind == "GroupConvolution":
        return _size(out) * _size(weights[2:])
    if kind.endswith("BackpropData"):
        return _size(ins[0]) * _size(weights[2 if kind.startswith("Group") else 1 :])
    if kind == "MatMul":
        return _size(out) * (ins[0][-1] if ins[0] else 1)
    return sum(_size(one) for one in ins[1:]) * (_size(ins[0][:2]) if "Sequence" in kind else 1)
