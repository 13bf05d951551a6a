"""Half precision where it is safe, float32 where it is not, the casts between them written into the graph.

Sixteen bits end at 65504 and know nothing below 0.00000006. Which layers would leave that range is measured on real
inputs, sums on their way to a result included; such a layer, and each operator that has no half form, is an island
that stays float32.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from throughline.contracts.artifacts import Array, Artifact, Step
from throughline.contracts.errors import InputError
from throughline.models.transforms import Feeds, Made
from throughline.models.transforms import _graph as graph
from throughline.models.transforms._halving import halve
from throughline.models.transforms._running import Opened, add_reduction, each, float_tensors, with_outputs
from throughline.plugins import Plugin

LARGEST: Final = 65504.0
_NORMAL: Final = 2.0**-14
"""Below it a half has fewer digits with every power of two."""
_SUMMING: Final = ("Conv", "ConvTranspose", "MatMul", "Gemm")
_SQUARING: Final = ("ReduceL2", "ReduceSumSquare", "LayerNormalization", "InstanceNormalization", "LpNormalization")


def half(
    source: Artifact,
    target: Path,
    *,
    feeds: Feeds | None = None,
    keep_io: bool = True,
    keep: tuple[str, ...] = (),
) -> Made:
    """Turn a float32 graph into FP16, with islands of float32 where that is needed.

    Args:
        source: the model.
        target: what to write.
        feeds: real inputs, to find the layers that leave the range of a half; without them only weights are looked at.
        keep_io: inputs and outputs stay float32.
        keep: names of nodes that stay float32.
    """
    original = graph.load(source, "half")
    graph.unknown_names(keep, original.graph.node, "keep")
    import onnx

    model = onnx.ModelProto()
    model.CopyFrom(original)
    graph.lift_constants(model)
    model = graph.inferred(model)
    if not any(tensor.data_type == onnx.TensorProto.FLOAT for tensor in model.graph.initializer) and not float_tensors(
        model
    ):
        raise InputError(f"{source.path} has no float32 in it", "leave it as it is")
    islands = _by_weights(model)
    count = 0
    if feeds is not None:
        found, count = _by_activations(model, feeds)
        islands |= {name: why for name, why in found.items() if name not in islands}
    made, halved, blocked = halve(model, {*keep, *islands}, keep_io=keep_io)
    companions = graph.save(made, target, like=original if keep_io else None)
    notes = [f"{halved} nodes in FP16"]
    if islands:
        notes.append("left in float32: " + ", ".join(f"{name} ({why})" for name, why in sorted(islands.items())))
    if blocked:
        notes.append(f"no half form, left in float32: {', '.join(blocked)}")
    if feeds is None:
        notes.append("no feeds were given: activations that leave the range of a half were not looked for")
    return Made(
        Step(
            "half",
            {"feeds": count, "keep_io": keep_io, "kept": list(keep), "islands": sorted(islands)},
            graph.tool("onnx", "onnxruntime"),
        ),
        companions,
        notes=tuple(notes),
    )


def _by_weights(model: Any) -> dict[str, str]:
    """The nodes whose constants do not fit into halves, and why."""
    known = {name: value for name, value in graph.constants(model).items() if value.dtype == np.float32 and value.size}
    bad = {name: why for name, value in known.items() if (why := _misfit(value))}
    found = {}
    for node in model.graph.node:
        for name in node.input:
            if name in bad:
                found[node.name] = bad[name]
    return found


def _misfit(value: Array) -> str | None:
    size = np.abs(value[np.isfinite(value)])
    if not size.size:
        return None
    most = float(size.max())
    if most > LARGEST:
        return f"a constant of {most:.3g}"
    if 0 < most < _NORMAL:
        return f"constants of at most {most:.1g}"
    return None


def _by_activations(model: Any, feeds: Feeds) -> tuple[dict[str, str], int]:
    """The nodes whose results, or sums on the way to them, do not fit into halves; and how many feeds were run."""
    from onnx import helper

    names = float_tensors(model)
    known = {name: value for name, value in graph.constants(model).items() if value.dtype == np.float32}
    probe = with_outputs(model, ())
    sizes: dict[str, str] = {}

    def absolute(name: str) -> str:
        made = f"throughline_abs_{name}"
        if made not in done:
            done.add(made)
            probe.graph.node.append(helper.make_node("Abs", [name], [made]))
        return made

    done: set[str] = set()
    for number, name in enumerate(names):
        sizes[name] = add_reduction(probe, "ReduceMax", absolute(name), f"throughline_size_{number}")
    sums: dict[str, str] = {}
    present = set(names)
    for number, node in enumerate(model.graph.node):
        if not node.output or node.output[0] not in present:
            continue
        sized = f"throughline_sum_{number}"
        if node.op_type in _SUMMING:
            copy = helper.make_node(
                node.op_type, [absolute(name) if name in known or name in present else name for name in node.input], []
            )
            copy.attribute.extend(node.attribute)
        elif node.op_type == "GlobalAveragePool":
            copy = helper.make_node("GlobalLpPool", list(node.input), [], p=1)
        elif node.op_type == "ReduceMean":  # named its axes as ReduceL1 did in every opset; ReduceSum did not
            copy = helper.make_node("ReduceL1", list(node.input), [])
            copy.attribute.extend(node.attribute)
        elif node.op_type == "ReduceSum" and node.input[0] in present:
            copy = helper.make_node("ReduceSum", [absolute(node.input[0]), *node.input[1:]], [])
            copy.attribute.extend(node.attribute)
        else:
            continue
        copy.output.append(sized)
        probe.graph.node.append(copy)
        sums[node.name] = add_reduction(probe, "ReduceMax", sized, f"{sized}_most")
    opened = Opened(probe, [*sizes.values(), *sums.values()])
    most: dict[str, float] = {}
    count = 0
    for feed in each(feeds):
        count += 1
        for name, value in opened.run(feed).items():
            most[name] = max(most.get(name, 0.0), float(value) if np.isfinite(value) else np.inf)
    return _islands(model, sizes, sums, most), count


def _islands(
    model: Any, sizes: Mapping[str, str], sums: Mapping[str, str], most: Mapping[str, float]
) -> dict[str, str]:
    found = {}
    for node in model.graph.node:
        values = [(name, most[sizes[name]]) for name in (*node.input, *node.output) if name in sizes]
        large = [value for _, value in values if value > LARGEST]
        if large:
            found[node.name] = f"values up to {max(large):.3g}"
        elif node.name in sums and most[sums[node.name]] > LARGEST:
            found[node.name] = f"sums up to {most[sums[node.name]]:.3g}"
        elif node.op_type in _SQUARING and any(value**2 > LARGEST for _, value in values[:1]):
            found[node.name] = f"squares up to {values[0][1] ** 2:.3g}"
        elif any(0 < value < _NORMAL for _, value in values):
            found[node.name] = f"values below {min(value for _, value in values if value > 0):.1g}"
    return found


PLUGIN = Plugin(
    make=half,
    summary="FP16 with float32 islands where the range of a half is left",
    needs=("onnx", "onnxruntime"),
    facts={"takes": ("onnx",), "gives": None},
)
