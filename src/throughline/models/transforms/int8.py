"""Eight bits for weights and activations, written into the graph as explicit QuantizeLinear/DequantizeLinear pairs.

Every runtime reads the same pairs, so what was proven on one is what runs on the other. What must not be quantised
is found and left out: decoding after the last layer, tensors of unlike ranges under one scale, and the layers that
measurably spoil the answers on the feeds.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from throughline.contracts.artifacts import Artifact, Step
from throughline.contracts.errors import InputError, ModelRefused, first_line
from throughline.hardware import detect
from throughline.models.transforms import Feeds, Made
from throughline.models.transforms import _graph as graph
from throughline.models.transforms._calibration import METHODS, Method, Ranges, ranges
from throughline.models.transforms._layers import tail, told_apart, unlike, weighted, with_activations
from throughline.models.transforms._running import float_tensors, quietly
from throughline.models.transforms._sensitivity import Judge, sensitivities
from throughline.plugins import Plugin

_CPU: Final = (
    "Conv", "ConvTranspose", "MatMul", "Gemm", "Add", "Mul", "Concat", "MaxPool", "AveragePool", "GlobalAveragePool",
    "Resize", "Split", "Slice", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "Relu", "LeakyRelu", "Clip",
    "Sigmoid",
)  # fmt: skip
_NVIDIA: Final = ("Conv", "ConvTranspose", "MatMul", "Gemm", "Add", "MaxPool", "AveragePool", "GlobalAveragePool")
_TARGET: Final = 0.25
_MOST_LEFT_OUT: Final = 0.3
_PATIENCE: Final = 4
_Tried: TypeAlias = tuple[Any, tuple[str, ...], float]
"""A quantised graph, the layers left in float, and how far its answers are off."""


def int8(
    source: Artifact,
    target: Path,
    *,
    feeds: Feeds,
    method: Method = "percentile",
    for_: Literal["cpu", "nvidia"] = "cpu",
    keep: tuple[str, ...] = (),
    sensitive: Literal["auto", "none"] = "auto",
    error: float = _TARGET,
) -> Made:
    """Quantise a graph on real inputs.

    Args:
        source: the model.
        target: what to write.
        feeds: real inputs, a few dozen: they decide the ranges.
        method: how ranges are cut: "entropy", "percentile" or "minmax".
        for_: whose rules the pairs follow: "cpu", or "nvidia" (symmetric, no quantised bias).
        keep: names of nodes that stay float.
        sensitive: "auto" leaves out the layers that spoil the answers most until the rest is good enough.
        error: how far the answers may be from the float model's, as a share of their own size.
    """
    if method not in METHODS:
        raise InputError(f"method={method!r}", f"one of: {', '.join(METHODS)}")
    if for_ not in ("cpu", "nvidia"):
        raise InputError(f"for_={for_!r}", "one of: cpu, nvidia")
    original = graph.load(source, "int8")
    graph.unknown_names(keep, original.graph.node, "keep")
    model = _prepared(original)
    layers = weighted(model)
    if not layers:
        raise ModelRefused(
            f"{source.path} has no convolution or matrix product with weights of its own", "leave it in float32"
        )
    decoding = tail(model)
    found = told_apart(model, ranges(model, feeds, float_tensors(model), method))
    together = unlike(model, found) - decoding
    spoiled = {name for node in model.graph.node if node.name in together for name in node.output}
    together |= {node.name for node in layers if spoiled.intersection(node.input)}
    float_nodes = {*keep, *decoding, *together}
    reduce_range = for_ == "cpu" and not _has_vnni()
    names = [node.name for node in layers if node.name not in float_nodes]
    if not names:
        raise InputError(
            f"every layer of {source.path} stays float: nothing is left to quantise", "keep fewer nodes, or none"
        )

    def quantised(left_out: Sequence[str]) -> Any:
        return _quantised(model, found, {*float_nodes, *with_activations(model, left_out)}, for_, reduce_range)

    left_out: tuple[str, ...] = ()
    made = quantised(left_out)
    judge = Judge(original, feeds)
    reached = judge.error(made)
    if sensitive == "auto" and reached > error:
        worst = sensitivities(model, names, found, feeds, symmetric=for_ == "nvidia")
        made, left_out, reached = _good_enough((made, left_out, reached), worst, quantised, judge, error)
    companions = graph.save(made, target, like=original)
    return Made(
        Step(
            "int8",
            {
                "method": method,
                "for": for_,
                "feeds": judge.feeds,
                "layers": len(names) - len(left_out),
                "kept": list(keep),
                "left_out": list(left_out),
                "reduce_range": reduce_range,
                "error": round(reached, 4),
            },
            graph.tool("onnxruntime", "onnx"),
        ),
        companions,
        notes=_notes(names, left_out, decoding, together, reduce_range, reached, error),
    )


def _prepared(original: Any) -> Any:
    """The graph as calibration wants it: constants folded, batch normalisation inside its convolution, shapes known."""
    import onnx
    import onnxruntime

    with tempfile.TemporaryDirectory(prefix="throughline-") as folder:
        written = Path(folder) / "prepared.onnx"
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(written)
        options.log_severity_level = 4
        source = graph.raised_to(original, 13, "INT8 with a scale for each channel")
        try:
            onnxruntime.InferenceSession(source.SerializeToString(), options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise ModelRefused(
                f"ONNX Runtime cannot open the graph: {first_line(error)}", "simplify it first"
            ) from None
        model = onnx.load(written)
    wanted = {entry.domain: entry.version for entry in source.opset_import}
    kept = [entry for entry in model.opset_import if entry.domain in wanted]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    graph.name_nodes(model.graph.node)
    return graph.inferred(model)


def _quantised(
    model: Any, found: Ranges, float_nodes: set[str], for_: Literal["cpu", "nvidia"], reduce_range: bool
) -> Any:
    import numpy as np
    import onnx
    from onnxruntime.quantization import (
        CalibrationMethod,
        QuantFormat,
        QuantType,
        TensorData,
        TensorsData,
        quantize_static,
        save_tensors_data,
    )

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    graph.set_metadata(copy, {"onnx.quant.pre_process": "throughline"})
    data = {name: TensorData(lowest=np.float32(low), highest=np.float32(high)) for name, (low, high) in found.items()}
    nvidia = for_ == "nvidia"
    options: dict[str, Any] = {"WeightSymmetric": True, "ActivationSymmetric": nvidia, "QuantizeBias": not nvidia}
    if nvidia:
        options["QDQOpTypePerChannelSupportToAxis"] = {"MatMul": 1}
        options["OpTypesToExcludeOutputQuantization"] = list(_NVIDIA)
        options["DedicatedQDQPair"] = True
    with tempfile.TemporaryDirectory(prefix="throughline-") as folder, quietly():
        cache, written = Path(folder) / "ranges.json", Path(folder) / "int8.onnx"
        save_tensors_data(TensorsData(CalibrationMethod.MinMax, data), cache)
        quantize_static(
            copy,
            written,
            None,
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(_NVIDIA if nvidia else _CPU),
            per_channel=True,
            reduce_range=reduce_range,
            activation_type=QuantType.QInt8 if nvidia else QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=sorted(float_nodes),
            calibrate_method=CalibrationMethod.MinMax,
            extra_options=options,
            calibration_cache_path=cache,
        )
        made = onnx.load(written)
    graph.forget_shapes(made)
    return made


def _good_enough(
    whole: _Tried, worst: Mapping[str, float], quantised: Callable[[Sequence[str]], Any], judge: Judge, error: float
) -> _Tried:
    """The quantised graph with as few layers left in float as bring the answers within ``error``."""
    names = list(worst)
    order = sorted(worst, key=lambda name: (-worst[name], name))
    most = min(len(names) - 1, max(2, int(len(names) * _MOST_LEFT_OUT)))
    best, count = whole, 1
    while True:
        left_out = tuple(sorted(order[:count], key=names.index))
        made = quantised(left_out)
        reached = judge.error(made)
        better = reached < best[2]
        if better:
            best = (made, left_out, reached)
        if reached <= error or count >= most or (not better and count > _PATIENCE):
            return best
        count = min(most, count * 2)


def _has_vnni() -> bool:
    """Whether this processor adds products of eight bits without saturating half-way."""
    return bool({"VNNI", "AVX-VNNI", "dot product"}.intersection(detect().cpu.features))


def _notes(
    names: Sequence[str],
    left_out: Sequence[str],
    decoding: set[str],
    together: set[str],
    reduce_range: bool,
    reached: float,
    error: float,
) -> tuple[str, ...]:
    notes = [f"{len(names) - len(left_out)} of {len(names)} layers in INT8; the answers differ by {reached:.1%}"]
    if left_out:
        notes.append(f"left in float, because they spoil the answers most: {', '.join(left_out)}")
    if together:
        notes.append(f"left in float, because they bring unlike ranges together: {', '.join(sorted(together))}")
    if decoding:
        notes.append(f"{len(decoding)} nodes after the last layer stay float")
    if reduce_range:
        notes.append("weights have seven bits: this processor has no VNNI and saturates with eight")
    if reached > error:
        notes.append(f"the answers differ by more than {error:.1%} still: verify it on data before you use it")
    return tuple(notes)


PLUGIN = Plugin(
    make=int8,
    summary="static INT8 as explicit Q/DQ, sensitive layers left out (ONNX Runtime)",
    needs=("onnx", "onnxruntime"),
    facts={"takes": ("onnx",), "gives": None},
)
