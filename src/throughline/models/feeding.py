"""What a model is fed, held against what it expects: everything that is wrong, in one error.

Nothing is cast and nothing is reshaped on the way in: a ``uint8`` picture given to a
model that expects floats is a mistake about scaling, not a matter of types.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from throughline.contracts.artifacts import Array, Axis, TensorSpec
from throughline.contracts.errors import InputError
from throughline.models.backends import ANY_SHAPE, UNKNOWN, UNNAMED


def batch_axis(specs: Sequence[TensorSpec]) -> Axis | None:
    """The first axis of the first input that has any: a size where it is fixed; None without one."""
    return next((spec.shape[0] for spec in specs if spec.shape), None)


def batched(specs: Sequence[TensorSpec]) -> frozenset[str]:
    """The inputs whose first axis is the batch; the others go whole into every run."""
    axis = batch_axis(specs)
    loose = (UNNAMED, *ANY_SHAPE)
    return frozenset(
        spec.name for spec in specs if spec.shape and (spec.shape[0] == axis or axis in loose or spec.shape[0] in loose)
    )


def check(specs: Sequence[TensorSpec], feeds: Mapping[str, Array]) -> int | None:
    """The batch size of these feeds; None for a model without a batch. Raises on anything unexpected."""
    wrong = [f"'{name}' is not an input" for name in feeds if all(name != spec.name for spec in specs)]
    rows: dict[str, int] = {}
    carriers = batched(specs)
    for spec in specs:
        if spec.name not in feeds:
            wrong.append(f"'{spec.name}' is missing")
        elif (problem := _mismatch(spec, feeds[spec.name], spec.name in carriers)) is not None:
            wrong.append(f"'{spec.name}' {problem}")
        elif spec.name in carriers and feeds[spec.name].ndim:
            rows[spec.name] = len(feeds[spec.name])
    if not wrong and len(set(rows.values())) > 1:
        wrong.append("the inputs have different batches: " + ", ".join(f"'{name}' {n}" for name, n in rows.items()))
    if wrong:
        raise InputError("; ".join(wrong), f"the model takes {', '.join(map(str, specs)) or 'no inputs'}")
    return next(iter(rows.values()), None)


def zeros(specs: Sequence[TensorSpec]) -> dict[str, Array]:
    """Feeds of the right kind with nothing in them: one row, other dynamic axes at 32."""
    for spec in specs:
        if spec.dtype == UNKNOWN or spec.shape == ANY_SHAPE:
            raise InputError(
                f"nothing says what input '{spec.name}' looks like",
                "pass inputs=(TensorSpec(name, dtype, shape),) to open_model, or the feeds themselves",
            )
    return {spec.name: np.zeros(spec.concrete(), spec.dtype) for spec in specs}


def _mismatch(spec: TensorSpec, array: object, carries_batch: bool) -> str | None:
    if not isinstance(array, np.ndarray):
        return f"is a {type(array).__name__}; a numpy array is expected"
    expected, seen = str(spec).removeprefix(f"{spec.name} "), f"{array.dtype}[{', '.join(map(str, array.shape))}]"
    dtype_fits = spec.dtype == UNKNOWN or array.dtype == np.dtype(spec.dtype)
    if dtype_fits and (spec.shape == ANY_SHAPE or _fits(spec.shape, array.shape, carries_batch)):
        return None
    return f"is {seen}; {expected} is expected"


def _fits(expected: tuple[Axis, ...], seen: tuple[int, ...], carries_batch: bool) -> bool:
    return len(expected) == len(seen) and all(
        isinstance(want, str) or want == have or (axis == 0 and carries_batch)
        for axis, (want, have) in enumerate(zip(expected, seen, strict=True))
    )
