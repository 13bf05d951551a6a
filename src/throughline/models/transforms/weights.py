"""Smaller files at nearly the same answers: weights in eight or four bits, activations as they were.

Each weight becomes integers behind a standard DequantizeLinear. What is computed stays float; a runtime unpacks the
weights when it opens the file, or while it runs where weights are what it waits for.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np

from throughline.contracts.artifacts import Array, Artifact, Step
from throughline.contracts.errors import InputError, ModelRefused
from throughline.models.transforms import Made
from throughline.models.transforms import _graph as graph
from throughline.models.transforms._layers import WEIGHTED, channel_of, in_eight_bits
from throughline.plugins import Plugin

_LEAST: Final = 1024
"""Fewer numbers than this are not worth a scale."""
_BLOCK: Final = 32
_FOUR_BITS: Final = ("MatMul", "Gemm")


def weights(source: Artifact, target: Path, *, bits: int = 8, keep: tuple[str, ...] = ()) -> Made:
    """Compress the weights of convolutions and matrix products.

    Args:
        source: the model.
        target: what to write.
        bits: 8, with a scale for each channel; or 4 for matrix products, with a scale for each 32 numbers,
            and 8 for the rest.
        keep: names of nodes whose weights stay float.
    """
    if bits not in (4, 8):
        raise InputError(f"bits={bits}", "give 8 or 4")
    original = graph.load(source, "weights")
    graph.unknown_names(keep, original.graph.node, "keep")
    import onnx

    model = onnx.ModelProto()
    model.CopyFrom(original)
    model = graph.raised_to(model, 21 if bits == 4 else 13, f"weights in {bits} bits")
    graph.lift_constants(model)
    done = _compress(model, bits, set(keep))
    if not done:
        raise ModelRefused(
            f"{source.path} has no float32 weights of {_LEAST} numbers or more to compress", "leave it as it is"
        )
    graph.forget_shapes(model)
    companions = graph.save(model, target, like=original)
    before, after = source.path.stat().st_size, target.stat().st_size
    fours = sum(one == 4 for one in done.values())
    said = f"{len(done)} weights compressed" + (f", {fours} of them to four bits" if bits == 4 else "")
    return Made(
        Step("weights", {"bits": bits, "kept": list(keep), "layers": len(done)}, graph.tool("onnx")),
        companions,
        notes=(f"{said}: {before:,} bytes became {after:,}",),
    )


def _compress(model: Any, bits: int, keep: set[str]) -> dict[str, int]:
    """Put every worthwhile weight behind a DequantizeLinear; the bits of each, by name."""
    from onnx import helper, numpy_helper

    tensors = {tensor.name: tensor for tensor in model.graph.initializer if tensor.data_type == 1}
    kept = {name for node in model.graph.node if node.name in keep for name in node.input}
    done: dict[str, int] = {}
    nodes: list[Any] = []
    for node in model.graph.node:
        if node.op_type in WEIGHTED and node.domain in graph.STANDARD:
            for index, name in enumerate(node.input[:2]):
                tensor = tensors.get(name)
                if tensor is None or name in kept or int(np.prod(tensor.dims)) < _LEAST or len(tensor.dims) < 2:
                    continue
                made = f"{name}_unpacked"
                if name not in done:
                    value = numpy_helper.to_array(tensor)
                    axis = channel_of(node, value.ndim)
                    blocks = bits == 4 and node.op_type in _FOUR_BITS and value.ndim == 2
                    blocks = blocks and value.shape[1 - axis] % _BLOCK == 0
                    done[name] = 4 if blocks else 8
                    parts, options = _four(value, axis) if blocks else _eight(value, node)
                    names = [f"{name}_packed", f"{name}_scale"]
                    model.graph.initializer.extend(
                        numpy_helper.from_array(part, own) for part, own in zip(parts, names, strict=True)
                    )
                    nodes.append(helper.make_node("DequantizeLinear", names, [made], f"{name}_unpack", **options))
                node.input[index] = made
        nodes.append(node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    graph.drop_unused_weights(model)
    return done


def _eight(value: Array, node: Any) -> tuple[list[Array], dict[str, int]]:
    packed, scale = in_eight_bits(value, node)
    return [packed, scale.ravel()], {"axis": channel_of(node, value.ndim)}


def _four(value: Array, axis: int) -> tuple[list[Array], dict[str, int]]:
    """Blocks run along the axis that is summed over."""
    import ml_dtypes

    summed = 1 - axis
    shape = list(value.shape)
    shape[summed : summed + 1] = [shape[summed] // _BLOCK, _BLOCK]
    parted = value.reshape(shape)
    scale = np.maximum(np.abs(parted).max(axis=summed + 1, keepdims=True) / 7, 1e-30).astype(np.float32)
    packed = np.clip(np.rint(parted / scale), -7, 7).reshape(value.shape).astype(ml_dtypes.int4)
    return [packed, scale.squeeze(summed + 1)], {"axis": summed, "block_size": _BLOCK}


PLUGIN = Plugin(
    make=weights,
    summary="weights alone in 8 or 4 bits, activations as they were",
    needs=("onnx", "ml_dtypes"),
    facts={"takes": ("onnx",), "gives": None},
)
