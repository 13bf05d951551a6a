"""Observations as columns, which is what is judged, kept and drawn; what an observation lacks is NaN or None."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from throughline.contracts.observations import Observation

Column = npt.NDArray[Any]
_MOST = float(np.finfo(np.float16).max)


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Columns of one length.

    Attributes:
        numbers: float64 by name; NaN is missing, and so is what has no end.
        categories: words by name; None is missing.
        vectors: rows x width, in half precision; NaN where a row has none. None where no row has one.
        seconds: when each was.
    """

    numbers: Mapping[str, Column]
    categories: Mapping[str, Column]
    vectors: Column | None
    seconds: Column

    @classmethod
    def of(cls, observations: Iterable[Observation]) -> Rows:
        """Every name that any of them has becomes a column."""
        every = list(observations)
        names = list(dict.fromkeys(name for one in every for name in one.numbers))
        words = list(dict.fromkeys(name for one in every for name in one.categories))
        numbers = {name: np.array([one.numbers.get(name, np.nan) for one in every], np.float64) for name in names}
        for column in numbers.values():
            column[~np.isfinite(column)] = np.nan
        categories = {}
        for name in words:
            categories[name] = np.empty(len(every), object)
            categories[name][:] = [one.categories.get(name) for one in every]
        width = max((len(one.vector) for one in every if one.vector is not None), default=0)
        vectors = np.full((len(every), width), np.nan, np.float16) if width else None
        for row, one in enumerate(every):
            if vectors is not None and one.vector is not None and len(one.vector) == width:
                vectors[row] = np.clip(one.vector, -_MOST, _MOST)
        seconds = np.nan_to_num(np.array([one.seconds for one in every], np.float64), posinf=0.0, neginf=0.0)
        return cls(numbers, categories, vectors, seconds)

    def __len__(self) -> int:
        return len(self.seconds)

    @property
    def features(self) -> dict[str, Column]:
        """Every column by its name; the vectors are called "look"."""
        vectors = {} if self.vectors is None else {LOOK: self.vectors.astype(np.float64)}
        return {**self.plain, **vectors}

    @property
    def plain(self) -> dict[str, Column]:
        """The columns of numbers and of words."""
        return {**self.numbers, **self.categories}

    def feature(self, name: str, like: Column) -> Column:
        """A column that is like another one; all of it missing where there is none of this name and kind."""
        column = self.features.get(name)
        if column is not None and column.dtype.kind == like.dtype.kind and column.shape[1:] == like.shape[1:]:
            return column
        return np.full((len(self), *like.shape[1:]), None if like.dtype.kind == "O" else np.nan, like.dtype)

    def some(self, chosen: Any) -> Rows:
        """Some of the rows, by number or slice."""
        return Rows(
            {name: column[chosen] for name, column in self.numbers.items()},
            {name: column[chosen] for name, column in self.categories.items()},
            None if self.vectors is None else self.vectors[chosen],
            self.seconds[chosen],
        )


LOOK = "look"
"""What the vectors are called among the features."""


def missing(column: Column) -> Column:
    """1 where a value is missing and 0 where it is there."""
    if column.dtype.kind == "O":
        return np.array([float(value is None) for value in column])
    absent = np.isnan(column)
    return np.asarray(absent.all(axis=1) if absent.ndim == 2 else absent, np.float64)
