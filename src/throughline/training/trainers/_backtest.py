"""Forecasts as they would have been made: from several points of the past, each knowing nothing of what came after.

The points lie one horizon apart, so that every value at the end is forecast once; what is learned from grows from fold
to fold. Series that share a clock are cut at the same time, or one would know the other's future.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

import numpy as np

from throughline.contracts.artifacts import Array
from throughline.contracts.errors import InputError
from throughline.files import whole_file
from throughline.training.trainers._forecaster import fit
from throughline.training.trainers._lags import Shape, pairs, scales, seen
from throughline.training.trainers._series import Series

_HEAD: Final = ("fold", "series", "step", "time", "truth", "forecast", "low", "high", "seasonal_naive")


@final
@dataclass(frozen=True, slots=True, eq=False)
class Fold:
    """One series from one point of the past: what came, what was forecast (low, middle, high), what a season ago was.

    ``unit`` is how far values of this series are from those a season before, on average, by what was known.
    """

    number: int
    name: str
    times: Array | None
    truth: Array
    forecast: Array
    naive: Array
    unit: float


def cuts(series: Sequence[Series], shape: Shape, folds: int) -> list[list[int]]:
    """For each fold, how many values of each series are known."""
    if series[0].times is None:
        return [[len(one) - (folds - fold) * shape.horizon for one in series] for fold in range(folds)]
    clock = np.unique(np.concatenate([one.times for one in series if one.times is not None]))
    made = []
    for fold in range(folds):
        place = len(clock) - (folds - fold) * shape.horizon
        made.append([int(np.searchsorted(one.times, clock[max(place, 0)])) for one in series])  # type: ignore[arg-type]
    return made


def enough(series: Sequence[Series], shape: Shape, options: Any, table: str) -> None:
    """Refuse what is too short for every fold to learn from something."""
    longest = max(cuts(series, shape, options.folds)[0])
    if longest < shape.to_learn:
        raise InputError(
            f"{table}: the first of {options.folds} folds would know {max(longest, 0)} values of the longest "
            f"series, and a horizon of {shape.horizon} with a season of {shape.season} needs {shape.to_learn}",
            "give a longer series, or a smaller horizon, season or number of folds",
        )


def folds_of(
    series: Sequence[Series], shape: Shape, known: Sequence[int], number: int, told: Any, seed: int
) -> list[Fold]:
    """Fit to what is known, and forecast what came."""
    history = [(one, end) for one, end in zip(series, known, strict=True) if end >= shape.least]
    forecaster = fit([one.until(end) for one, end in history], shape, told, seed)
    made = []
    for one, end in history:
        ahead = min(shape.horizon, len(one) - end)
        if ahead < 1:
            continue
        origin, step = pairs(shape, [end - 1])
        what = seen(one.until(end), shape, origin[:ahead], step[:ahead], one.times)
        made.append(
            Fold(
                number, one.name, None if one.times is None else one.times[end : end + ahead],
                one.values[end : end + ahead], forecaster.forecast(what), what.naive,
                float(scales(one.values[:end], shape.season)[-1]),
            )
        )  # fmt: skip
    if not made:
        raise InputError(
            f"fold {number}: no series goes on after it and has {shape.least} values before it",
            "give fewer folds, a smaller season, or longer series",
        )
    return made


def scores(folds: Sequence[Fold], forecast: bool = True) -> dict[str, float]:
    """MASE, MAE and sMAPE of the forecasts, and how many values their intervals hold; or those of seasonal naive."""
    said = [fold.forecast[:, 1] if forecast else fold.naive for fold in folds]
    off = [np.abs(one - fold.truth) for one, fold in zip(said, folds, strict=True)]
    size = [np.abs(one) + np.abs(fold.truth) for one, fold in zip(said, folds, strict=True)]
    shares = [2 * o / np.where(s > 0, s, 1.0) for o, s in zip(off, size, strict=True)]
    made = {
        "mase": float(np.concatenate([o / fold.unit for o, fold in zip(off, folds, strict=True)]).mean()),
        "mae": float(np.concatenate(off).mean()),
        "smape": float(np.concatenate(shares).mean()),
    }
    if forecast:
        inside = [(fold.forecast[:, 0] <= fold.truth) & (fold.truth <= fold.forecast[:, 2]) for fold in folds]
        made["coverage"] = float(np.concatenate(inside).mean())
    return made


def write_folds(folds: Sequence[Fold], path: Path) -> None:
    """Every forecast beside what came, as CSV."""
    import csv

    with whole_file(path) as draft, draft.open("w", encoding="utf-8", newline="") as out:
        rows = csv.writer(out, lineterminator="\n")
        rows.writerow(_HEAD)
        for fold in folds:
            for at, truth in enumerate(fold.truth.tolist()):
                low, middle, high = fold.forecast[at].tolist()
                time = "" if fold.times is None else str(fold.times[at])
                rows.writerow([fold.number, fold.name, at + 1, time, truth, middle, low, high, float(fold.naive[at])])
