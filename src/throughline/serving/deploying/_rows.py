"""Rows of plain numbers in, rows of plain numbers out: what a BentoML service does with a batch that it has gathered.

BentoML puts the rows of several requests into one list. A row that the model cannot take is answered with its error,
alone; the rows beside it are answered as if it had never been there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias, final

import numpy as np

from throughline.contracts.artifacts import Array, TensorSpec
from throughline.contracts.errors import InputError, ThroughlineError
from throughline.models.session import open_model
from throughline.serving.deploying._measured import NUMBERS

Row: TypeAlias = Mapping[str, Any]


@final
class Rows:
    """A model behind a service."""

    def __init__(self, model: Path, threads: int | None = None) -> None:
        self._session = open_model(model, threads=threads)
        refuse_without_rows(model, self._session.inputs, self._session.outputs)

    def answer(self, rows: Sequence[Row]) -> list[dict[str, Any]]:
        """An answer for every row, in order: its outputs by name, or ``error``."""
        answers: list[dict[str, Any]] = [{} for _ in rows]
        alike: dict[tuple[tuple[int, ...], ...], list[tuple[int, dict[str, Array]]]] = {}
        for at, row in enumerate(rows):
            try:
                arrays = self._arrays(row)
                alike.setdefault(tuple(array.shape for array in arrays.values()), []).append((at, arrays))
            except InputError as error:
                answers[at] = {"error": str(error)}
        for group in alike.values():
            self._predict(group, answers)
        return answers

    def close(self) -> None:
        """Give back what the model holds."""
        self._session.close()

    def _arrays(self, row: Row) -> dict[str, Array]:
        takes = f"the model takes {', '.join(map(str, self._session.inputs))}, a row at a time"
        names = [spec.name for spec in self._session.inputs]
        if wrong := sorted({*names} ^ {*row}):
            raise InputError(f"the row has {sorted(row)}, and {wrong[0]!r} is too few or too many", takes)
        return {spec.name: _array(spec, row[spec.name], takes) for spec in self._session.inputs}

    def _predict(self, group: Sequence[tuple[int, dict[str, Array]]], answers: list[dict[str, Any]]) -> None:
        names = group[0][1]
        try:
            outputs = self._session.predict({name: np.stack([one[name] for _, one in group]) for name in names})
        except ThroughlineError as error:
            if len(group) > 1:  # one of them may be to blame
                for one in group:
                    self._predict([one], answers)
            else:
                answers[group[0][0]] = {"error": str(error)}
            return
        if len(group) > 1 and any(len(array) != len(group) for array in outputs.values()):
            for one in group:  # its answer is not a row for each: together they would be something else
                self._predict([one], answers)
            return
        for number, (at, _) in enumerate(group):
            answers[at] = {name: array[number].tolist() for name, array in outputs.items()}


def refuse_without_rows(model: Path, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> None:
    """An ``InputError`` where the first axis of a tensor is not rows, which a service could not take apart."""
    specs = (*inputs, *outputs)
    fixed = all(spec.shape and spec.shape[0] == 1 for spec in specs)
    for spec in specs:
        if spec.dtype not in NUMBERS or not (fixed or (spec.shape and isinstance(spec.shape[0], str))):
            raise InputError(
                f"{model}: {spec} is not rows of plain numbers, which requests to BentoML are made of",
                "export it with an open batch (export --dynamic), or deploy it --to docker",
            )


def _array(spec: TensorSpec, value: object, takes: str) -> Array:
    try:
        given = np.asarray(value)
        if given.dtype.kind not in "biuf":
            raise ValueError("it is not numbers alone")
        with np.errstate(all="ignore"):
            array = given.astype(spec.dtype)
        kind = array.dtype.kind
        if kind in "iub" and not np.array_equal(array, given):
            raise ValueError(f"not every number is a {spec.dtype}")
    except (ValueError, TypeError, OverflowError) as error:
        raise InputError(f"{spec.name!r}: {error}", takes) from None
    shape = spec.shape[1:]
    fits = len(shape) == array.ndim and all(
        isinstance(want, str) or want == have for want, have in zip(shape, array.shape, strict=True)
    )
    if not fits:
        raise InputError(f"{spec.name!r} has the shape {list(array.shape)}", takes)
    return array
