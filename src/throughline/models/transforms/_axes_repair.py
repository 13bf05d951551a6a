"""Take baked sizes out of a graph: a Reshape to constants, a Resize to constants.

What is changed says the same thing at the old size. Whether it says the right thing at others is for the proof.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from throughline.contracts.artifacts import Array
from throughline.models.transforms import _graph as graph


def without_baked_sizes(model: Any, *, batch: bool) -> list[str]:
    """Mend what can be seen without running: the old batch in a Reshape, sizes in a Resize. What was mended."""
    shapes = _shapes(model)
    known = graph.constants(model)
    done = []
    for node in model.graph.node:
        if batch and (target := reshape_target(node, known)) is not None:
            before = shapes.get(node.input[0], ())
            first = before[0] if before else None
            if isinstance(first, int) and first > 0 and len(target) and target[0] == first:
                _retarget(model, node, [0, *target[1:]])
                done.append(f"'{node.name}' keeps its batch instead of {first}")
        elif node.op_type == "Resize" and len(node.input) > 3 and node.input[3] in known:
            line = _scaled(model, node, shapes.get(node.input[0], ()), known[node.input[3]])
            done += [line] if line else []
    return done


def mend(model: Any, name: str, original: Any, tried: dict[str, int], *, spoils_batch: bool) -> str | None:
    """Try the next way to free the node of this name from its constant sizes; None where there is none left."""
    node = next((node for node in model.graph.node if node.name == name), None)
    target = None if node is None else reshape_target(node, graph.constants(model))
    if node is None or target is None:
        return None
    ways = _ways(target, _shapes(original).get(node.input[0], ()), spoils_batch=spoils_batch)
    number = tried.get(name, 0)
    if number >= len(ways):
        return None
    tried[name] = number + 1
    _retarget(model, node, ways[number])
    return f"'{name}' reshapes to {ways[number]} instead of {target}"


def reshape_target(node: Any, known: dict[str, Array]) -> list[int] | None:
    """The constant shape that a Reshape asks for; None where it is worked out in the graph."""
    if node.op_type != "Reshape" or len(node.input) < 2 or node.input[1] not in known:
        return None
    target = [int(size) for size in known[node.input[1]].ravel()]
    return None if 0 in target and graph.attribute(node, "allowzero", 0) else target


def _ways(target: Sequence[int], before: Sequence[int | str], *, spoils_batch: bool) -> list[list[int]]:
    """Other targets that mean the same at the old size, the likelier first: sides flattened, then the largest."""
    sides = [size for size in before[2:] if isinstance(size, int)]
    likely = {int(np.prod(sides)), *sides[-1:]}
    ways = []
    if spoils_batch and -1 in target and target[0] > 0:
        ways.append([0, *target[1:]])
    if -1 not in target:
        for axis in sorted(range(len(target)), key=lambda axis: (target[axis] not in likely, -target[axis], axis)):
            if target[axis] > 0:
                ways.append([-1 if one == axis else size for one, size in enumerate(target)])
        if target and target[0] > 0:
            ways.insert(0 if spoils_batch else len(ways), [-1, *target[1:]])
    return ways


def _retarget(model: Any, node: Any, target: Sequence[int]) -> None:
    from onnx import numpy_helper

    name = f"{node.name}_target"
    kept = [tensor for tensor in model.graph.initializer if tensor.name != name]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    model.graph.initializer.append(numpy_helper.from_array(np.array(target, np.int64), name))
    node.input[1] = name
    kept_attributes = [
        entry for entry in node.attribute if entry.name != "allowzero"
    ]  # a 0 is "as it was" from here on
    del node.attribute[:]
    node.attribute.extend(kept_attributes)


def _scaled(model: Any, node: Any, before: Sequence[int | str], sizes: Array) -> str | None:
    """A Resize to constant sizes as one by factors, where these come out even."""
    from onnx import numpy_helper

    if len(before) != len(sizes) or not all(isinstance(size, int) and size > 0 for size in before):
        return None
    if graph.attribute(node, "axes") or graph.attribute(node, "keep_aspect_ratio_policy", b"stretch") != b"stretch":
        return None
    factors = np.array([new / old for new, old in zip(sizes.tolist(), before, strict=True)], np.float32)
    if not all(float(factor * 64).is_integer() for factor in factors):
        return None
    name = f"{node.name}_factors"
    model.graph.initializer.append(numpy_helper.from_array(factors, name))
    takes = list(node.input)
    del node.input[:]
    node.input.extend([takes[0], takes[1], name])
    return f"'{node.name}' grows by {factors.tolist()} instead of to {sizes.tolist()}"


def _shapes(model: Any) -> dict[str, tuple[int | str, ...]]:
    inferred = graph.inferred(model)
    values = (*inferred.graph.value_info, *inferred.graph.input, *inferred.graph.output)
    return {value.name: graph.axes(value) for value in values if value.type.tensor_type.HasField("shape")}
