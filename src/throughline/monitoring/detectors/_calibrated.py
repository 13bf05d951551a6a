"""The threshold of a distance, taken from the reference itself: how far stretches of it are from the rest of it.

A window of sixty frames of one street is no sample of sixty: its frames show the same cars. So a textbook's
p, which counts every frame as news, cries wolf. Here a stretch as long as a window is taken out of the
reference and held against what is left, again and again, and these distances say what chance does. Whatever
neighbours have in common is in them. Rows that hang together with nothing are drawn at random instead.

The square roots of the distances give a prediction for the next window: Student's t with as many degrees of
freedom as there are stretches that do not overlap, so that a short reference asks for more. (The two thirds of
Wilson and Hilferty make a distance more nearly normal and its far end too short: 28 windows of a thousand had
news where 10 were to have.) What is no farther than some stretch is at most as rare as that stretch.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, final

import numpy as np

from throughline.monitoring.detectors import Reference, Score, Values, known
from throughline.stats.paired import Floats, scipy_stats

DRAWS: Final = 200
"""So many stretches, at most, are held against the rest."""
_STEADY: Final = 0.05
"""Stretches of something that comes round exactly are all as far off; chance does this much of that, or one event."""
_NOTHING: Final = 1e-12
"""Less than this is what sums in floating point leave over."""
_LEAST: Final = 0.5
"""A window that has less than this share of the values it should have is not judged by them."""

Rows = np.ndarray[tuple[int, ...], np.dtype[np.intp]]


def stretches(rows: int, window: int, ordered: bool, seed: int) -> list[Rows]:
    """The rows of each stretch: neighbours where the reference is in order, rows at random where it is not."""
    if ordered:
        starts = np.unique(np.linspace(0, rows - window, DRAWS).astype(int))
        return [np.arange(start, start + window) for start in starts.tolist()]
    chance = np.random.default_rng(seed)
    return [np.sort(chance.choice(rows, window, replace=False)) for _ in range(DRAWS)]


@final
class Chance:
    """What chance does to a distance."""

    def __init__(self, drawn: Floats, apart: float, growth: int, least: float = 0.0) -> None:
        """Learn from stretches of the reference.

        Args:
            drawn: how far each is from the rest; NaN where nobody knows.
            apart: how many of them share no rows.
            growth: 1 for a distance, 2 for the square of one.
            least: a distance that is no news, whatever the stretches say.
        """
        drawn = drawn[np.isfinite(drawn)]
        drawn = np.where(drawn < _NOTHING, 0.0, drawn)
        self._power = 0.5 / growth
        self._drawn = np.sort(drawn)
        even = drawn**self._power
        self._apart = max(2.0, min(apart, len(drawn)))
        self._mean = float(even.mean()) if len(even) else 0.0
        spread = float(even.std(ddof=1)) * math.sqrt(1 + 1 / self._apart) if len(even) > 1 else 0.0
        self._error = spread
        if spread <= _STEADY * self._mean or self._mean == 0:
            self._error = max(spread, _STEADY * self._mean, max(least, 0.0) ** self._power - self._mean, 1e-12)

    @property
    def known(self) -> bool:
        """Whether there was any stretch to learn from."""
        return len(self._drawn) > 1

    def p(self, statistic: float) -> float:
        """How often chance alone gives as much: as Student has it, and as the stretches have it where any is as far."""
        above = len(self._drawn) - int(np.searchsorted(self._drawn, statistic))
        z = (max(statistic, 0.0) ** self._power - self._mean) / self._error
        student = float(scipy_stats().t.sf(z, self._apart - 1))
        return max(student, (1 + above) / (1 + len(self._drawn))) if above else student

    def threshold(self, alpha: float) -> float:
        """What chance alone exceeds in this share of windows."""
        far = float(scipy_stats().t.isf(alpha, self._apart - 1))
        reached: float = max(0.0, self._mean + far * self._error) ** (1 / self._power)
        farther = max(0, math.floor(alpha * (1 + len(self._drawn)) + 1e-9) - 1)
        return max(reached, float(self._drawn[-1 - min(farther, len(self._drawn) - 1)]))


@final
class Calibrated:
    """A detector made of a distance between two sets of values."""

    def __init__(
        self,
        distance: Callable[[Values, Values], float],
        reference: Reference,
        alpha: float,
        *,
        growth: int,
        prepare: Callable[[Values], Values] = lambda values: values,
        drawn: Callable[[list[Rows]], Floats] | None = None,
    ) -> None:
        """Hold stretches of the reference against the rest of it.

        Args:
            distance: from the reference's values to a window's, both prepared and none of them missing.
            reference: what windows are held to.
            alpha: how often a window of nothing new is to look as if it were new.
            growth: 1 for a distance, 2 for the square of one.
            prepare: makes of values what the distance wants to see.
            drawn: the distances of all the stretches at once, for who knows a faster way.
        """
        self._distance, self._alpha, self._prepare = distance, alpha, prepare
        values, window = reference.values, reference.window
        held = stretches(len(values), window, reference.ordered, reference.seed)
        self._known = known(values)
        self._prepared = prepare(self._known)
        self._constant = len(self._known) > 0 and bool(np.all(self._known == self._known[0]))
        self._least = max(2, math.ceil(_LEAST * window * len(self._known) / len(values)))
        self._block = max(1, window // 10) if reference.ordered else 1
        if len(self._known) < 2 * self._least:
            found = np.empty(0)
        else:
            found = drawn(held) if drawn else np.array([self._held_out(values, rows) for rows in held])
        apart = len(values) / window if reference.ordered else float(len(held))
        self._chance = Chance(found, apart, growth, self._of_one_event(window) if len(found) else 0.0)

    def score(self, window: Values) -> Score:
        """How far this window is from the reference."""
        values = known(window)
        if len(values) < self._least or not self._chance.known:
            return Score(math.nan, math.nan, 1.0, False)
        statistic = self._distance(self._prepared, self._prepare(values))
        if self._constant:
            p = self._rarity(values)
            return Score(statistic, 0.0, p, p <= self._alpha)
        p, threshold = self._chance.p(statistic), self._chance.threshold(self._alpha)
        return Score(statistic, threshold, p, p <= self._alpha)

    def _held_out(self, values: Values, rows: Rows) -> float:
        left = np.ones(len(values), np.bool_)
        left[rows] = False
        one, rest = known(values[rows]), known(values[left])
        if len(one) < self._least or len(rest) < self._least:
            return math.nan
        return self._distance(self._prepare(rest), self._prepare(one))

    def _of_one_event(self, window: int) -> float:
        """How far a stretch gets when one value of the reference takes the place of a few neighbours.

        Stretches of what comes round exactly, such as a video in a loop, are all alike: this is the least that counts.
        """
        some = self._known[:window]
        found = []
        for at in np.linspace(0, len(self._known) - 1, 8).astype(int).tolist():
            other = some.copy()
            other[: self._block] = self._known[at]
            found.append(self._distance(self._prepared, self._prepare(other)))
        return max(found)

    def _rarity(self, values: Values) -> float:
        """For a reference that never varied: how likely it is that what is new would never have shown up before.

        Neighbours that are new together count as fewer than they are, since one event makes them all.
        """
        odd = values != self._known[0]
        many = int((odd.any(axis=1) if odd.ndim == 2 else odd).sum())
        events = math.ceil(many / self._block)
        size, before = max(1, len(values) // self._block), len(self._known) // self._block
        return float(scipy_stats().hypergeom.sf(events - 1, before + size, events, size)) if events else 1.0
