"""Which layers of a graph are worth eight bits, and which of its tensors must not share one scale.

The work of a network is in its convolutions and matrix products. What comes after the last of them turns features
into boxes and scores: it costs little, and one scale over pixels and probabilities leaves nothing of the latter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from throughline.contracts.artifacts import Array
from throughline.models.transforms._graph import STANDARD, attribute, constants

WEIGHTED: Final = ("Conv", "ConvTranspose", "MatMul", "Gemm")
JOINING: Final = ("Concat", "Add", "Sum", "Max", "Min")
_ACTIVATIONS: Final = ("Sigmoid", "Mul", "Relu", "LeakyRelu", "PRelu", "Clip", "HardSigmoid", "HardSwish", "Tanh")
_SETTLED: Final = 8.0
"""Beyond it a sigmoid gives the same on either side, to within 0.0004, and x times its sigmoid to within 0.003."""
_RATIO: Final = 20.0
"""Tensors whose ranges differ by more than this do not share a scale: the smaller has under four bits left."""


def weighted(model: Any, weights: Mapping[str, Array] | None = None) -> list[Any]:
    """The nodes that multiply by weights of their own, in order, save those whose weights are a ruler (0, 1, 2 ...)."""
    known = constants(model) if weights is None else weights
    return [
        node
        for node in model.graph.node
        if node.op_type in WEIGHTED
        and node.domain in STANDARD
        and any(name in known for name in node.input[:2])
        and not any(_is_ruler(known[name]) for name in node.input[:2] if name in known)
    ]


def channel_of(node: Any, dimensions: int) -> int:
    """Which axis of a layer's weights counts the channels of its result."""
    if node.op_type == "Conv":
        return 0
    if node.op_type == "ConvTranspose":
        return 1
    if node.op_type == "Gemm":
        return 0 if attribute(node, "transB", 0) else 1
    return dimensions - 1


def in_eight_bits(weights: Array, node: Any) -> tuple[Array, Array]:
    """A layer's weights as whole numbers from -127 to 127, and the scale of each channel of its result."""
    axis = channel_of(node, weights.ndim)
    others = tuple(one for one in range(weights.ndim) if one != axis)
    scale = np.maximum(np.abs(weights).max(axis=others, keepdims=True) / 127, 1e-30).astype(np.float32)
    return np.clip(np.rint(weights / scale), -127, 127).astype(np.int8), scale


def with_activations(model: Any, left_out: Sequence[str]) -> set[str]:
    """These layers, and the activation functions that follow them alone: eight bits between the two spare nothing."""
    found = set(left_out)
    known = set(constants(model))
    made = {name for node in model.graph.node if node.name in found for name in node.output}
    for node in model.graph.node:
        if node.op_type in _ACTIVATIONS and all(name in made or name in known for name in node.input if name):
            found.add(node.name)
            made.update(node.output)
    return found


def tail(model: Any) -> set[str]:
    """The names of the nodes after which no weighted layer comes, the weighted ones themselves apart."""
    layers = {node.name for node in weighted(model)}
    needed: set[str] = set()
    inside: set[str] = set()
    for node in reversed(model.graph.node):
        if node.name in layers or needed.intersection(node.output):
            inside.add(node.name)
            needed.update(node.input)
    return {node.name for node in model.graph.node if node.name not in inside}


def unlike(model: Any, ranges: Mapping[str, tuple[float, float]]) -> set[str]:
    """The names of the nodes that bring together tensors of too different ranges."""
    found = set()
    for node in model.graph.node:
        if node.op_type not in JOINING:
            continue
        reach = [max(map(abs, ranges[name])) for name in node.input if name in ranges]
        reach = [one for one in reach if one > 0]
        if len(reach) > 1 and max(reach) > _RATIO * min(reach):
            found.add(node.name)
    return found


def told_apart(model: Any, ranges: Mapping[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
    """The ranges, without what the activation function that reads a tensor cannot tell apart.

    A SiLU makes the same nothing of -8 and of -60; eight bits dealt out down to -60 would lack above.
    """
    readers: dict[str, list[Any]] = {}
    for node in model.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    for value in model.graph.output:
        readers.setdefault(value.name, []).append(value)
    found = dict(ranges)
    for name, (low, high) in ranges.items():
        if ends := [_told_by(node, readers[name]) for node in readers.get(name, ())]:
            least, most = min(one[0] for one in ends), max(one[1] for one in ends)
            found[name] = max(low, min(least, 0.0)), min(high, max(most, 0.0))
    return found


def _told_by(reader: Any, readers: Sequence[Any]) -> tuple[float, float]:
    """From where to where one reader of a tensor tells its values apart, among all of its readers."""
    kind = getattr(reader, "op_type", "")
    if kind == "Sigmoid":
        return -_SETTLED, _SETTLED
    if kind == "HardSigmoid" and (alpha := attribute(reader, "alpha", 0.2)) > 0:
        beta = attribute(reader, "beta", 0.5)
        return -beta / alpha, (1 - beta) / alpha
    if kind in ("Swish", "HardSwish"):
        return -_SETTLED, np.inf
    if kind == "Mul":
        for gate in readers:  # by a gate of its own: nothing is left of what the gate is shut for
            if getattr(gate, "op_type", "") in ("Sigmoid", "HardSigmoid") and gate.output[0] in reader.input:
                return _told_by(gate, ())[0], np.inf
    return -np.inf, np.inf


def _is_ruler(values: Array) -> bool:
    """Whether these weights only count: what reads a distance out of a distribution over distances."""
    flat = values.ravel()
    return 4 <= flat.size <= 64 and bool(np.array_equal(flat, np.arange(flat.size, dtype=flat.dtype)))
