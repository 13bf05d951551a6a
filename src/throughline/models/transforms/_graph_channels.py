"""The channels of an ONNX graph, followed from layer to layer, and the graph without some of them.

Every operator that is known here says what it does with channels: makes them, scales them, adds them up, puts them
side by side. Whatever is not known keeps the channels that go into it, so that a graph is cut only where every shape
that follows from the cut is known.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any, Final, final

import numpy as np

from throughline.contracts.artifacts import Array
from throughline.models.transforms import _graph as graph
from throughline.models.transforms._channels import Channels, Map

_AS_IT_IS: Final = frozenset({
    "Relu", "LeakyRelu", "Sigmoid", "Tanh", "Clip", "HardSigmoid", "HardSwish", "Elu", "Selu", "Softplus", "Softsign",
    "Mish", "Gelu", "Erf", "Exp", "Log", "Sqrt", "Abs", "Neg", "Identity", "Cast", "MaxPool", "AveragePool",
    "GlobalAveragePool", "GlobalMaxPool",
})  # fmt: skip
_TOGETHER: Final = frozenset({"Add", "Sub", "Mul", "Div", "Max", "Min", "Sum", "Pow"})
_REDUCING: Final = frozenset({"ReduceMean", "ReduceMax", "ReduceMin", "ReduceSum", "ReduceL1", "ReduceL2", "Squeeze"})
_AXES: Final = {"Conv": (0, 1), "ConvTranspose": (1, 0), "MatMul": (1, 0), "Gemm": (1, 0)}
"""Which axis of the weight counts the channels that a layer makes, and which those that it reads."""


def follow(model: Any) -> Map:
    """Every channel of a graph whose constants are initializers and whose shapes are inferred."""
    return _Follower(model).found


def unshared(model: Any) -> None:
    """Give every reader of a bias or a scale its own: exporters keep equal ones once."""
    import onnx

    small = {tensor.name: tensor for tensor in model.graph.initializer if len(tensor.dims) == 1}
    seen: set[str] = set()
    for node in model.graph.node:
        for place, name in enumerate(node.input):
            if name in small and name in seen:
                copy = onnx.TensorProto()
                copy.CopyFrom(small[name])
                copy.name = node.input[place] = f"{node.name}_{place}_{name}"
                model.graph.initializer.append(copy)
            seen.add(name)


def without(model: Any, found: Map, gone: set[int]) -> None:
    """Take channels out of a graph, in place: from the weights, and from the sizes that its nodes name."""
    from onnx import helper, numpy_helper

    cut = {tensor.name: tensor for tensor in model.graph.initializer}
    for (name, axis), places in found.going(gone).items():
        values = np.delete(numpy_helper.to_array(cut[name]), places, axis)
        cut[name].CopyFrom(numpy_helper.from_array(values, name))
    for node in model.graph.node:
        made = [found.after[name] for name in node.output if name in found.after]
        kept = [sum(found.root(one) not in gone for one in part.tolist()) for part in made]
        if node.op_type == "Split" and kept != [len(part) for part in made]:
            _drop(node, "split", "num_outputs")
            if graph.opset(model) < 13:
                node.attribute.append(helper.make_attribute("split", kept))
            else:
                model.graph.initializer.append(numpy_helper.from_array(np.array(kept, np.int64), f"{node.name}_sizes"))
                node.input[:] = [node.input[0], f"{node.name}_sizes"]
        elif node.op_type == "Conv" and graph.attribute(node, "group", 1) > 1 and kept:
            _drop(node, "group")
            node.attribute.append(helper.make_attribute("group", kept[0]))
    graph.forget_shapes(model)
    graph.drop_unused_weights(model)


@final
class _Follower:
    """One walk through the nodes, in order."""

    def __init__(self, model: Any) -> None:
        from throughline.models.loading.onnx_graph import graphs

        values = (*model.graph.input, *model.graph.value_info, *model.graph.output)
        self.found = Map()
        self._weights = graph.constants(model)
        self._shapes: Mapping[str, tuple[int | str, ...]] = {value.name: graph.axes(value) for value in values}
        for node in model.graph.node:
            self._step(node)
        everywhere = list(graphs(model))
        inside = [name for inner in everywhere[1:] for node in inner.node for name in node.input]
        inside += [value.name for inner in everywhere for value in inner.output]
        self.found.freeze([self.found.after.get(name) for name in inside])
        readers = Counter(name for inner in everywhere for node in inner.node for name in node.input)
        readers.update(value.name for value in model.graph.input)
        for tie in list(self.found.ties.values()):
            if readers[tie.weight] > 1:  # whoever else reads it would be cut, too
                self.found.freeze(tie.channels)

    def _step(self, node: Any) -> None:
        made: Sequence[Channels | None] | None = None
        first = self._channels(node.input[0]) if node.input else None
        if node.domain in graph.STANDARD:
            if node.op_type in _AXES:
                made = self._layer(node, first)
            elif first is not None and (known := self._known().get(node.op_type)) is not None:
                made = known(node, first)
            elif node.op_type in _TOGETHER:
                made = self._together(node)
            elif node.op_type == "Concat":
                made = self._side_by_side(node)
        if made is None:
            self.found.freeze([self._channels(name) for name in node.input])
            return
        self.found.after.update({name: part for name, part in zip(node.output, made, strict=False) if part is not None})

    def _known(self) -> dict[str, Callable[[Any, Channels], Sequence[Channels | None] | None]]:
        """What is asked of the one tensor that goes in; None where its channels cannot go."""
        as_it_is = dict.fromkeys(_AS_IT_IS, lambda node, first: [first] if len(node.output) == 1 else None)
        reducing = dict.fromkeys(_REDUCING, self._reduced)
        return {
            **as_it_is, **reducing, "BatchNormalization": self._normalised, "Split": self._split, "Pad": self._padded,
            "Resize": self._resized, "Flatten": self._flattened, "Reshape": self._flattened, "Transpose": self._turned,
        }  # fmt: skip

    def _layer(self, node: Any, first: Channels | None) -> list[Channels] | None:
        weight, groups = self._weights.get(node.input[1]), graph.attribute(node, "group", 1)
        out_axis, in_axis = _AXES[node.op_type]
        if graph.attribute(node, "transB", 0):
            out_axis, in_axis = in_axis, out_axis
        flat = node.op_type in ("MatMul", "Gemm")
        if weight is None or graph.attribute(node, "transA", 0) or (flat and {weight.ndim, self._rank(node)} != {2}):
            return None
        own = node.op_type == "Conv" and first is not None and groups == len(first) == weight.shape[0]
        if groups > 1 and not own:
            return None
        if groups > 1 and first is not None:
            made = first  # each channel has a kernel of its own
        else:
            if first is not None and len(first) != weight.shape[in_axis]:
                return None
            made = self.found.new(weight.shape[out_axis], node.name)
            if first is not None:
                self.found.tie(node.input[1], in_axis, first)
        self.found.tie(node.input[1], out_axis, made, "filter")
        for name in filter(None, node.input[2:]):
            if self._size(name, -1) == len(made) and name in self._weights:
                self.found.tie(name, self._weights[name].ndim - 1, made)
            else:
                self.found.freeze(made)
        return [made]

    def _normalised(self, node: Any, first: Channels) -> list[Channels] | None:
        if graph.attribute(node, "training_mode", 0) or any(name not in self._weights for name in node.input[1:5]):
            return None
        for name in node.input[1:5]:
            self.found.tie(name, 0, first, "scale" if name == node.input[1] else "")
        return [first]

    def _together(self, node: Any) -> list[Channels] | None:
        """Tensors, place by place; what is the same for all channels changes nothing."""
        rank, known = max(2, len(self._shape(node.output[0]) or ())), list[Channels]()
        scales: list[tuple[str, int]] = []
        for name in node.input:
            made, shape = self._channels(name), self._shape(name)
            if shape is None or len(shape) > rank or (made is not None and len(shape) != rank):
                return None
            place = len(shape) - rank + 1  # where its channels are, when it is broadcast
            if made is not None:
                known.append(made)
            elif place >= 0 and shape[place] != 1:
                scales.append((name, place))
        if not known or len({len(one) for one in known}) > 1:
            return None
        if any(name not in self._weights or self._size(name, place) != len(known[0]) for name, place in scales):
            return None
        for name, place in scales:
            self.found.tie(name, place, known[0])
        for other in known[1:]:
            self.found.join(known[0], other)
        return [known[0]]

    def _side_by_side(self, node: Any) -> list[Channels] | None:
        parts = [self._channels(name) for name in node.input]
        axis, rank = graph.attribute(node, "axis", 0), self._rank(node)
        if not rank or axis % rank != 1 or any(part is None for part in parts):
            return None
        return [np.concatenate([part for part in parts if part is not None])]

    def _split(self, node: Any, first: Channels) -> list[Channels] | None:
        axis, rank = graph.attribute(node, "axis", 0), self._rank(node)
        sizes = [self._size(name, 1) for name in node.output]
        if not rank or axis % rank != 1 or not all(isinstance(size, int) for size in sizes) or sum(sizes) != len(first):
            return None
        return list(np.split(first, np.cumsum(sizes)[:-1].tolist()))

    def _resized(self, node: Any, first: Channels) -> list[Channels] | None:
        scales = self._weights.get(node.input[2]) if len(node.input) == 3 else None
        plain = graph.attribute(node, "axes") is None and scales is not None and scales.size == self._rank(node)
        return [first] if plain and scales is not None and scales[1] == 1 else None

    def _padded(self, node: Any, first: Channels) -> list[Channels] | None:
        pads = self._weights.get(node.input[1]) if len(node.input) in (2, 3) else None
        if pads is None or pads.size != 2 * self._rank(node) or pads[1] or pads[pads.size // 2 + 1]:
            return None
        return [first]

    def _reduced(self, node: Any, first: Channels) -> list[Channels] | None:
        axes = graph.attribute(node, "axes")
        if axes is None and len(node.input) > 1:
            axes = self._weights.get(node.input[1])
        rank = self._rank(node)
        places = [] if axes is None or not rank else [axis % rank for axis in axes]
        return [first] if places and min(places) > 1 else None

    def _turned(self, node: Any, first: Channels) -> list[Channels] | None:
        return [first] if list(graph.attribute(node, "perm", ()))[:2] == [0, 1] else None

    def _flattened(self, node: Any, first: Channels) -> list[Channels] | None:
        """Into rows for a matrix product: a channel takes as many places as it has pixels."""
        shape = self._shape(node.input[0]) or ()
        if node.op_type == "Reshape":
            wanted = self._weights.get(node.input[1])
            rows = wanted is not None and wanted.size == 2 and wanted[1] == -1
        else:
            rows = graph.attribute(node, "axis", 1) == 1
        pixels = prod(size for size in shape[2:] if isinstance(size, int))
        rows = rows and self._size(node.output[0], 1) == len(first) * pixels
        return [np.repeat(first, pixels)] if rows and all(isinstance(size, int) for size in shape[2:]) else None

    def _channels(self, name: str) -> Channels | None:
        made: Channels | None = self.found.after.get(name)
        return made

    def _shape(self, name: str) -> tuple[int | str, ...] | None:
        values: Array | None = self._weights.get(name)
        return self._shapes.get(name) if values is None else values.shape

    def _rank(self, node: Any) -> int:
        return len(self._shape(node.input[0]) or ())

    def _size(self, name: str, axis: int) -> Any:
        shape = self._shape(name)
        return shape[axis] if shape else None


def _drop(node: Any, *names: str) -> None:
    kept = [entry for entry in node.attribute if entry.name not in names]
    del node.attribute[:]
    node.attribute.extend(kept)
