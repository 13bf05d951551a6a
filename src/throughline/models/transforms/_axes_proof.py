"""Whether the axes of a graph are as open as it says: run at several sizes, pictures alone and together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import numpy as np

from throughline.contracts.artifacts import Array
from throughline.contracts.errors import InputError
from throughline.models.transforms import _graph as graph
from throughline.models.transforms._running import CannotRun, Opened, float_tensors, with_outputs

_CHUNK: Final = 24
_CLOSE: Final = 1e-3
Size: TypeAlias = tuple[int, int, int]
"""Batch, height and width; sides are 0 for a model that takes no pictures."""


@dataclass(frozen=True, slots=True)
class Problem:
    """What stands against a change: which axis, where it shows, and whether the graph ran all the same."""

    axis: str
    size: Size
    what: str
    node: str
    op: str
    silent: bool = False


@dataclass(slots=True)
class Trial:
    """At which sizes a graph is run, and what its outputs were there.

    Attributes:
        original: the graph as it was.
        base: a size that the original takes too, where there is one.
        sizes: what the new graph is run at.
        common: whether the original runs at the base's sides, too.
        shapes: each output's shape at each size, once it has run there.
        compared: whether there was anything to compare the answers with.
    """

    original: Any
    base: Size
    sizes: list[Size]
    common: bool
    shapes: dict[Size, dict[str, tuple[int, ...]]] = field(default_factory=dict)
    compared: bool = False

    @classmethod
    def of(cls, original: Any, model: Any, stride: int, imgsz: tuple[int, int] | None) -> Trial:
        """Choose the sizes: small where they are free, multiples of the stride."""
        before, after = _declared(original), _declared(model)
        sides = (4 * stride, 6 * stride)
        if any(isinstance(side, int) for side in before[1:]) and imgsz is not None:
            sides = imgsz
        fallback: Size = (1, *sides)
        own = [old if isinstance(old, int) else other for old, other in zip(before, fallback, strict=True)]
        batch, height, width = (new if isinstance(new, int) else old for new, old in zip(after, own, strict=True))
        base: Size = (batch, height, width)
        common = all(not isinstance(old, int) or old == size for old, size in zip(before[1:], base[1:], strict=True))
        batches = (batch,) if isinstance(after[0], int) else (1, 3)
        sizes: list[Size] = [(one, height, width) for one in batches]
        taller, wider = (0 if isinstance(side, int) else stride for side in after[1:])
        if taller or wider:
            sizes.append((batches[0], height + 2 * taller, width + wider))
        return cls(original, base, sizes, common)

    def said(self) -> list[str]:
        """The sizes, for people."""
        return ["x".join(str(side) for side in size if side) for size in self.sizes]

    def declare_outputs(self, model: Any, like: Any) -> None:
        """Write on each output the shape that was seen: numbers where it never changed, names where it did."""
        old = {value.name: graph.axes(value) for value in like.graph.output}
        for value in model.graph.output:
            seen = [self.shapes[size][value.name] for size in self.sizes]
            shape = value.type.tensor_type.shape
            shape.ClearField("dim")
            for axis, found in enumerate(zip(*seen, strict=True)):
                dimension = shape.dim.add()
                if len(set(found)) == 1 and not self._follows_batch(found):
                    dimension.dim_value = found[0]
                elif self._follows_batch(found):
                    name = _declared(model)[0]
                    if isinstance(name, int):
                        dimension.dim_value = name
                    else:
                        dimension.dim_param = name
                else:
                    known = old[value.name][axis] if axis < len(old[value.name]) else ""
                    dimension.dim_param = known if isinstance(known, str) and known else f"{value.name}_{axis}"

    def _follows_batch(self, found: Sequence[int]) -> bool:
        return len({size[0] for size in self.sizes}) > 1 and all(
            here == size[0] for here, size in zip(found, self.sizes, strict=True)
        )


def prove(model: Any, trial: Trial) -> Problem | None:
    """The first thing that stands against the new axes; None where there is nothing."""
    opened = Opened(model)
    original = Opened(trial.original) if trial.common else None
    fixed = _declared(trial.original)[0]
    for size in trial.sizes:
        other_sides = size[1:] != trial.base[1:]
        axis = "the size of pictures" if other_sides else "the batch"
        feeds = _feeds(model, size)
        try:
            together = opened.run(feeds)
        except CannotRun as stopped:
            if not trial.common and size[1:] == trial.base[1:]:
                axis = "the size of pictures"
            return Problem(axis, size, f"it does not run at {_said(size)}", stopped.node, stopped.op)
        trial.shapes[size] = {name: value.shape for name, value in together.items()}
        if original is not None and not other_sides:
            reference, single, times = trial.original, original, fixed
        elif size[0] > 1 and not isinstance(_declared(model)[0], int):
            reference, single, times = model, opened, 1
        else:
            continue  # there is nothing to compare it with
        alone = [_alone(single, feeds, row, times) for row in range(size[0])]
        trial.compared = True
        if not all(_belongs(value, [one[name] for one in alone]) for name, value in together.items()):
            node, op = _first_apart(model, reference, feeds, size[0], times)
            what = f"at {_said(size)} its answers are not those of each picture alone"
            return Problem(axis, size, what, node, op, True)
    return None


def _declared(model: Any) -> tuple[int | str, int | str, int | str]:
    """Batch, height and width as the inputs declare them; sides of 0 where there are no pictures."""
    values = graph.inputs(model)
    if not values or not graph.axes(values[0]):
        raise InputError("the model takes nothing that has a batch axis", "leave its axes as they are")
    batch = graph.axes(values[0])[0]
    picture = next((graph.axes(value) for value in values if len(graph.axes(value)) == 4), (0, 0, 0, 0))
    return batch, picture[2], picture[3]


def _said(size: Size) -> str:
    return f"batch {size[0]}" + (f" of {size[1]}x{size[2]}" if size[1] else "")


def _feeds(model: Any, size: Size) -> dict[str, Array]:
    """Pictures that differ from each other, the same ones each time."""
    dice = np.random.default_rng(3)
    from onnx import helper

    made: dict[str, Array] = {}
    first = graph.axes(graph.inputs(model)[0])[0]
    for value in graph.inputs(model):
        declared = graph.axes(value)
        shape = [side if isinstance(side, int) else 8 for side in declared]
        if declared and declared[0] == first:
            shape[0] = size[0]
        if len(shape) == 4:
            shape[2:] = size[1:]
        dtype = helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
        numbers = dice.random(shape, np.float32)
        made[value.name] = numbers.astype(dtype) if np.dtype(dtype).kind == "f" else np.full(shape, 32, dtype)
    return made


def _alone(opened: Opened, feeds: Mapping[str, Array], row: int, fixed: int | str) -> dict[str, Array]:
    """The answers for one picture; a model of a fixed batch is fed that picture over and over."""
    times = fixed if isinstance(fixed, int) else 1
    found = opened.run(_one(feeds, row, times))
    if times == 1:
        return found
    return {name: value[: len(value) // times] if _divides(value, times) else value for name, value in found.items()}


def _divides(value: Array, times: int) -> bool:
    return value.ndim > 0 and len(value) > 0 and len(value) % times == 0


def _one(feeds: Mapping[str, Array], row: int, times: int) -> dict[str, Array]:
    rows = max(len(value) for value in feeds.values())
    return {
        name: np.repeat(value[row : row + 1], times, 0) if len(value) == rows else value
        for name, value in feeds.items()
    }


def _belongs(together: Array, alone: Sequence[Array], *, anywhere: bool = False) -> bool:
    """Whether a batch's tensor is its pictures' tensors, one after the other; or one that does not depend on them."""
    shapes = {one.shape for one in alone}
    if len(shapes) != 1:
        return False
    shape = shapes.pop()
    if together.shape == shape:
        return all(_close(together, one) for one in alone)
    for axis in range(together.ndim if anywhere else min(together.ndim, 1)):
        expected = (*shape[:axis], sum(one.shape[axis] for one in alone), *shape[axis + 1 :])
        if together.ndim == len(shape) and together.shape == expected:
            if shape[axis] != 1 and not anywhere:
                return False  # rows of several pictures in one axis: nobody could tell whose they are
            if _close(together, np.concatenate(alone, axis)):
                return True
    return False


def _close(one: Array, other: Array) -> bool:
    if one.dtype.kind != "f":
        return bool(np.array_equal(one, other))
    largest = float(np.abs(other).max(initial=0.0))
    return bool(np.allclose(one, other, rtol=_CLOSE, atol=_CLOSE * max(largest, 1e-6), equal_nan=True))


def _first_apart(
    model: Any, reference: Any, feeds: Mapping[str, Array], count: int, fixed: int | str
) -> tuple[str, str]:
    """The first node that makes of a batch something else than of its pictures alone."""
    inferred = graph.inferred(model)
    there = {name for node in reference.graph.node for name in node.output}
    names = [name for name in float_tensors(inferred) if name in there]
    makers = {name: node for node in model.graph.node for name in node.output}
    for start in range(0, len(names), _CHUNK):
        part = names[start : start + _CHUNK]
        together = Opened(with_outputs(inferred, part)).run(feeds)
        single = Opened(with_outputs(reference, part))
        alone = [_alone(single, feeds, row, fixed) for row in range(count)]
        for name in part:
            if not _belongs(together[name], [one[name] for one in alone], anywhere=True):
                return makers[name].name, makers[name].op_type
    return "", ""
