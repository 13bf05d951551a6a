"""Whether a graph of halves overflows, whatever the processor at hand computes it in.

A runtime without kernels for halves computes in float32 and merges the casts away. There such a graph is right, and
on the GPU for which it is made the same graph gives infinities. A proof on the wrong machine must not hide that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

import numpy as np

from throughline.contracts.artifacts import Array

LARGEST: Final = 65504.0


@final
@dataclass(frozen=True, slots=True)
class Overflow:
    """A result that does not fit into a half: the layer that makes it, the tensor, and how large it gets."""

    layer: str
    op: str
    tensor: str
    reaches: float


def overflows(path: Path, feeds: Sequence[Mapping[str, Array]]) -> list[Overflow]:
    """The halves of an ONNX graph that these inputs drive beyond 65504, in order.

    What is infinitely small and nowhere large is left out: it is a mask before a softmax, and meant.
    """
    import onnx
    from onnx import TensorProto

    from throughline.models.loading.onnx_guard import check_onnx
    from throughline.models.transforms import _graph as graph
    from throughline.models.transforms._running import Opened, add_reduction, with_outputs

    check_onnx(path)
    model = graph.inferred(onnx.load(path))
    graph.name_nodes(model.graph.node)
    types = {value.name: value.type.tensor_type.elem_type for value in (*model.graph.value_info, *model.graph.output)}
    made = [
        (name, node)
        for node in model.graph.node
        if node.op_type not in ("Constant", "Cast")
        for name in node.output
        if types.get(name) == TensorProto.FLOAT16
    ]
    if not made:
        return []
    probe = with_outputs(model, ())
    wanted = [
        add_reduction(probe, kind, name, f"throughline_{kind}_{number}")
        for number, (name, _) in enumerate(made)
        for kind in ("ReduceMin", "ReduceMax")
    ]
    opened = Opened(probe, wanted)
    least, most = np.zeros(len(made)), np.zeros(len(made))
    for feed in feeds:
        found = opened.run(feed)
        seen = np.array([float(found[name]) for name in wanted]).reshape(-1, 2)
        least, most = np.fmin(least, seen[:, 0]), np.fmax(most, seen[:, 1])
    return [
        Overflow(node.name, node.op_type, name, float(max(high, -low)))
        for (name, node), low, high in zip(made, least, most, strict=True)
        if high > LARGEST or (low < -LARGEST and np.isfinite(low))
    ]
