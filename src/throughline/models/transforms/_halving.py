"""The rewriting itself: float32 tensors become float16, with one cast wherever the two meet.

A tensor keeps its name in the precision of the node that makes it. Who wants it in the other precision shares one
cast of it. Weights are kept in the precision of their readers, in both only where both read them.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from throughline.contracts.artifacts import Array
from throughline.models.transforms import _graph as graph
from throughline.models.transforms._running import FLOAT

HALF: Final = 10
NO_HALF: Final = frozenset(
    (
        "ArrayFeatureExtractor", "Binarizer", "CastMap", "CategoryMapper", "DictVectorizer", "FeatureVectorizer",
        "Imputer", "LabelEncoder", "LinearClassifier", "LinearRegressor", "Normalizer", "OneHotEncoder", "Scaler",
        "SVMClassifier", "SVMRegressor", "TreeEnsembleClassifier", "TreeEnsembleRegressor", "TreeEnsemble", "ZipMap",
        "NonMaxSuppression", "TopK", "RoiAlign", "Range", "CumSum", "Upsample", "GridSample", "EyeLike", "Bernoulli",
        "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "OneHot",
        "QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "Optional", "SequenceConstruct", "SequenceAt",
        "SequenceEmpty", "SequenceInsert", "SplitToSequence", "ConcatFromSequence", "MelWeightMatrix", "DFT",
    )
)  # fmt: skip
"""Operators that have no half form, or that a runtime computes in float32 alone."""
_ALWAYS_FLOAT: Final = {"Resize": (1, 2), "GroupNormalization": ()}


def halve(model: Any, islands: set[str], *, keep_io: bool) -> tuple[Any, int, tuple[str, ...]]:
    """Rewrite the outer graph; what lies inside nodes stays as it is.

    Args:
        model: the float32 graph, its constants initializers, its shapes inferred. It is changed.
        islands: names of the nodes that stay float32.
        keep_io: inputs and outputs stay float32.

    Returns:
        the graph, how many nodes compute in halves, and the operators that have no half form.
    """
    rewriting = _Rewriting(model, islands, keep_io)
    return rewriting.run()


class _Rewriting:
    def __init__(self, model: Any, islands: set[str], keep_io: bool) -> None:
        self.model, self.islands, self.keep_io = model, islands, keep_io
        values = (*model.graph.value_info, *model.graph.input, *model.graph.output)
        self.floats = {value.name for value in values if value.type.tensor_type.elem_type == FLOAT}
        self.weights: dict[str, Any] = {}
        for tensor in model.graph.initializer:
            if tensor.data_type == FLOAT:
                self.weights[tensor.name] = tensor
                self.floats.discard(tensor.name)
        self.outputs = {value.name for value in model.graph.output}
        self.is_half: dict[str, bool] = {}
        self.casts: dict[tuple[str, bool], str] = {}
        self.nodes: list[Any] = []
        self.added: dict[str, Any] = {}
        self.halved = 0
        self.blocked: set[str] = set()

    def run(self) -> tuple[Any, int, tuple[str, ...]]:
        for value in graph.inputs(self.model):
            if value.name in self.floats:
                self.is_half[value.name] = not self.keep_io
                if not self.keep_io:
                    value.type.tensor_type.elem_type = HALF
        for node in self.model.graph.node:
            self._take(node)
        self._finish()
        return self.model, self.halved, tuple(sorted(self.blocked))

    def _take(self, node: Any) -> None:
        touches = any(name in self.floats or name in self.weights for name in (*node.input, *node.output))
        in_half = touches and self._may_be_half(node)
        if graph.has_inner_graphs(node):
            self._wide_inside(node)
        always = _ALWAYS_FLOAT.get(node.op_type, ()) if node.domain in graph.STANDARD else ()
        for index, name in enumerate(node.input):
            if name:
                node.input[index] = self._as(name, in_half and index not in always)
        self.nodes.append(node)
        if node.op_type == "Cast" and in_half:
            for entry in node.attribute:
                if entry.name == "to" and entry.i == FLOAT:
                    entry.i = HALF
        if in_half and node.op_type == "ConstantOfShape":
            _half_fill(node)
        for index, name in enumerate(node.output):
            if name in self.floats:
                self._made(node, index, name, in_half)
        self.halved += in_half

    def _may_be_half(self, node: Any) -> bool:
        if node.name in self.islands or graph.has_inner_graphs(node):
            return False
        if node.domain not in graph.STANDARD or node.op_type in NO_HALF:
            self.blocked.add(node.op_type)
            return False
        # numbers that were counted may be larger than a half holds
        return not (node.op_type == "Cast" and node.input[0] not in self.floats)

    def _made(self, node: Any, index: int, name: str, in_half: bool) -> None:
        if in_half and self.keep_io and name in self.outputs:
            inside = f"{name}_half"
            node.output[index] = inside
            self.nodes.append(_cast(inside, name, to=FLOAT))
            self.is_half[name] = False
            self.casts[name, True] = inside
        else:
            self.is_half[name] = in_half

    def _as(self, name: str, half: bool) -> str:
        """The name under which a tensor can be read in this precision."""
        if name in self.weights:
            return self._weight(name) if half else name
        if name not in self.floats or self.is_half.get(name, False) == half:
            return name
        if (made := self.casts.get((name, half))) is None:
            made = f"{name}_{'half' if half else 'float'}"
            self.casts[name, half] = made
            self.nodes.append(_cast(name, made, to=HALF if half else FLOAT))
        return made

    def _weight(self, name: str) -> str:
        from onnx import numpy_helper

        made = f"{name}_half"
        if made not in self.added:
            value = to_half(numpy_helper.to_array(self.weights[name]))
            self.added[made] = numpy_helper.from_array(value, made)
        return made

    def _wide_inside(self, node: Any) -> None:
        """Give the graphs inside a node the outer tensors in float32."""
        for entry in node.attribute:
            for inner in ([entry.g] if entry.HasField("g") else []) + list(entry.graphs):
                own = {value.name for value in inner.input} | {tensor.name for tensor in inner.initializer}
                own |= {name for one in inner.node for name in one.output}
                for one in inner.node:
                    self._wide_inside(one)
                    for index, name in enumerate(one.input):
                        if name and name not in own:
                            one.input[index] = self._as(name, False)
                renamed = {value.name: self._as(value.name, False) for value in inner.output if value.name not in own}
                for value in inner.output:
                    value.name = renamed.get(value.name, value.name)

    def _finish(self) -> None:
        model = self.model
        for value in model.graph.output:
            if value.name in self.floats and self.is_half.get(value.name):
                value.type.tensor_type.elem_type = HALF
        del model.graph.node[:]
        model.graph.node.extend(self.nodes)
        model.graph.initializer.extend(self.added.values())
        graph.drop_unused_weights(model)
        graph.forget_shapes(model)
        graph.name_nodes(model.graph.node)


def to_half(value: Array) -> Array:
    """The nearest halves; beyond their range the largest, never infinity."""
    finite = np.isfinite(value)
    return np.where(finite, np.clip(value, -65504, 65504), value).astype(np.float16)


def _cast(name: str, made: str, *, to: int) -> Any:
    from onnx import helper

    return helper.make_node("Cast", [name], [made], name=f"{made}_cast", to=to)


def _half_fill(node: Any) -> None:
    from onnx import helper, numpy_helper

    value = graph.attribute(node, "value")
    array = np.zeros(1, np.float32) if value is None else numpy_helper.to_array(value)
    del node.attribute[:]
    node.attribute.append(helper.make_attribute("value", numpy_helper.from_array(to_half(array))))
