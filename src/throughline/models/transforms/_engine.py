"""What TensorRT and TensorRT-RTX build alike: an engine from an ONNX graph whose precision is settled already.

Networks are strongly typed: there is no flag that would make a layer FP16 or INT8, so the graph that comes in says it
all, and what the parsed network says of its layers is what the engine computes in. An engine is for one kind of GPU and
for the sizes of its profile; both are written down.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Final, final

from throughline.contracts.artifacts import Artifact, Step, TensorSpec
from throughline.contracts.errors import InputError, ModelRefused, Unavailable, nearest
from throughline.hardware import detect, fingerprint
from throughline.models.backends.tensorrt import logger
from throughline.models.formats._precision import precision_of
from throughline.models.transforms import Made
from throughline.models.transforms import _graph as graph

USUAL_BATCH: Final = 8
_UINT8: Final = 2
"""ONNX's number for it."""
_DTYPES = {"FLOAT": "float32", "HALF": "float16", "BF16": "bfloat16", "INT8": "int8", "FP8": "float8_e4m3fn"}
_MULTIPLYING = ("CONVOLUTION", "DECONVOLUTION", "MATRIX_MULTIPLY")
_FOR_NVIDIA = "quantise it for NVIDIA: int8 symmetric, zero points of 0, and no quantised bias (--int8 DATA does so)"


@final
@dataclass(frozen=True, slots=True)
class Profile:
    """The sizes of one input that an engine is built for: the least, the usual, which is tuned for, and the most."""

    least: tuple[int, ...]
    usual: tuple[int, ...]
    most: tuple[int, ...]

    def __str__(self) -> str:
        return " to ".join("x".join(map(str, shape)) for shape in (self.least, self.usual, self.most))


@final
@dataclass(frozen=True, slots=True)
class Wanted:
    """How an engine is to be built.

    Attributes:
        batch: the largest batch.
        imgsz: the height and width that it is tuned for; those of the passport when not given.
        profile: least, usual and most shapes by input, in place of what follows from batch and imgsz.
        workspace: how many MB of GPU memory the engine may use to work in.
        timing_cache: a file of kernel timings, read and brought up to date.
        capability: the compute capability of the GPU that it is for; None for the GPU here.
    """

    batch: int = USUAL_BATCH
    imgsz: tuple[int, int] | None = None
    profile: Mapping[str, Sequence[Sequence[int]]] | None = None
    workspace: int | None = None
    timing_cache: Path | None = None
    capability: str | None = None


def build(module: str, product: str, source: Artifact, target: Path, wanted: Wanted) -> Made:
    """Parse the graph, build the engine, and say what it is."""
    model = graph.load(source, module)
    _refuse_unsigned(source, model)
    trt: Any = importlib.import_module(module)
    log = logger(module)
    builder = trt.Builder(log)
    network = builder.create_network(0)
    _parsed(trt, product, source, network, log)
    config = builder.create_builder_config()
    if wanted.workspace is not None:
        if wanted.workspace < 1:
            raise InputError(f"workspace={wanted.workspace}: an engine needs at least 1 MB to work in", "give more")
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, wanted.workspace << 20)
    if wanted.capability is not None:
        aim(trt, config, product, wanted.capability)
    specs = tuple(_spec(network.get_input(index), source.inputs) for index in range(network.num_inputs))
    profiles = {
        spec.name: _profile(spec, source, wanted) for spec in specs if any(isinstance(s, str) for s in spec.shape)
    }
    _use(builder, config, profiles)
    if wanted.timing_cache is not None:
        before = wanted.timing_cache.read_bytes() if wanted.timing_cache.exists() else b""
        config.set_timing_cache(config.create_timing_cache(before), False)
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        raise ModelRefused(
            f"{source.path}: {product} cannot build an engine of it: {log.last()}",
            "simplify the graph, narrow the profile, or allow more workspace",
        )
    target.write_bytes(memoryview(engine))
    if wanted.timing_cache is not None:
        wanted.timing_cache.write_bytes(memoryview(config.get_timing_cache().serialize()))
    return _made(trt, module, product, source, wanted, network, specs, profiles)


def capabilities(trt: Any) -> tuple[str, ...]:
    """The compute capabilities that engines can be built for without the GPU: "7.5", "8.9", ..."""
    numbers = [int(name[2:]) for name in dir(trt.ComputeCapability) if name.startswith("SM")]
    return tuple(f"{number // 10}.{number % 10}" for number in sorted(numbers))


def aim(trt: Any, config: Any, product: str, capability: str) -> None:
    """Build for a named GPU rather than the one here."""
    known = capabilities(trt)
    if capability not in known:
        raise InputError(
            f"capability='{capability}': {product} builds no engines for it", f"{nearest(capability, known)}"
        )
    config.num_compute_capabilities = 1
    config.set_compute_capability(getattr(trt.ComputeCapability, f"SM{capability.replace('.', '')}"), 0)


def _refuse_unsigned(source: Artifact, model: Any) -> None:
    """TensorRT reads unsigned zero points as signed, with a warning that nobody sees: what is above 127 is lost."""
    types = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    types.update(
        {node.output[0]: graph.attribute(node, "value").data_type for node in model.graph.node if _holds_tensor(node)}
    )
    for node in model.graph.node:
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
            continue
        kind = types.get(node.input[2]) if len(node.input) > 2 else None
        if node.op_type == "QuantizeLinear" and len(node.input) < 3:
            kind = graph.attribute(node, "output_dtype", 0) or _UINT8
        if kind == _UINT8:
            raise InputError(
                f"{source.path}: the node '{node.name}' ({node.op_type}) quantises to uint8, "
                "which NVIDIA's GPUs do not compute in",
                _FOR_NVIDIA,
            )


def _holds_tensor(node: Any) -> bool:
    return node.op_type == "Constant" and any(entry.name == "value" for entry in node.attribute)


def _parsed(trt: Any, product: str, source: Artifact, network: Any, log: Any) -> None:
    parser = trt.OnnxParser(network, log)
    if parser.parse_from_file(str(source.path)):
        return
    errors = [parser.get_error(index) for index in range(parser.num_errors)]
    if not errors:
        raise ModelRefused(f"{source.path}: {product} cannot read it: {log.last()}", "simplify the graph first")
    first = errors[0]
    said = [line.strip() for line in first.desc().splitlines() if line.strip() and "CUDA driver" not in line]
    more = f", and {len(errors) - 1} nodes more" if len(errors) > 1 else ""
    quantised = first.node_operator() in ("QuantizeLinear", "DequantizeLinear")
    raise ModelRefused(
        f"{source.path}: {product} does not take the node '{first.node_name()}' ({first.node_operator()}){more}: "
        f"{'; '.join(said)[:300]}",
        _FOR_NVIDIA if quantised else "simplify the graph, or export the model without this operator",
    )


def _spec(tensor: Any, known: Sequence[TensorSpec]) -> TensorSpec:
    """An input or output of the network; its open axes are called as the graph calls them."""
    names = next((spec.shape for spec in known if spec.name == tensor.name), ())
    shape = tuple(
        size if size >= 0 else str(names[axis]) if axis < len(names) else f"axis{axis}"
        for axis, size in enumerate(tuple(tensor.shape))
    )
    return TensorSpec(tensor.name, _DTYPES.get(tensor.dtype.name, tensor.dtype.name.lower()), shape)


def _profile(spec: TensorSpec, source: Artifact, wanted: Wanted) -> Profile:
    if wanted.profile is not None and spec.name in wanted.profile:
        return _given(spec, wanted.profile[spec.name])
    pictures = len(spec.shape) == 4
    if wanted.batch < 1:
        raise InputError(f"batch={wanted.batch}: an engine takes at least one picture", "give 1 or more")
    if wanted.profile is not None or (not pictures and any(isinstance(size, str) for size in spec.shape[1:])):
        raise InputError(
            f"{source.path}: nothing says how large '{spec}' may be",
            f"give a profile: {{'{spec.name}': (least, usual, most)}}, three shapes",
        )
    size = wanted.imgsz or source.passport.imgsz or (graph.USUAL_SIZE, graph.USUAL_SIZE)
    stride = source.passport.stride or graph.USUAL_STRIDE
    least, usual, most = list[int](), list[int](), list[int]()
    for axis, fixed in enumerate(spec.shape):
        if isinstance(fixed, int):
            range_ = (fixed, fixed, fixed)
        elif axis == 0:
            range_ = (1, 1, wanted.batch)
        elif axis == 1:
            raise InputError(f"{source.path}: the channels of '{spec.name}' are open", "give a profile for it")
        else:
            range_ = (min(stride, *size), size[axis - 2], max(size))
        for shape, number in zip((least, usual, most), range_, strict=True):
            shape.append(number)
    return Profile(tuple(least), tuple(usual), tuple(most))


def _given(spec: TensorSpec, shapes: Sequence[Sequence[int]]) -> Profile:
    fits = len(shapes) == 3 and all(
        len(shape) == len(spec.shape)
        and all(isinstance(size, str) or size == given for size, given in zip(spec.shape, shape, strict=True))
        for shape in shapes
    )
    if not fits or any(not low <= mid <= high for low, mid, high in zip(*shapes, strict=True)):
        raise InputError(
            f"the profile of '{spec.name}' is {[list(shape) for shape in shapes]}",
            f"give the least, the usual and the most of {spec}, none larger than the next",
        )
    least, usual, most = (tuple(map(int, shape)) for shape in shapes)
    return Profile(least, usual, most)


def _use(builder: Any, config: Any, profiles: Mapping[str, Profile]) -> None:
    if not profiles:
        return
    made = builder.create_optimization_profile()
    for name, profile in profiles.items():
        made.set_shape(name, profile.least, profile.usual, profile.most)
    config.add_optimization_profile(made)


def _made(
    trt: Any,
    module: str,
    product: str,
    source: Artifact,
    wanted: Wanted,
    network: Any,
    inputs: tuple[TensorSpec, ...],
    profiles: Mapping[str, Profile],
) -> Made:
    layers, elements = _precision(trt, network)
    outputs = tuple(_spec(network.get_output(index), source.outputs) for index in range(network.num_outputs))
    notes = [f"{count} layers multiply in {dtype}" for dtype, count in sorted(layers.items(), key=lambda it: -it[1])]
    notes += [f"'{name}' may be {profile}" for name, profile in profiles.items()]
    notes.append(f"{product} does not promise the same bytes from the same graph")
    options: dict[str, Any] = {
        "capability": wanted.capability or "of the GPU here",
        "profile": {name: [list(p.least), list(p.usual), list(p.most)] for name, p in profiles.items()},
        "layers": layers,
    }
    if wanted.workspace is not None:
        options["workspace_mb"] = wanted.workspace
    changes: dict[str, Any] = {"inputs": inputs, "outputs": outputs}
    if wanted.capability is None:
        changes["machine"] = fingerprint()
    if (precision := precision_of(elements, quantised=elements.get("int8", 0))) is not None:
        changes["precision"] = precision
    return Made(Step(module, options, f"{product} {trt.__version__}"), changes=changes, notes=tuple(notes))


def _precision(trt: Any, network: Any) -> tuple[dict[str, int], dict[str, int]]:
    """How many layers multiply in which type, and how many of their weights are of which."""
    made = {}
    for index in range(network.num_layers):
        layer = network.get_layer(index)
        made.update({layer.get_output(number).name: layer for number in range(layer.num_outputs)})
    layers: dict[str, int] = {}
    elements: dict[str, int] = {}
    for index in range(network.num_layers):
        layer = network.get_layer(index)
        if layer.type.name not in _MULTIPLYING:
            continue
        operands = [layer.get_input(number) for number in range(min(2, layer.num_inputs))]
        sources = [made.get(tensor.name) for tensor in operands]
        if all(one is not None and one.type.name == "DEQUANTIZE" for one in sources):
            kind = sources[0].get_input(0).dtype.name  # type: ignore[union-attr]
        else:
            kind = operands[0].dtype.name
        dtype = _DTYPES.get(kind, kind.lower())
        layers[dtype] = layers.get(dtype, 0) + 1
        size = _weights(trt, layer, operands)
        elements[dtype] = elements.get(dtype, 0) + size
    return layers, elements


def _weights(trt: Any, layer: Any, operands: Sequence[Any]) -> int:
    """How many numbers a layer multiplies with."""
    if layer.type.name == "MATRIX_MULTIPLY":
        return abs(prod(map(int, operands[1].shape)))
    layer.__class__ = trt.IConvolutionLayer if layer.type.name == "CONVOLUTION" else trt.IDeconvolutionLayer
    channels = abs(int(tuple(operands[0].shape)[1])) * int(layer.num_output_maps)
    return channels * prod(map(int, layer.kernel_size_nd)) // int(layer.num_groups)


def gpu_or_refuse(product: str, instead: str) -> None:
    """Refuse where there is no GPU to build for."""
    if not detect().gpus:
        raise Unavailable(f"{product} builds an engine for the GPU that is here, and there is none", instead)
