"""What a forecaster sees of a series at an origin: values up to there, and the calendar of what it forecasts.

Everything is told as a difference from the mean of the same place in the last seasons, and in units of how far values
a season apart usually are, up to the origin. So series of any size, and those that grow, look alike, and what is
learned is what there is to know beyond repeating such a season.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Final, final

import numpy as np

from throughline.contracts.artifacts import Array
from throughline.training.trainers._series import CALENDAR, Series, calendar

_SEASONS: Final = 3
"""How many seasons back the same season is looked up, beyond the last."""
_AVERAGED: Final = 4
"""Over how many seasons a place in the season is averaged: what is beyond that is a surprise."""


@final
@dataclass(frozen=True, slots=True)
class Shape:
    """What decides the columns of features.

    Attributes:
        horizon: how many values ahead are forecast.
        season: how many values make a season.
        lags: how many of the last values are seen.
        dated: whether times are dates, so that a calendar says something.
    """

    horizon: int
    season: int
    lags: int
    dated: bool

    @property
    def least(self) -> int:
        """How many values an origin must have behind it, itself included."""
        return 2 * self.season + 1

    @property
    def block(self) -> int:
        """How many values at the end say when boosting has gone on for long enough, and how wide intervals are."""
        return max(self.horizon, self.season)

    @property
    def to_learn(self) -> int:
        """How many values a series must have to be learned from: one origin, what lies ahead of it, and a block."""
        return self.least + self.horizon + self.block

    @property
    def names(self) -> tuple[str, ...]:
        """The features, in order."""
        return (
            "steps ahead",
            *(f"surprise {back} before the origin" for back in range(self.lags)),
            "surprise a season before",
            "value a season before",
            *(f"{back} seasons before the last" for back in range(1, _SEASONS + 1)),
            "value at the origin",
            "mean of the last season",
            "last season against the one before",
            *(CALENDAR if self.dated else ()),
        )

    def plain(self) -> dict[str, Any]:
        """As a passport keeps it."""
        return {**asdict(self), "features": list(self.names)}


@final
@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """Origins and steps of one series, as a model sees them.

    Attributes:
        x: the features, float32.
        naive: the value one season before what is forecast, or the last such season that is known.
        centre: the mean of that value and of those one and more seasons before it.
        scale: the unit.
        at: the place of what is forecast.
    """

    x: Array
    naive: Array
    centre: Array
    scale: Array
    at: Array


def pairs(shape: Shape, origins: Iterable[int]) -> tuple[Array, Array]:
    """Every origin with every step ahead of it."""
    where = np.fromiter(origins, np.int64)
    return np.repeat(where, shape.horizon), np.tile(np.arange(1, shape.horizon + 1), len(where))


def seen(series: Series, shape: Shape, origin: Array, step: Array, times: Array | None = None) -> Seen:
    """What is seen at these origins of what lies so many steps ahead: nothing that comes after an origin.

    Args:
        series: the series.
        shape: which features.
        origin: the place of the last value that is known, at least ``shape.least - 1``.
        step: how far ahead, from 1 on.
        times: the times of the series and of what comes after it; its own when not given.
    """
    values, season = series.values, shape.season
    at = origin + step
    back = season * -(-step // season)
    usual = means(values, season)
    naive, centre = values[at - back], usual[at - back]
    sums = np.concatenate([[0.0], np.cumsum(values)])
    scale = scales(values, season)[origin]

    def told(place: Array) -> Array:
        known = place >= 0
        return np.where(known, values[np.where(known, place, 0)] - centre, np.nan) / scale

    def surprise(place: Array) -> Array:
        known = place >= season
        place = np.where(known, place, season)
        return np.where(known, values[place] - usual[place - season], np.nan) / scale

    last = (sums[origin + 1] - sums[origin + 1 - season]) / season
    before = (sums[origin + 1 - season] - sums[origin + 1 - 2 * season]) / season
    columns = [step.astype(np.float64)]
    columns += [surprise(origin - lag) for lag in range(shape.lags)]
    columns += [surprise(at - back), (naive - centre) / scale]
    columns += [told(at - back - season * more) for more in range(1, _SEASONS + 1)]
    columns += [told(origin), (last - centre) / scale, (last - before) / scale]
    if shape.dated:
        dates = series.times if times is None else times
        assert dates is not None
        columns += list(calendar(dates[at]).T)
    return Seen(np.stack(columns, axis=1).astype(np.float32), naive, centre, scale, at)


def scales(values: Array, season: int) -> Array:
    """At each place, how far values were from those a season before, on average up to there; never 0."""
    apart = np.concatenate([np.zeros(season), np.abs(values[season:] - values[:-season])])
    counts = np.maximum(np.arange(1, len(values) + 1) - season, 1)
    found = np.cumsum(apart) / counts
    return np.where(found > 0, found, 1.0)


def means(values: Array, season: int) -> Array:
    """At each place, the mean of this value and of those one and more seasons before it, four at most."""
    found, count = values.copy(), np.ones(len(values))
    for back in range(1, _AVERAGED):
        found[season * back :] += values[: max(0, len(values) - season * back)]
        count[season * back :] += 1
    return np.asarray(found / count)
