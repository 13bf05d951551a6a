"""Numbers in bins that each hold a tenth of the reference; words, each a bin of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from throughline.monitoring.detectors import Values
from throughline.stats.paired import Floats

_TENTHS: Final = np.linspace(0.1, 0.9, 9)


@dataclass(frozen=True, slots=True, eq=False)
class Bins:
    """Where a value falls.

    Attributes:
        edges: of numbers, the upper ends of all bins but the last; what lies outside of the reference has bins too.
        words: of categories, all that are known; any other falls into the last bin.
    """

    edges: Floats | None = None
    words: tuple[str, ...] = ()

    @classmethod
    def of(cls, values: Values) -> Bins:
        """The bins that a reference makes."""
        if values.dtype.kind == "O":
            return cls(words=tuple(sorted(set(values.tolist()))))
        if not len(values):
            return cls(np.zeros(1))
        low, high = float(values.min()), float(values.max())
        return cls(np.unique([np.nextafter(low, -np.inf), *np.quantile(values, _TENTHS), high]))

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.words) + 1 if self.edges is None else len(self.edges) + 1

    def numbers(self, values: Values) -> Values:
        """The number of each value's bin."""
        if self.edges is not None:
            return np.searchsorted(self.edges, values, side="left")
        place = {word: number for number, word in enumerate(self.words)}
        return np.array([place.get(word, len(place)) for word in values.tolist()], np.intp)

    def shares(self, numbers: Values) -> Floats:
        """How much of the values is in each bin; half a value is added to each, so that none is impossible."""
        counts = np.bincount(numbers, minlength=self.count) + 0.5
        return np.asarray(counts / counts.sum(), np.float64)
