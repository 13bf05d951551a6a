"""The first layer at which two graphs part, found by looking at what happens inside both.

Tensors are brought together by name, and where names were changed by structure: the same operators in the same
order with results of the same shape. Then both graphs are run with the paired tensors as outputs, a stretch of the
reference's order at a time, and the first pair that differs more than what went into it is where they part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any, Final, final

import numpy as np

from throughline.contracts.artifacts import Array
from throughline.contracts.errors import InputError
from throughline.models.inside import Inside, look_inside
from throughline.models.transforms._running import CannotRun

_MAY_DIFFER: Final = {"float32": 1e-3, "float16": 1e-2, "bfloat16": 5e-2, "int8": 0.15}
"""From which relative error on a tensor counts as different; rounding alone stays below."""
_JUMP: Final = 3.0
"""And by so much it is further off than what went into its layer."""
_STRETCH: Final = 64 * 2**20
"""So many bytes of tensors are looked at in one run."""


@final
@dataclass(frozen=True, slots=True)
class Parting:
    """Where two graphs part.

    Attributes:
        layer: the node of the reference whose result differs first; empty where none does.
        op: its operator.
        tensor: its result.
        candidate_layer: the node of the candidate that makes that result.
        error: how far the two results are apart, as a share of the reference's size.
        before: how far apart what went into it was.
        compared: how many tensors were found in both graphs.
        between: layers just before it that have no partner in the candidate.
    """

    layer: str
    op: str
    tensor: str
    candidate_layer: str
    error: float
    before: float
    compared: int
    between: tuple[str, ...] = ()

    def __str__(self) -> str:
        if not self.layer:
            return (
                f"the graphs do the same on the same inputs in all {self.compared} tensors that both have: "
                "the difference is outside of them, in preprocessing, decoding, labels or the shape of the input"
            )
        also = f", or in one of {', '.join(self.between[:6])} before it" if self.between else ""
        other = f" ('{self.candidate_layer}' in the candidate)" if self.candidate_layer != self.layer else ""
        if np.isinf(self.error) and not self.before:
            return f"first at '{self.layer}' ({self.op}){other}{also}: it does not run, or its result is not finite"
        return (
            f"first at '{self.layer}' ({self.op}){other}{also}: its result is {self.error:.3g} apart, "
            f"what goes into it {self.before:.2g}; {self.compared} tensors compared"
        )


@final
@dataclass(frozen=True, slots=True)
class LayerError:
    """How far one tensor that both graphs have is apart, and the most that any of its nearest ancestors is."""

    layer: str
    op: str
    tensor: str
    partner: str
    error: float
    before: float


def first_parting(
    reference: Path,
    candidate: Path,
    feeds: Sequence[Mapping[str, Array]],
    precision: str = "float32",
    *,
    other_ends: bool = False,
) -> Parting:
    """Find where two graphs part on these inputs.

    Args:
        reference: the model that is right: ONNX or OpenVINO IR.
        candidate: the other.
        feeds: inputs under the reference's names.
        precision: the candidate's: rounding is no parting.
        other_ends: the candidate's results are others on purpose, and are not compared.

    Raises:
        InputError: one of them is of a format that does not let itself be looked into.
    """
    one, other = look_inside(reference), look_inside(candidate)
    limit = _MAY_DIFFER[precision]
    pairs = paired(one, other)
    if other_ends:
        pairs = {mine: its for mine, its in pairs.items() if mine not in one.results}
    best: LayerError | None = None
    try:
        for found in _errors(one, other, pairs, feeds):
            if found.error > limit and (found.before <= limit / 2 or found.error > _JUMP * found.before):
                best = found
                break
    except CannotRun as stop:
        return _where_it_stops(stop, one, other, pairs)
    if best is None:
        return Parting("", "", "", "", 0.0, 0.0, len(pairs))
    partner = other.makers.get(best.partner)
    between = _unpaired_before(one, pairs, best.tensor)
    name = partner.name if partner else best.partner
    return Parting(best.layer, best.op, best.tensor, name, best.error, best.before, len(pairs), between)


def _where_it_stops(stop: CannotRun, one: Inside, other: Inside, pairs: Mapping[str, str]) -> Parting:
    """The layer at which the candidate does not run, as the reference calls it."""
    if not stop.node:
        raise stop
    given = {layer.tensor for layer in other.makers.values() if layer.name == stop.node}
    mine = next((one.makers[name] for name, its in pairs.items() if its in given and name in one.makers), None)
    name, op, tensor = (mine.name, mine.op, mine.tensor) if mine else (stop.node, stop.op, "")
    return Parting(name, op, tensor, stop.node, float("inf"), 0.0, len(pairs))


def layer_errors(reference: Path, candidate: Path, feeds: Sequence[Mapping[str, Array]]) -> list[LayerError]:
    """How far each tensor that both graphs have is apart, in the reference's order."""
    one, other = look_inside(reference), look_inside(candidate)
    return list(_errors(one, other, paired(one, other), feeds))


def paired(one: Inside, other: Inside) -> dict[str, str]:
    """The candidate's tensor for each of the reference's that has one, in the reference's order."""
    pairs: dict[str, str] = {}
    for layer in one.layers:
        partner = other.makers.get(layer.tensor)
        if partner is not None and _could_be(layer.shape, partner.shape):
            pairs[layer.tensor] = layer.tensor
    left = [layer for layer in one.layers if layer.tensor not in pairs]
    taken = set(pairs.values())
    free = [layer for layer in other.layers if layer.tensor not in taken]
    ours, theirs = ([(layer.op, layer.shape) for layer in layers] for layers in (left, free))
    for block in SequenceMatcher(None, ours, theirs, autojunk=False).get_matching_blocks():
        for mine, its in zip(left[block.a : block.a + block.size], free[block.b : block.b + block.size], strict=True):
            if len(pairs) < len(left) / 2 or (mine.shape and len(mine.shape) > 1):
                pairs[mine.tensor] = its.tensor
    for result, partner_result in zip(one.results, other.results, strict=False):
        pairs.setdefault(result, partner_result)
    order = {layer.tensor: number for number, layer in enumerate(one.layers)}
    return dict(sorted(pairs.items(), key=lambda item: order.get(item[0], len(order))))


def _errors(one: Inside, other: Inside, pairs: Mapping[str, str], feeds: Sequence[Mapping[str, Array]]) -> Any:
    names = {name: its for name, its in zip(one.inputs, other.inputs, strict=False)}
    if len(one.inputs) != len(other.inputs):
        raise InputError("the two graphs do not take the same inputs", "compare two forms of one model")
    errors: dict[str, float] = dict.fromkeys(one.inputs, 0.0)
    todo = list(pairs)
    while todo:
        part, todo = _stretch(todo, one, feeds[0])
        shown = [other.shown(pairs[name]) for name in part]
        totals = dict.fromkeys(part, 0.0)
        for feed in feeds:
            mine = one.run(feed, part)
            its = other.run({names[name]: array for name, array in feed.items() if name in names}, shown)
            for name, there in zip(part, shown, strict=True):
                totals[name] = max(totals[name], distance(mine[name], its[there]))
        errors.update(totals)
        for name in part:
            layer = one.makers[name]
            before = max((errors[near] for near in _ancestors(one, name, errors)), default=0.0)
            yield LayerError(layer.name, layer.op, name, pairs[name], errors[name], before)


def _stretch(todo: list[str], graph: Inside, feed: Mapping[str, Array]) -> tuple[list[str], list[str]]:
    """As many tensors as fit into one run."""
    scale = max((array.size for array in feed.values()), default=1) / max(1, graph.input_size)
    bytes_, count = 0.0, 0
    for count, name in enumerate(todo):
        bytes_ += 4 * scale * float(np.prod(graph.makers[name].shape or (1,)))
        if bytes_ > _STRETCH and count:
            return todo[:count], todo[count:]
    return todo, []


def distance(reference: Array, candidate: Array) -> float:
    """How far apart two tensors are, as a share of the first's size; infinite where shapes or kinds differ."""
    if reference.shape != candidate.shape:
        if reference.size != candidate.size:
            return float("inf")
        candidate = candidate.reshape(reference.shape)
    if reference.dtype.kind not in "f" or candidate.dtype.kind not in "f":
        return float(np.mean(reference != candidate)) if reference.size else 0.0
    a, b = reference.astype(np.float64), candidate.astype(np.float64)
    finite = np.isfinite(a)
    if not np.isfinite(b[finite]).all():
        return float("inf")
    a, b = a[finite], b[finite]
    size = float(np.sqrt(a @ a)) if a.ndim == 1 else 0.0
    off = float(np.sqrt((b - a) @ (b - a)))
    return off / size if size else (0.0 if off == 0 else float("inf"))


def _ancestors(graph: Inside, tensor: str, known: Mapping[str, float]) -> set[str]:
    """The nearest tensors before one of which something is known."""
    found: set[str] = set()
    seen: set[str] = set()
    ahead = list(graph.makers[tensor].takes)
    while ahead:
        name = ahead.pop()
        if name in seen:
            continue
        seen.add(name)
        if name in known:
            found.add(name)
        elif name in graph.makers:
            ahead += graph.makers[name].takes
    return found


def _unpaired_before(graph: Inside, pairs: Mapping[str, str], tensor: str) -> tuple[str, ...]:
    found: list[str] = []
    ahead = list(graph.makers[tensor].takes)
    while ahead:
        name = ahead.pop(0)
        if name in pairs or name not in graph.makers or graph.makers[name].name in found:
            continue
        found.append(graph.makers[name].name)
        ahead += graph.makers[name].takes
    return tuple(found)


def _could_be(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    return not one or not other or len(one) == len(other)
