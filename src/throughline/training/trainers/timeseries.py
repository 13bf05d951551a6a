"""Forecasts of series: gradient-boosted quantiles, judged in the past against repeating the last season.

Repeating the last season costs nothing and is hard to beat. So both forecast from the same points of the past, each
knowing only what was known there, and only then is the model that ships fitted to everything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from throughline.contracts.artifacts import Array, Step
from throughline.contracts.errors import InputError
from throughline.contracts.tables import Table
from throughline.files import whole_file
from throughline.plugins import Plugin
from throughline.settings import setting
from throughline.training.recipe import Recipe
from throughline.training.run import Run, Trained

_STEP: Final = "forecast"


@final
@dataclass(frozen=True, slots=True)
class Options:
    """What ``timeseries`` can be told."""

    target: str = setting("value", "the column of the values", "the name of a column", pattern=r"(?s).+")
    time: str = setting("", "the column of their times; the order of the rows, when not given", "a column, or nothing")
    group: str = setting("", "the column that tells several series apart", "a column, or nothing")
    horizon: int = setting(12, "how many values ahead are forecast", "1 to 1000", 1, 1000)
    season: int = setting(
        0, "how many values make a season; 0 is by their times: 24 hours, 7 days, 12 months", "0 to 10000", 0, 10_000
    )
    lags: int = setting(8, "how many of the last values are seen", "1 to 1000", 1, 1000)
    folds: int = setting(4, "from how many points of the past it is judged", "1 to 100", 1, 100)
    coverage: float = setting(0.8, "the share of values that an interval is to hold", "0.1 to 0.99", 0.1, 0.99)
    rounds: int = setting(300, "the most rounds of boosting", "1 to 100000", 1, 100_000)
    patience: int = setting(20, "end after so many rounds without a better one", "1 to 10000", 1, 10_000)
    lr: float = setting(0.1, "how much of each round's trees counts", "0.0001 to 1", 1e-4, 1)
    depth: int = setting(3, "how deep trees are", "1 to 64", 1, 64)
    penalty: float = setting(1.0, "how much large weights cost: L2", "1e-6 to 1e6", 1e-6, 1e6)


def train(recipe: Recipe, run: Run) -> Trained:
    """Judge a forecaster in the past, and fit it to everything."""
    from throughline.data.tables import open_table
    from throughline.training.trainers._backtest import cuts, enough, folds_of, scores, write_folds
    from throughline.training.trainers._forecaster import fit
    from throughline.training.trainers._lags import Shape
    from throughline.training.trainers._series import series_of, uneven, usual_season

    options: Options = recipe.options
    table = open_table(recipe.data, options.target)
    series = series_of(table, options.target, options.time, options.group)
    season = options.season or usual_season(series)
    first = series[0].times
    shape = Shape(options.horizon, season, options.lags, first is not None and first.dtype.kind == "M")
    enough(series, shape, options, table.name)
    if run.device != "cpu":
        run.say(f"{recipe.data} is learned on the CPU: on a GPU the bytes would not be the same ones again")
    if run.resume:
        run.say("a forecaster keeps nothing half-done: it is trained again from its recipe, to the same bytes")
    run.say(f"{len(series)} series of {len(table)} values, a season of {season}, {options.horizon} ahead")
    if count := uneven(series):
        run.say(f"WARNING: {count} gaps in the times; values on both sides of one are taken as neighbours")
    if short := [one.name for one in series if len(one) < shape.to_learn]:
        run.say(
            f"too short to be learned from, with under {shape.to_learn} values: {len(short)} ({', '.join(short[:4])})"
        )
    folds = []
    for number, known in enumerate(cuts(series, shape, options.folds), 1):
        made = folds_of(series, shape, known, number, options, recipe.seed)
        folds += made
        logged = {f"val/{name}": value for name, value in scores(made).items()}
        run.log(logged | {f"baseline/{name}": value for name, value in scores(made, False).items()}, number)
    metrics, baseline = scores(folds), scores(folds, forecast=False)
    _judge(metrics, baseline, options, run)
    forecaster = fit(series, shape, options, recipe.seed)
    path = run.folder / "model.ubj"
    with whole_file(path) as draft:
        draft.write_bytes(forecaster.booster.save_raw("ubj"))
    write_folds(folds, run.folder / "backtest.csv")
    learned = Step(
        _STEP,
        {
            "target": options.target, "time": options.time, "group": options.group, "coverage": options.coverage,
            "margin": forecaster.margin, **shape.plain(),
        },
    )  # fmt: skip
    return Trained(
        path, metrics, "mase", False, table.sha256, about={"task": "forecast"}, baseline=baseline, steps=(learned,)
    )


def _judge(metrics: Mapping[str, float], baseline: Mapping[str, float], options: Options, run: Run) -> None:
    run.say(
        f"in {options.folds} folds: MASE {metrics['mase']:.4f}, seasonal naive {baseline['mase']:.4f}; "
        f"{metrics['coverage']:.1%} of the values were inside of intervals that promise {options.coverage:.0%}"
    )
    if metrics["mase"] >= baseline["mase"]:
        run.say(
            f"WARNING: this forecaster is no better than repeating the last season: MASE {metrics['mase']:.4f}, and "
            f"seasonal naive has {baseline['mase']:.4f}. Do not ship it for its own sake."
        )


def forecast(model: str | Path, history: str | Path) -> Table:
    """What comes after a history, by a model that ``timeseries`` trained.

    Args:
        model: the ``.ubj`` file, with its passport beside it.
        history: a table with the columns that the model was trained on; as long as two seasons and one value at least.

    Returns:
        For each series (``series``) and step ahead (``step``): ``forecast``, ``low`` and ``high``, and its ``time``
        where the history has times.
    """
    import numpy as np
    import xgboost

    from throughline.data.tables import open_table, table_hash
    from throughline.models import passport as passports
    from throughline.models.artifact import read_artifact
    from throughline.training.trainers._forecaster import Forecaster
    from throughline.training.trainers._lags import Shape, pairs, seen
    from throughline.training.trainers._series import later, series_of

    artifact = read_artifact(model)
    told = next((step.options for step in artifact.passport.steps if step.name == _STEP), None)
    if told is None:
        raise InputError(
            f"{model}: no passport says what it sees of a series", "give a model of the trainer timeseries"
        )
    passports.verify(artifact.path, artifact.passport)
    shape = Shape(told["horizon"], told["season"], told["lags"], told["dated"])
    booster = xgboost.Booster(model_file=str(artifact.path))
    forecaster = Forecaster(booster, float(told["margin"]))
    table = open_table(history, told["target"])
    columns: dict[str, list[Array]] = {}
    for one in series_of(table, told["target"], told["time"], told["group"]):
        if len(one) < shape.least:
            named = f"'{one.name}' of {table.name}" if one.name else table.name
            raise InputError(f"{named} has {len(one)} values, and {shape.least} must be known", "give a longer history")
        if shape.dated and (one.times is None or one.times.dtype.kind != "M"):
            raise InputError(
                f"{table.name}: '{told['time']}' holds numbers, and the model learned dates",
                "write times as the model was trained on, such as 2026-03-01",
            )
        origin, step = pairs(shape, [len(one) - 1])
        after = later(one.times, shape.horizon)
        times = None if after is None or one.times is None else np.concatenate([one.times, after])
        said = forecaster.forecast(seen(one, shape, origin, step, times))
        made = {"series": np.array([one.name] * len(step), object), "step": step}
        if after is not None:
            dates = after.dtype.kind == "M"
            made["time"] = np.array(list(map(str, after)), object) if dates else np.asarray(after, np.float64)
        made |= {"forecast": said[:, 1], "low": said[:, 0], "high": said[:, 2]}
        for name, column in made.items():
            columns.setdefault(name, []).append(column)
    whole = {name: np.concatenate(parts) for name, parts in columns.items()}
    return Table("forecast", whole, None, table_hash(whole))


PLUGIN = Plugin(
    make=train,
    summary="forecasts of series: boosted quantiles, judged in the past against the last season",
    needs=("xgboost", "pyarrow"),
    extra="train",
    facts={"options": Options},
)
