"""Rows with named columns, for models that see no pictures; and a hash that names the whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from throughline.contracts.artifacts import Array


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """A table, its columns equally long.

    Attributes:
        name: what the user called it.
        columns: by name, in the file's order: float64, int64, bool or text (dtype object, each a str or None).
        target: the column that a model is to tell; None where nobody has said.
        sha256: names all of it. Two tables with the same one are the same data.
    """

    name: str
    columns: Mapping[str, Array]
    target: str | None
    sha256: str

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def rows(self, chosen: Array) -> Table:
        """Some of its rows, by number; the hash stays that of the whole."""
        chosen = np.asarray(chosen)
        return Table(
            self.name, {name: column[chosen] for name, column in self.columns.items()}, self.target, self.sha256
        )
