"""Which channels of a network hang together, and a network without some of them.

A channel that one layer makes is read by others, added to channels of further layers, split off and put side by side
again. Each number of each weight belongs to such a channel, so a channel can be taken out whole: the network that is
left has smaller layers, and no zeros in them. What the graph does with channels otherwise (a reshape, a matrix product)
is not followed, and the channels that go into it stay.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias, final

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch
    from torch import fx

Channels: TypeAlias = npt.NDArray[np.int64]
"""The number of the channel at each place of a tensor's second axis."""

_AS_IT_IS: Final = frozenset({
    "relu", "relu_", "silu", "silu_", "sigmoid", "sigmoid_", "tanh", "tanh_", "gelu", "hardswish", "hardswish_",
    "hardsigmoid", "hardsigmoid_", "leaky_relu", "leaky_relu_", "relu6", "relu6_", "hardtanh", "hardtanh_", "elu",
    "elu_", "mish", "mish_", "softplus", "clamp", "clone", "contiguous", "dropout", "dropout_", "detach", "neg", "abs",
    "exp", "sqrt", "max_pool2d", "avg_pool2d", "adaptive_avg_pool2d", "adaptive_max_pool2d", "upsample_nearest2d",
    "upsample_bilinear2d", "upsample_bicubic2d", "constant_pad_nd", "pad", "_to_copy", "to", "alias", "feature_dropout",
})  # fmt: skip
_ELEMENTWISE: Final = frozenset({"add", "add_", "sub", "sub_", "mul", "mul_", "div", "div_", "maximum", "minimum"})
_SPLITTING: Final = frozenset({"chunk", "split", "split_with_sizes"})


@final
@dataclass(frozen=True, slots=True)
class Tie:
    """The places along one axis of a weight, and the channels that they belong to.

    ``role`` is "filter" where the weight makes the channels, "scale" where it scales them, else "".
    """

    weight: str
    axis: int
    channels: Channels
    role: str = ""


@final
@dataclass(slots=True, eq=False)
class Map:
    """Every channel of a network.

    Attributes:
        ties: which weights hold what of which channel, by weight and axis.
        made_by: the layers that make each channel, by channel.
        frozen: the channels that cannot go.
        after: the channels of each node's result.
    """

    ties: dict[tuple[str, int], Tie] = field(default_factory=dict)
    made_by: dict[int, str] = field(default_factory=dict)
    frozen: set[int] = field(default_factory=set)
    after: dict[str, Any] = field(default_factory=dict)
    _parents: list[int] = field(default_factory=list)

    def new(self, count: int, layer: str) -> Channels:
        """Channels that a layer makes."""
        first = len(self._parents)
        self._parents.extend(range(first, first + count))
        self.made_by.update(dict.fromkeys(range(first, first + count), layer))
        return np.arange(first, first + count)

    def tie(self, weight: str, axis: int, channels: Channels, role: str = "") -> None:
        """Say what a weight holds; where it is used twice, it is the same channels both times."""
        before = self.ties.setdefault((weight, axis), Tie(weight, axis, channels, role))
        if before.channels is not channels:
            self.join(before.channels, channels)

    def root(self, channel: int) -> int:
        """What stands for all channels that are one with it."""
        while self._parents[channel] != channel:
            self._parents[channel] = self._parents[self._parents[channel]]
            channel = self._parents[channel]
        return channel

    def join(self, here: Channels, there: Channels) -> None:
        """Make channels one, place by place."""
        for one, other in zip(here.tolist(), there.tolist(), strict=True):
            low, high = sorted((self.root(one), self.root(other)))
            self._parents[high] = low

    def freeze(self, found: Any) -> None:
        """Keep these."""
        if isinstance(found, np.ndarray):
            self.frozen.update(found.tolist())
        elif isinstance(found, list | tuple):
            for one in found:
                self.freeze(one)

    def groups(self) -> dict[tuple[str, ...], list[int]]:
        """The channels that may go, by the layers that make them; layers that are added up are one group."""
        members: dict[int, set[str]] = {}
        for channel, layer in self.made_by.items():
            members.setdefault(self.root(channel), set()).add(layer)
        stay = {self.root(channel) for channel in self.frozen}
        found: dict[tuple[str, ...], list[int]] = {}
        for channel, layers in sorted(members.items()):
            if channel not in stay:
                found.setdefault(tuple(sorted(layers)), []).append(channel)
        return found


def follow(module: fx.GraphModule) -> Map:
    """Follow every channel through a network that ``torch.export`` wrote down."""
    found = Map()
    for node in module.graph.nodes:
        if node.op == "output":
            found.freeze([found.after.get(each.name) for each in node.all_input_nodes])
        elif node.op == "call_function":
            found.after[node.name] = _step(found, module, node)
    return found


def _step(found: Map, module: fx.GraphModule, node: fx.Node) -> Any:
    """The channels of a node's result; None where nothing is known of them."""
    name = _operator(node)
    inputs = [found.after.get(each.name) if hasattr(each, "name") else None for each in node.args]
    first = inputs[0] if inputs else None
    if name in ("conv2d", "conv1d", "linear", "conv_transpose2d"):
        return _layer(found, module, node, name, first)
    if name == "batch_norm":
        return _normalised(found, node, first)
    if name == "getitem":
        return first[node.args[1]] if isinstance(first, list) else None
    if name in _AS_IT_IS:
        return first
    if name in _ELEMENTWISE:
        return _together(found, node, inputs[:2])
    if name == "cat" and isinstance(first, type(None)):
        return _side_by_side(found, node)
    if name in _SPLITTING and isinstance(first, np.ndarray) and _axis(node, 2) == 1:
        return _split(node, first)
    if name == "mean" and isinstance(first, np.ndarray) and _spares_channels(node):
        return first
    if name == "flatten" and isinstance(first, np.ndarray):
        return _flattened(found, node, first)
    found.freeze([found.after.get(each.name) for each in node.all_input_nodes])
    return None


def _layer(found: Map, module: fx.GraphModule, node: fx.Node, name: str, first: Any) -> Any:
    weight = _weight(module, node.args[1])
    if weight is None:
        found.freeze([found.after.get(each.name) for each in node.all_input_nodes])
        return None
    key, shape = weight
    bias = _weight(module, node.args[2]) if len(node.args) > 2 and node.args[2] is not None else None
    groups = 1 if name == "linear" else int(_argument(node, 6, 1))
    flat = name != "linear" or _rank(node.args[0]) == 2
    out_axis, in_axis = (1, 0) if name == "conv_transpose2d" else (0, 1)
    if groups > 1 and isinstance(first, np.ndarray) and groups == len(first) == shape[0] and name != "conv_transpose2d":
        made = first  # each channel has a kernel of its own
    elif groups > 1 or not flat:
        found.freeze(first)
        return None
    else:
        if isinstance(first, np.ndarray):
            found.tie(key, in_axis, first)
        made = found.new(shape[out_axis], node.name)
    found.tie(key, out_axis, made, "filter")
    if bias is not None:
        found.tie(bias[0], 0, made)
    return made


def _normalised(found: Map, node: fx.Node, first: Any) -> Any:
    if isinstance(first, np.ndarray):
        for place, argument in enumerate(node.args[1:5]):
            if argument is not None:
                found.tie(str(argument.target), 0, first, "" if place else "scale")
    return first


def _together(found: Map, node: fx.Node, inputs: Sequence[Any]) -> Any:
    """Two tensors, place by place; a number, or one that is the same for all channels, changes nothing."""
    known = [one for one in inputs if isinstance(one, np.ndarray)]
    if len(known) == 2 and len(known[0]) == len(known[1]):
        found.join(*known)
        return known[0]
    others = [argument for argument in node.args[:2] if hasattr(argument, "name")]
    if len(known) == 1 and all(_is_for_all(argument) for argument in others if found.after.get(argument.name) is None):
        return known[0]
    found.freeze(known)
    return None


def _side_by_side(found: Map, node: fx.Node) -> Any:
    parts: list[Any] = [found.after.get(each.name) for each in node.args[0]]
    if _axis(node, 1) == 1 and all(isinstance(part, np.ndarray) for part in parts):
        return np.concatenate(parts)
    found.freeze(parts)
    return None


def _split(node: fx.Node, first: Channels) -> list[Channels]:
    sizes = [value.shape[1] for value in node.meta["val"]]
    return np.split(first, np.cumsum(sizes)[:-1].tolist())


def _flattened(found: Map, node: fx.Node, first: Channels) -> Any:
    """Into rows for a linear layer: a channel takes as many places as it has pixels."""
    start = int(_argument(node, 1, 0))
    value = node.args[0].meta["val"]
    if start >= 2:
        return first
    if start == 1 and all(isinstance(size, int) for size in value.shape[1:]):
        return np.repeat(first, math.prod(value.shape[2:]))
    found.freeze(first)
    return None


def without(module: fx.GraphModule, found: Map, gone: set[int]) -> None:
    """Take channels out of a network, in place: from the weights, and from the sizes that its graph names."""
    import torch

    def keeps(channels: Channels) -> torch.Tensor:
        return torch.tensor([found.root(channel) not in gone for channel in channels.tolist()])

    for tie in found.ties.values():
        keep = keeps(tie.channels)
        if bool(keep.all()):
            continue
        owner, leaf = _owner(module, tie.weight)
        before = getattr(owner, leaf)
        after = before.detach().index_select(tie.axis, keep.nonzero().flatten()).clone()
        if isinstance(before, torch.nn.Parameter):
            setattr(owner, leaf, torch.nn.Parameter(after, requires_grad=before.requires_grad))
        else:
            owner.register_buffer(leaf, after)
    for node in list(module.graph.nodes):
        if node.op != "call_function":
            continue
        name, made = _operator(node), found.after.get(node.name)
        if name in _SPLITTING and isinstance(made, list):
            node.target = torch.ops.aten.split_with_sizes.default
            node.args = (node.args[0], [int(keeps(part).sum()) for part in made], 1)
            node.kwargs = {}
        elif name == "conv2d" and int(_argument(node, 6, 1)) > 1 and isinstance(made, np.ndarray):
            args = list(node.args)
            args[6] = int(keeps(made).sum())
            node.args = tuple(args)
    module.graph.lint()
    module.recompile()


def _operator(node: fx.Node) -> str:
    if node.target is operator.getitem:
        return "getitem"
    return str(getattr(node.target, "_opname", "") or str(node.target)).removeprefix("aten.").partition(".")[0]


def _argument(node: fx.Node, place: int, default: Any) -> Any:
    return node.args[place] if len(node.args) > place else default


def _axis(node: fx.Node, place: int) -> int:
    axis = int(node.kwargs.get("dim", _argument(node, place, 0)))
    value = node.meta["val"]
    value = value[0] if isinstance(value, list | tuple) else value
    return axis % int(value.ndim)


def _spares_channels(node: fx.Node) -> bool:
    axes = node.args[1] if len(node.args) > 1 else ()
    rank = _rank(node.args[0])
    return bool(axes) and all(axis % rank > 1 for axis in axes)


def _is_for_all(argument: Any) -> bool:
    value = argument.meta.get("val")
    shape: tuple[Any, ...] = tuple(getattr(value, "shape", ()))
    return len(shape) < 2 or shape[1] == 1


def _rank(argument: Any) -> int:
    return int(argument.meta["val"].ndim)


def _weight(module: fx.GraphModule, argument: Any) -> tuple[str, tuple[int, ...]] | None:
    if getattr(argument, "op", "") != "get_attr":
        return None
    owner, leaf = _owner(module, str(argument.target))
    return str(argument.target), tuple(getattr(owner, leaf).shape)


def _owner(module: torch.nn.Module, name: str) -> tuple[torch.nn.Module, str]:
    path, _, leaf = name.rpartition(".")
    return (module.get_submodule(path) if path else module), leaf
