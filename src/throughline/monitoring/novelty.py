"""How unlike the reference one observation is: what to show of a window that drifted, and what to label first."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final, final

import numpy as np
import numpy.typing as npt

from throughline.contracts.observations import Observation
from throughline.monitoring.profile import Profile
from throughline.monitoring.rows import LOOK

_FAR: Final = 10.0
_NEIGHBOURS: Final = 512
"""A vector is held to so many of the reference at most."""


@final
class Novelty:
    """Knows what is usual of a profile."""

    def __init__(self, profile: Profile) -> None:
        """Measure it once."""
        self._usual: dict[str, tuple[float, float]] = {}
        for name, column in profile.rows.numbers.items():
            values = column[np.isfinite(column)]
            if len(values):
                low, middle, high = map(float, np.quantile(values, (0.25, 0.5, 0.75)))
                spread = (high - low) / 1.349 or float(values.std()) or 1e-6 * max(1.0, abs(middle))
                self._usual[name] = middle, spread
        self._words = {
            name: {word: float(np.mean(column == word)) for word in set(column.tolist())}
            for name, column in profile.rows.categories.items()
        }
        self._cloud, self._near = np.zeros((0, 0), np.float32), 1.0
        if profile.rows.vectors is not None:
            cloud = profile.rows.vectors[np.isfinite(profile.rows.vectors).all(axis=1)].astype(np.float32)
            cloud = cloud[np.unique(np.linspace(0, len(cloud) - 1, min(_NEIGHBOURS, len(cloud))).astype(int))]
            if len(cloud) > 1:
                self._cloud = cloud
                self._near = float(np.median([self._nearest(row, at) for at, row in enumerate(cloud)])) or 1e-6

    def __call__(self, one: Observation) -> float:
        """How unlike: about 1 for what is usual, larger for what is not."""
        squares = [value * value for value in self.parts(one).values()]
        return math.sqrt(sum(squares) / len(squares)) if squares else 0.0

    def parts(self, one: Observation) -> Mapping[str, float]:
        """The same of each feature that both sides have, at most 10."""
        found = {
            name: min(_FAR, abs(value - self._usual[name][0]) / self._usual[name][1])
            for name, value in one.numbers.items()
            if name in self._usual and math.isfinite(value)
        }
        for name, word in one.categories.items():
            if name in self._words:
                share = max(self._words[name].get(word, 0.0), 1e-9)
                found[name] = min(_FAR, math.sqrt(-2 * math.log(share)))
        if one.vector is not None and len(self._cloud) and len(one.vector) == self._cloud.shape[1]:
            found[LOOK] = min(_FAR, self._nearest(np.asarray(one.vector, np.float32)) / self._near)
        return found

    def _nearest(self, vector: npt.NDArray[np.float32], but: int | None = None) -> float:
        squares = ((self._cloud - vector) ** 2).sum(axis=1)
        if but is not None:
            squares[but] = np.inf
        return math.sqrt(float(squares.min()))
