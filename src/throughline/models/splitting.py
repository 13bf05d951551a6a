"""Any batch through a model that takes only some: split, padded and put together again, never cut.

The limit is whichever is smallest: the batch fixed in the file, the largest the
engine was built for, the user's, or the largest that fitted into memory. Rows keep
their order, padding is taken off again, and an output that does not follow the batch
is never guessed at: splitting it is refused.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import final

import numpy as np

from throughline.contracts.artifacts import Array
from throughline.contracts.errors import InputError, Unavailable
from throughline.models.backends import OutOfMemory, Runner
from throughline.models.feeding import Batch, carrier


@dataclass(frozen=True, slots=True)
class _Part:
    """One run: how many rows the model was given, how many of them are wanted, and what it returned."""

    given: int
    wanted: int
    outputs: Mapping[str, Array]


@final
class Splitter:
    """Feeds a runner batches that it can take. Safe to use from several threads."""

    def __init__(self, runner: Runner, max_batch: int | None, count: Callable[[int], None]) -> None:
        lead = carrier(runner.inputs)
        self._runner = runner
        self._fixed = lead.shape[0] if lead and isinstance(lead.shape[0], int) else None
        self._declared = {spec.name: spec.shape[0] for spec in runner.outputs if spec.shape}
        self._count = count
        self._lock = threading.Lock()
        self._fitting: int | None = None
        if max_batch is not None and max_batch < (self._fixed or 1):
            raise InputError(
                f"max_batch={max_batch} is less than the model takes",
                f"the file fixes its batch at {self._fixed}" if self._fixed else "pass at least 1",
            )
        limits = [limit for limit in (runner.max_batch, max_batch) if limit is not None]
        self._ceiling = self._fixed or min(limits, default=None)

    @property
    def fitting(self) -> int | None:
        """The largest batch that fits into memory, once memory has run out; else None."""
        return self._fitting

    def run(self, feeds: Mapping[str, Array], batch: Batch) -> dict[str, Array]:
        """What the model returns for these feeds, whatever their batch."""
        if batch.rows is None:
            return self._without_batch(feeds)
        if batch.rows == 0:
            one = {name: _one_of_zeros(array) if name in batch.names else array for name, array in feeds.items()}
            return self._join([_Part(part.given, 0, part.outputs) for part in self._parts(one, batch, 1)])
        parts = self._parts(feeds, batch, batch.rows)
        return dict(parts[0].outputs) if parts[0].given == batch.rows else self._join(parts)

    def _without_batch(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        try:
            return self._runner.predict(feeds)
        except OutOfMemory as error:
            raise _full(str(error), "one run") from None

    def _parts(self, feeds: Mapping[str, Array], batch: Batch, rows: int) -> list[_Part]:
        parts: list[_Part] = []
        done = 0
        while done < rows:
            wanted = min(rows - done, self._limit() or rows)
            given = self._fixed or wanted
            chunk = feeds if given == rows else self._chunk(feeds, batch, done, wanted, given)
            try:
                outputs = self._runner.predict(chunk)
            except OutOfMemory as error:
                self._halve(given, str(error))
                continue
            self._count(given)
            parts.append(_Part(given, wanted, outputs))
            done += wanted
        return parts

    def _limit(self) -> int | None:
        limits = [limit for limit in (self._ceiling, self._fitting) if limit is not None]
        return min(limits, default=None)

    def _halve(self, given: int, problem: str) -> None:
        if given == 1 or self._fixed:
            raise _full(problem, f"a batch of {given}" + (", which the file fixes" if self._fixed else ""))
        with self._lock:
            self._fitting = min(given // 2, self._fitting or given)

    def _chunk(self, feeds: Mapping[str, Array], batch: Batch, start: int, wanted: int, given: int) -> dict[str, Array]:
        if batch.unlike is not None:
            raise InputError(
                f"these rows cannot be run in pieces: input '{batch.unlike}' has another number of them",
                f"feed batches of {self._fixed or self._limit()}",
            )
        chunk = dict(feeds)
        for name in batch.names:
            rows = feeds[name][start : start + wanted]
            if given > wanted:  # a copy of the last row, since a row of zeros is a division by zero to some models
                rows = np.concatenate([rows, np.repeat(rows[-1:], given - wanted, axis=0)])
            chunk[name] = rows
        return chunk

    def _join(self, parts: list[_Part]) -> dict[str, Array]:
        joined: dict[str, Array] = {}
        for name in parts[0].outputs:
            arrays = [part.outputs[name] for part in parts]
            given = [part.given for part in parts]
            if not self._follows_batch(name, arrays, given):
                shapes = ", ".join(str(list(array.shape)) for array in arrays[:3])
                raise InputError(
                    f"output '{name}' does not follow the batch (given {given[:3]} rows, it returned {shapes}), "
                    "so these rows cannot be run in pieces",
                    f"feed batches of {self._fixed}" if self._fixed else f"feed batches of 1 to {self._limit()}",
                )
            kept = [array[: part.wanted] for array, part in zip(arrays, parts, strict=True)]
            joined[name] = np.concatenate(kept) if len(kept) > 1 else kept[0]
        return joined

    def _follows_batch(self, name: str, arrays: list[Array], given: list[int]) -> bool:
        if not all(array.ndim and len(array) == rows for array, rows in zip(arrays, given, strict=True)):
            return False
        # a size that the file declares constant, and that never differed from it, may well be constant
        declared = self._declared.get(name)
        return bool(self._fixed) or not isinstance(declared, int) or any(rows != declared for rows in given)


def _one_of_zeros(array: Array) -> Array:
    return np.zeros((1, *array.shape[1:]), array.dtype)


def _full(problem: str, what: str) -> Unavailable:
    return Unavailable(
        f"memory is full: {what} does not fit ({problem})",
        "free memory, use smaller inputs or a smaller model, or export it with a smaller batch",
    )
