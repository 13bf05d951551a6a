"""Which frames to label first: those the model is unsure of, those unlike the reference, and no two alike.

Each observation is worth half its doubt and half its novelty. Of the best, one after the other is taken that is
worth most, counted with how far it is from all that were taken before: two hundred frames of one parked lorry
teach a model no more than one.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, final

import numpy as np

from throughline.contracts.errors import InputError
from throughline.contracts.observations import Observation
from throughline.monitoring.novelty import Novelty
from throughline.monitoring.profile import Profile
from throughline.monitoring.rows import Rows
from throughline.stats.paired import Floats

_POOL: Final = 20
"""For each that is wanted, so many of the best are looked at."""
_LEAST_POOL: Final = 1000


@dataclass(frozen=True, slots=True)
class Pick:
    """One observation that is worth labelling.

    Attributes:
        observation: which.
        doubt: how unsure the model was, from 0 to 1; 0 where it does not say.
        novelty: how unlike the reference it is, from 0 to 1.
    """

    observation: Observation
    doubt: float
    novelty: float

    @property
    def worth(self) -> float:
        """What labelling it is worth, from 0 to 1."""
        return (self.doubt + self.novelty) / 2

    @property
    def why(self) -> str:
        """The better reason of the two."""
        return "the model is unsure" if self.doubt >= self.novelty else "unlike the reference"


def doubt_of(score: float) -> float:
    """1 for a score of a half, 0 for one that is sure; 0 where there is none."""
    return 0.0 if math.isnan(score) else 1 - abs(2 * min(1.0, max(0.0, score)) - 1)


@final
class Picker:
    """Takes observations one by one, in bounded memory, and says at the end which to begin with."""

    def __init__(self, profile: Profile, count: int) -> None:
        """For so many frames, of what comes after this profile."""
        if count < 1:
            raise InputError(f"a list of {count} frames to label was asked for", "ask for 1 or more")
        self._novelty, self._count = Novelty(profile), count
        self._room = max(_LEAST_POOL, _POOL * count)
        self._pool: list[tuple[float, int, Pick]] = []
        self._taken = 0

    def take(self, one: Observation) -> None:
        """Keep it, while it is among the best."""
        pick = Pick(one, doubt_of(one.score), _share(self._novelty(one)))
        self._taken += 1
        item = pick.worth, -self._taken, pick
        if len(self._pool) < self._room:
            heapq.heappush(self._pool, item)
        else:
            heapq.heappushpop(self._pool, item)

    def best(self) -> list[Pick]:
        """As many as were asked for, the one to begin with first."""
        pool = [pick for _, _, pick in sorted(self._pool, reverse=True)]
        return _apart(pool, _places([pick.observation for pick in pool]), self._count)


def _apart(pool: Sequence[Pick], places: Floats, count: int) -> list[Pick]:
    """The best first, then whatever is worth most times its distance to the nearest that was taken."""
    if not pool:
        return []
    worth = np.array([pick.worth for pick in pool]) + 1e-9
    taken = [0]
    nearest = _distances(places, 0)
    while len(taken) < min(count, len(pool)):
        gain = worth * (nearest + 1e-9)
        gain[taken] = -1.0
        best = int(np.argmax(gain))
        taken.append(best)
        nearest = np.minimum(nearest, _distances(places, best))
    return [pool[at] for at in taken]


def _distances(places: Floats, of: int) -> Floats:
    return np.asarray(np.sqrt(((places - places[of]) ** 2).sum(axis=1)), np.float64)


def _places(observations: Sequence[Observation]) -> Floats:
    """Where each lies: its vector, or its numbers in standard deviations where it has none."""
    rows = Rows.of(observations)
    if rows.vectors is not None and np.isfinite(rows.vectors).all():
        return rows.vectors.astype(np.float64)
    columns = []
    for column in rows.numbers.values():
        there = np.isfinite(column)
        spread = float(column[there].std()) if there.any() else 0.0
        columns.append(np.where(there, (column - column[there].mean()) / spread, 0.0) if spread else 0.0 * there)
    return np.stack(columns, axis=1) if columns else np.zeros((len(observations), 1))


def _share(novelty: float) -> float:
    """From 0 for what is usual to nearly 1 for what was never seen."""
    over = max(0.0, novelty - 1)
    return over / (1 + over)
