"""How much a model's answers suffer from quantisation: all of it, and each layer's share.

A layer's share is measured by quantising that layer alone. Every layer carries a switch for this, an input of the
graph, so that one opened graph measures all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, final

import numpy as np

from throughline.contracts.artifacts import Array
from throughline.models.transforms import Feeds
from throughline.models.transforms._calibration import Ranges
from throughline.models.transforms._graph import constants
from throughline.models.transforms._layers import in_eight_bits
from throughline.models.transforms._running import Opened, each

_FEEDS: Final = 24
"""A mean of fewer says little: what is found in one picture has a few large scores."""
_FEEDS_A_LAYER: Final = 2
_GAP: Final = 10.0
_SWITCHES: Final = "throughline_switches"


@final
class Judge:
    """The float model's answers on the first few feeds, kept, and how far a quantised graph is from them.

    Attributes:
        feeds: how many there are in all.
    """

    def __init__(self, original: Any, feeds: Feeds) -> None:
        opened = Opened(original, optimised=True)
        self.feeds = 0
        self._expected: list[tuple[Mapping[str, Array], dict[str, Array]]] = []
        for self.feeds, feed in enumerate(each(feeds), 1):
            if self.feeds <= _FEEDS:
                self._expected.append((dict(feed), opened.run(feed)))

    def error(self, quantised: Any) -> float:
        """The difference of the answers, as a share of their own size."""
        opened = Opened(quantised, optimised=True)
        return float(np.mean([difference(answers, opened.run(feed)) for feed, answers in self._expected]))


def difference(reference: Mapping[str, Array], candidate: Mapping[str, Array]) -> float:
    """How far the answers are apart: the error's size by the answer's own, the worst over outputs and their parts.

    An output that holds two kinds of numbers, such as boxes in pixels and scores from 0 to 1, is taken in two
    parts: the larger numbers would hide what happens to the smaller.
    """
    worst = 0.0
    for name, real in reference.items():
        if real.dtype.kind != "f" or not real.size:
            continue
        there = real.astype(np.float64)
        error = candidate[name].astype(np.float64) - there
        size, lost = (there**2), (error**2)
        if real.ndim >= 3:
            channel = channel_axis(real.shape)
            others = tuple(axis for axis in range(real.ndim) if axis != channel)
            reach, size, lost = np.abs(there).max(axis=others), size.sum(axis=others), lost.sum(axis=others)
        else:
            reach = np.ones(size.shape)
        for part in _parts(reach):
            whole = float(size[part].sum())
            if whole > 0:
                worst = max(worst, float(np.sqrt(lost[part].sum() / whole)))
    return worst


def channel_axis(shape: Sequence[int]) -> int:
    """Which axis counts kinds of numbers: the second of feature maps; of rows and places, the shorter."""
    return 1 if len(shape) != 3 or shape[1] <= shape[2] else 2


def _parts(reach: Array) -> list[Array]:
    """The channels in one part, or in two where a wide gap parts the farthest-reaching from the rest."""
    flat = np.unique(reach[reach > 0])
    wide = np.flatnonzero(flat[1:] > _GAP * flat[:-1])
    if len(wide):
        small = reach <= flat[wide[-1]]
        return [small, ~small]
    return [np.ones(reach.shape, np.bool_)]


def sensitivities(
    model: Any, names: Sequence[str], ranges: Ranges, feeds: Feeds, *, symmetric: bool
) -> dict[str, float]:
    """What quantising each layer alone does to the answers.

    Args:
        model: the float graph, ready for calibration.
        names: the layers.
        ranges: of their inputs and outputs.
        feeds: what to run it on; two of them are taken.
        symmetric: whether zero lies in the middle of every range.
    """
    outputs = [value.name for value in model.graph.output]
    opened = Opened(_switched(model, names, ranges, symmetric), outputs)
    totals = np.zeros(len(names))
    for feed in each(feeds, _FEEDS_A_LAYER):
        off = np.zeros(len(names), np.bool_)
        reference = opened.run({**feed, _SWITCHES: off})
        for number in range(len(names)):
            on = off.copy()
            on[number] = True
            totals[number] += difference(reference, opened.run({**feed, _SWITCHES: on}))
    return dict(zip(names, totals.tolist(), strict=True))


def _switched(model: Any, names: Sequence[str], ranges: Ranges, symmetric: bool) -> Any:
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    known = constants(model)
    copy.graph.input.append(helper.make_tensor_value_info(_SWITCHES, TensorProto.BOOL, [len(names)]))
    numbers = {name: number for number, name in enumerate(names)}
    nodes = []

    def constant(name: str, value: Array) -> str:
        copy.graph.initializer.append(numpy_helper.from_array(value, name))
        return name

    def pair(tensor: str, into: str, switch: str, start: str) -> None:
        """Into ``into``: the tensor, or what eight bits leave of it."""
        scale, zero = _eight_bits(*ranges[tensor], symmetric)
        parts = [constant(f"{into}_scale", scale), constant(f"{into}_zero", zero)]
        nodes.append(helper.make_node("QuantizeLinear", [start, *parts], [f"{into}_q"]))
        nodes.append(helper.make_node("DequantizeLinear", [f"{into}_q", *parts], [f"{into}_dq"]))
        nodes.append(helper.make_node("Where", [switch, f"{into}_dq", start], [into]))

    for node in model.graph.node:
        number = numbers.get(node.name)
        if number is None:
            nodes.append(node)
            continue
        made = onnx.NodeProto()
        made.CopyFrom(node)
        prefix = f"throughline_{number}"
        place = constant(f"{prefix}_place", np.array(number, np.int64))
        switch = f"{prefix}_switch"
        nodes.append(helper.make_node("Gather", [_SWITCHES, place], [switch]))
        for index, name in enumerate(node.input[:2]):
            if name in known:
                packed, scales = in_eight_bits(known[name], node)
                rounded = constant(f"{prefix}_rounded_{index}", np.asarray(packed * scales, np.float32))
                nodes.append(helper.make_node("Where", [switch, rounded, name], [f"{prefix}_in_{index}"]))
                made.input[index] = f"{prefix}_in_{index}"
            elif name in ranges:
                pair(name, f"{prefix}_in_{index}", switch, name)
                made.input[index] = f"{prefix}_in_{index}"
        result = node.output[0]
        made.output[0] = f"{prefix}_out"
        nodes.append(made)
        if result in ranges:
            pair(result, result, switch, made.output[0])
        else:
            nodes.append(helper.make_node("Identity", [made.output[0]], [result]))
    del copy.graph.node[:]
    copy.graph.node.extend(nodes)
    del copy.graph.value_info[:]
    return copy


def _eight_bits(low: float, high: float, symmetric: bool) -> tuple[Array, Array]:
    if symmetric:
        return np.array(max(-low, high, 1e-9) / 127, np.float32), np.array(0, np.int8)
    scale = max(high - low, 1e-9) / 255
    return np.array(scale, np.float32), np.array(np.clip(round(-low / scale), 0, 255), np.uint8)
