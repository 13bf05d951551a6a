"""The channels of a PyTorch network that ``torch.export`` wrote down, and the network without some of them.

What the graph does with channels otherwise than is known here (a reshape, a matrix product) is not followed, and the
channels that go into it stay.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from throughline.models.transforms._channels import Channels, Map

if TYPE_CHECKING:
    import torch
    from torch import fx

_AS_IT_IS: Final = frozenset({
    "relu", "relu_", "silu", "silu_", "sigmoid", "sigmoid_", "tanh", "tanh_", "gelu", "hardswish", "hardswish_",
    "hardsigmoid", "hardsigmoid_", "leaky_relu", "leaky_relu_", "relu6", "relu6_", "hardtanh", "hardtanh_", "elu",
    "elu_", "mish", "mish_", "softplus", "clamp", "clone", "contiguous", "dropout", "dropout_", "detach", "neg", "abs",
    "exp", "sqrt", "max_pool2d", "avg_pool2d", "adaptive_avg_pool2d", "adaptive_max_pool2d", "upsample_nearest2d",
    "upsample_bilinear2d", "upsample_bicubic2d", "constant_pad_nd", "pad", "_to_copy", "to", "alias", "feature_dropout",
})  # fmt: skip
_ELEMENTWISE: Final = frozenset({"add", "add_", "sub", "sub_", "mul", "mul_", "div", "div_", "maximum", "minimum"})
_SPLITTING: Final = frozenset({"chunk", "split", "split_with_sizes"})


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

    def kept(channels: Channels) -> int:
        return sum(found.root(channel) not in gone for channel in channels.tolist())

    for (weight, axis), places in found.going(gone).items():
        owner, leaf = owner_of(module, weight)
        before = getattr(owner, leaf)
        stay = np.delete(np.arange(before.shape[axis]), places)
        after = before.detach().index_select(axis, torch.from_numpy(stay)).clone()
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
            node.args = (node.args[0], [kept(part) for part in made], 1)
            node.kwargs = {}
        elif name == "conv2d" and int(_argument(node, 6, 1)) > 1 and isinstance(made, np.ndarray):
            args = list(node.args)
            args[6] = kept(made)
            node.args = tuple(args)
    module.graph.lint()
    module.recompile()


def owner_of(module: torch.nn.Module, name: str) -> tuple[torch.nn.Module, str]:
    """Which part of a network has the weight of this name, and what the part calls it."""
    path, _, leaf = name.rpartition(".")
    return (module.get_submodule(path) if path else module), leaf


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
    owner, leaf = owner_of(module, str(argument.target))
    return str(argument.target), tuple(getattr(owner, leaf).shape)
