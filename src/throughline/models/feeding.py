"""What a model is fed, held against what it expects: everything that is wrong, in one error.

Nothing is cast and nothing is reshaped on the way in: a ``uint8`` picture given to a
model that expects floats is a mistake about scaling, not a matter of types.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from throughline.contracts.artifacts import Array, Axis, TensorSpec
from throughline.contracts.errors import InputError
from throughline.models.backends import ANY_SHAPE, UNKNOWN, UNNAMED

_NAMELESS = (UNNAMED, *ANY_SHAPE)


@dataclass(frozen=True, slots=True)
class Batch:
    """The batch that some feeds carry.

    Attributes:
        rows: how many; None for a model without a batch.
        names: the inputs that carry them; the others go whole into every run.
        unlike: an input of varying length that has another number of rows, so that no one can say how to split it.
    """

    rows: int | None
    names: frozenset[str]
    unlike: str | None = None


def carrier(specs: Sequence[TensorSpec]) -> TensorSpec | None:
    """The input whose first axis is the batch: the first where it varies, else the first that has axes at all."""
    with_axes = [spec for spec in specs if spec.shape]
    return next((spec for spec in with_axes if isinstance(spec.shape[0], str)), with_axes[0] if with_axes else None)


def check(specs: Sequence[TensorSpec], feeds: Mapping[str, Array]) -> Batch:
    """The batch of these feeds. Raises on anything that the model does not expect."""
    if not isinstance(feeds, Mapping):
        raise InputError(
            f"the feeds are a {type(feeds).__name__}; named arrays are expected",
            f"pass a dict: {{{', '.join(f'{spec.name!r}: array' for spec in specs)}}}",
        )
    lead = carrier(specs)
    axis = lead.shape[0] if lead else None
    certain = {spec.name for spec in specs if spec.shape and spec.shape[0] == axis and axis not in _NAMELESS}
    wrong = [f"'{name}' is not an input" for name in feeds if all(name != spec.name for spec in specs)]
    for spec in specs:
        if spec.name not in feeds:
            wrong.append(f"'{spec.name}' is missing")
        elif (problem := _mismatch(spec, feeds[spec.name], spec.name in certain)) is not None:
            wrong.append(f"'{spec.name}' {problem}")
    lengths = {} if wrong else {name: len(array) for name, array in feeds.items() if array.ndim}
    if len({lengths[name] for name in certain & lengths.keys()}) > 1:
        wrong.append("the inputs have different batches: " + ", ".join(f"'{name}' {lengths[name]}" for name in lengths))
    if wrong:
        raise InputError("; ".join(wrong), f"the model takes {', '.join(map(str, specs)) or 'no inputs'}")
    rows = lengths.get(lead.name) if lead else None
    varying = [
        spec.name
        for spec in specs
        if spec.name in lengths and (spec.shape[0] == axis or isinstance(spec.shape[0], str))
    ]
    names = frozenset(name for name in varying if lengths[name] == rows)
    return Batch(rows, names, next((name for name in varying if name not in names), None))


def zeros(specs: Sequence[TensorSpec]) -> dict[str, Array]:
    """Feeds of the right kind with nothing in them: one row, other dynamic axes at 32."""
    for spec in specs:
        if spec.dtype == UNKNOWN or spec.shape == ANY_SHAPE:
            raise InputError(
                f"nothing says what input '{spec.name}' looks like",
                "pass the feeds to warm up with",
            )
    return {spec.name: np.zeros(spec.concrete(), spec.dtype) for spec in specs}


def noise(specs: Sequence[TensorSpec], batch: int = 1, imgsz: tuple[int, int] | None = None) -> dict[str, Array]:
    """Seeded feeds to time a model with; sides of pictures that are open take this height and width."""
    made = {}
    for spec in specs:
        shape = list(spec.concrete(batch))
        if len(shape) == 4 and imgsz is not None:
            sides = zip(spec.shape[2:], imgsz, strict=True)
            shape[2:] = [own if isinstance(own, int) else side for own, side in sides]
        made[spec.name] = np.random.default_rng(0).random(shape).astype(spec.dtype)
    return made


def _mismatch(spec: TensorSpec, array: object, carries_batch: bool) -> str | None:
    if not isinstance(array, np.ndarray):
        return f"is a {type(array).__name__}; a numpy array is expected"
    dtype_fits = spec.dtype == UNKNOWN or array.dtype == np.dtype(spec.dtype)
    if dtype_fits and (spec.shape == ANY_SHAPE or _fits(spec.shape, array.shape, carries_batch)):
        return None
    expected, seen = str(spec).removeprefix(f"{spec.name} "), f"{array.dtype}[{', '.join(map(str, array.shape))}]"
    return f"is {seen}; {expected} is expected"


def _fits(expected: tuple[Axis, ...], seen: tuple[int, ...], carries_batch: bool) -> bool:
    return len(expected) == len(seen) and all(
        isinstance(want, str) or want == have or (axis == 0 and carries_batch)
        for axis, (want, have) in enumerate(zip(expected, seen, strict=True))
    )
