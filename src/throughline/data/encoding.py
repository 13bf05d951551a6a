"""From the named columns of a table to the rows of numbers that a model takes, the same way for ever.

A model's file knows that it takes nine numbers, and not which ones, nor that "red" was 2. That is written into its
passport as the step ``columns``, so whoever has the two can use it on any table with these columns, in any order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self, final

import numpy as np

from throughline.contracts.artifacts import Array, Step
from throughline.contracts.errors import InputError
from throughline.contracts.tables import Table

STEP: Final = "columns"
_LARGEST: Final = float(np.finfo(np.float32).max)


@final
@dataclass(frozen=True, slots=True)
class Columns:
    """What a model takes, in order.

    Attributes:
        names: the columns.
        texts: of each column of text, the texts that have a number, in the order of their numbers. Any other text
            is treated as a missing one.
    """

    names: tuple[str, ...]
    texts: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, table: Table, names: Sequence[str], rows: Array, most: int) -> Self:
        """What these columns hold, by some of the rows alone.

        Args:
            table: the table.
            names: its columns that a model is to take.
            rows: the rows that may be looked at: those that are learned from.
            most: how many texts of a column get a number; the most frequent do.
        """
        texts: dict[str, tuple[str, ...]] = {}
        for name in names:
            if table.columns[name].dtype == object:
                counted = Counter(value for value in table.columns[name][rows].tolist() if value is not None)
                frequent = sorted(counted, key=lambda text: (-counted[text], text))[:most]
                texts[name] = tuple(sorted(frequent))
        return cls(tuple(names), texts)

    @classmethod
    def told_by(cls, steps: Sequence[Step]) -> Self | None:
        """What the steps of a passport say; None where they do not say it."""
        for step in steps:
            if step.name == STEP:
                texts = {str(name): tuple(map(str, told)) for name, told in step.options["texts"].items()}
                return cls(tuple(map(str, step.options["names"])), texts)
        return None

    def step(self, **more: Any) -> Step:
        """The line of a passport that says it."""
        return Step(STEP, {"names": list(self.names), "texts": {k: list(v) for k, v in self.texts.items()}, **more})

    def rows(self, table: Table) -> Array:
        """A table's rows as a model takes them: float32, what is missing or unknown as NaN."""
        rows = np.stack([self._numbers(table, name) for name in self.names], axis=1)
        for name, most in zip(self.names, np.nanmax(np.abs(rows), axis=0, initial=0.0).tolist(), strict=True):
            if most > _LARGEST:
                raise InputError(
                    f"{table.name}: the column '{name}' holds a number of size {most:g}, and models take float32",
                    f"give it in a larger unit: at most {_LARGEST:.3g}",
                )
        return rows.astype(np.float32)

    def unknown(self, table: Table) -> Mapping[str, int]:
        """How many rows hold a text that has no number, by column."""
        found: dict[str, int] = {}
        for name, known in self.texts.items():
            strange = sum(value is not None and value not in known for value in table.columns[name].tolist())
            if strange:
                found[name] = strange
        return found

    def _numbers(self, table: Table, name: str) -> Array:
        if name not in table.columns:
            raise InputError(f"{table.name} has no column '{name}', which the model takes", "give a table with it")
        column = table.columns[name]
        if (name in self.texts) != (column.dtype == object):
            has, wants = ("text", "numbers") if column.dtype == object else ("numbers", "text")
            raise InputError(
                f"{table.name}: the column '{name}' is {has}, and the model learned it as {wants}",
                "give a table whose columns are as the model was trained on",
            )
        if name not in self.texts:
            return column.astype(np.float64)
        number = {text: float(at) for at, text in enumerate(self.texts[name])}
        return np.array([number.get(value, np.nan) for value in column.tolist()], np.float64)
