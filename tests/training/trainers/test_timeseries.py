"""Series: better than the last season where there is more to know, blind to the future, and honest intervals."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from throughline.contracts.errors import InputError
from throughline.testing.trainers import TrainerConformance
from throughline.training.issuing import issue_passport
from throughline.training.recipe import read_recipe
from throughline.training.run import Run, Trained
from throughline.training.trainers import TRAINERS
from throughline.training.trainers._backtest import cuts
from throughline.training.trainers._lags import Shape, pairs, seen
from throughline.training.trainers._series import Series, calendar, later, usual_season
from throughline.training.trainers.timeseries import forecast

pytest.importorskip("xgboost")


def days(count: int, start: str = "2024-01-01") -> Any:
    return np.datetime64(start, "s") + np.arange(count) * np.timedelta64(86_400, "s")


def sold(count: int, seed: int = 0, size: float = 100.0) -> Any:
    """A week, and surprises of which a little stays until tomorrow."""
    dice = np.random.default_rng(seed)
    week = np.array([0, 1, 2, 3, 8, 12, 4])[np.arange(count) % 7]
    surprise = np.zeros(count)
    for at in range(1, count):
        surprise[at] = 0.3 * surprise[at - 1] + dice.normal()
    return size * (1 + (week + 2 * surprise) / 50)


def shops(path: Path, count: int = 240, names: tuple[str, ...] = ("north", "south")) -> Path:
    lines = ["day,shop,value"]
    for number, name in enumerate(names):
        for day, value in zip(days(count), sold(count, number + 1, 100.0 * (1 + 9 * number)), strict=True):
            lines.append(f"{str(day)[:10]},{name},{value:.3f}")
    path.write_text("\n".join(lines) + "\n")
    return path


def carried(folder: Path, **told: Any) -> tuple[Trained, list[str]]:
    folder.mkdir(exist_ok=True)
    said: list[str] = []
    recipe = read_recipe(None, {"trainer": "timeseries", "name": "small", **told})
    trained: Trained = TRAINERS.make("timeseries", recipe, Run(folder, lambda values, step: None, said.append))
    issue_passport(recipe, trained, {"throughline": "any"})
    return trained, said


class TestTimeSeries(TrainerConformance):
    trainer = "timeseries"

    def told(self, folder: Path) -> Mapping[str, Any]:
        data = folder / "shops.csv"
        return {
            "data": str(data if data.exists() else shops(data)), "time": "day", "group": "shop", "horizon": 7,
            "folds": 3, "rounds": 60,
        }  # fmt: skip

    def test_it_is_better_than_the_last_week(self) -> None:
        trained = self.carried().trained
        assert trained.metrics["mase"] < trained.baseline["mase"]

    def test_it_forecasts_from_its_file_and_passport_alone(self) -> None:
        run = self.carried()
        said = forecast(run.trained.path, run.recipe.data)
        assert len(said) == 14
        assert said.columns["time"][0] == "2024-08-28T00:00:00"
        assert (said.columns["low"] <= said.columns["forecast"]).all()
        assert (said.columns["forecast"] <= said.columns["high"]).all()
        assert said.columns["series"].tolist() == ["north"] * 7 + ["south"] * 7

    def test_every_forecast_of_the_past_lies_beside_what_came(self) -> None:
        run = self.carried()
        rows = (run.folder / "backtest.csv").read_text().splitlines()
        assert len(rows) == 1 + 3 * 2 * 7
        inside = [float(low) <= float(truth) <= float(high) for truth, _, low, high, _ in
                  (row.split(",")[4:] for row in rows[1:])]  # fmt: skip
        assert np.mean(inside) == pytest.approx(run.trained.metrics["coverage"])


@pytest.mark.parametrize(("season", "lags"), [(1, 3), (7, 8), (12, 2)])
def test_no_feature_sees_what_comes_after_its_origin(season: int, lags: int) -> None:
    values, shape = sold(120), Shape(9, season, lags, True)
    for origin in (shape.least - 1, 50, 101):
        other = values.copy()
        other[origin + 1 :] = np.random.default_rng(1).normal(0, 1e6, len(other) - origin - 1)
        where = pairs(shape, [origin])
        one, two = (seen(Series("", told, days(120)), shape, *where) for told in (values, other))
        cut = seen(Series("", values[: origin + 1], None), shape, *where, days(120))
        for changed in (two, cut):
            assert np.array_equal(one.x, changed.x, equal_nan=True)
            assert np.array_equal(one.naive, changed.naive)
            assert np.array_equal(one.centre, changed.centre)
            assert np.array_equal(one.scale, changed.scale)
    assert seen(Series("", values, days(120)), shape, *where).x.shape[1] == len(shape.names)


def test_a_fold_forecasts_the_same_whatever_came_later(tmp_path: Path) -> None:
    shops(tmp_path / "a.csv", names=("north",))
    lines = (tmp_path / "a.csv").read_text().splitlines()
    changed = [f"{line.rpartition(',')[0]},{number * 17 % 31}" for number, line in enumerate(lines[-7:])]
    (tmp_path / "b.csv").write_text("\n".join([*lines[:-7], *changed]) + "\n")
    for name in "ab":
        carried(tmp_path / name, data=str(tmp_path / f"{name}.csv"), time="day", horizon=7, folds=2, rounds=20)
    first, second = ((tmp_path / name / "backtest.csv").read_text().splitlines() for name in "ab")
    assert first[:8] == second[:8]
    told = [[row.split(",")[5:] for row in rows[8:]] for rows in (first, second)]
    assert told[0] == told[1], "what came was changed, and the forecasts of it with it"


def test_series_of_one_clock_are_cut_at_the_same_time() -> None:
    late = Series("late", sold(60), days(60, "2024-02-10"))
    long = Series("long", sold(100), days(100))
    known = cuts([late, long], Shape(5, 7, 3, True), 2)
    assert known == [[50, 90], [55, 95]]
    assert late.times[known[0][0]] == long.times[known[0][1]]


def test_a_series_ten_times_as_large_is_forecast_ten_times_as_large(tmp_path: Path) -> None:
    for name, size in (("small", 1.0), ("large", 1024.0)):
        values = (sold(150) * size).tolist()
        (tmp_path / f"{name}.csv").write_text("value\n" + "\n".join(map(repr, values)) + "\n")
        carried(tmp_path / name, data=str(tmp_path / f"{name}.csv"), season=7, horizon=5, folds=1, rounds=10)
    small, large = (forecast(tmp_path / name / "model.ubj", tmp_path / f"{name}.csv") for name in ("small", "large"))
    assert np.allclose(small.columns["high"] * 1024, large.columns["high"], rtol=1e-5)
    assert "time" not in small.columns


def test_where_there_is_nothing_to_know_it_says_so_loudly(tmp_path: Path) -> None:
    path = tmp_path / "walk.csv"
    path.write_text("value\n" + "\n".join(map(str, np.random.default_rng(0).normal(size=200).cumsum())) + "\n")
    trained, said = carried(tmp_path / "run", data=str(path), season=1, horizon=5, folds=3, rounds=30, depth=6, lr=0.9)
    assert (trained.metrics["mase"] >= trained.baseline["mase"]) == any("WARNING" in line for line in said)
    assert any("WARNING" in line for line in said)


def test_intervals_hold_about_what_they_promise(tmp_path: Path) -> None:
    shops(tmp_path / "shops.csv", 260, ("a", "b", "c"))
    trained, _ = carried(
        tmp_path / "run", data=str(tmp_path / "shops.csv"), time="day", group="shop", horizon=7, folds=5, rounds=40
    )
    assert 0.68 <= trained.metrics["coverage"] <= 0.92
    assert trained.metrics["mase"] < trained.baseline["mase"]


@pytest.mark.parametrize(
    ("rows", "told", "problem"),
    [
        ("day,value\n2024-01-01,1\n2024-01-01,2\n", {}, "come twice"),
        ("day,value\n2024-01-01,1\nsoon,2\n", {}, "'soon' in row 2"),
        ("day,value\n2024-01-01,1\n2024-01-02,2\n", {}, "would know"),
        ("day,value\n2024-01-01,1\n2024-01-02,x\n", {}, "no numbers"),
        ("day,value\n2024-01-01,1\n2024-01-02,2\n", {"group": "shop"}, "no column 'shop'"),
        ("day,value\n2024-01-01,1\n2024-01-02,\n", {}, "no value"),
    ],
)
def test_what_is_no_series_is_refused(tmp_path: Path, rows: str, told: dict[str, str], problem: str) -> None:
    (tmp_path / "rows.csv").write_text(rows)
    with pytest.raises(InputError, match=problem):
        carried(tmp_path / "run", data=str(tmp_path / "rows.csv"), time="day", **told)
    assert not list((tmp_path / "run").iterdir())


def test_times_go_on_as_they_were() -> None:
    months = np.array(["2024-01-15", "2024-02-15", "2024-03-15"], "M8[s]")
    assert later(months, 11)[-1] == np.datetime64("2025-02-15")  # type: ignore[index]
    assert later(days(3), 2).tolist() == days(5)[3:].tolist()  # type: ignore[union-attr]
    assert later(np.array([10, 20, 30]), 2).tolist() == [40.0, 50.0]  # type: ignore[union-attr]
    assert later(None, 3) is None
    assert usual_season((Series("", np.zeros(3), months),)) == 12
    assert usual_season((Series("", np.zeros(9), days(9)),)) == 7
    assert calendar(np.array(["2024-02-29T06:30"], "M8[s]")).tolist() == [[2.0, 29.0, 3.0, 6.5]]


def test_a_model_without_its_passport_is_refused(tmp_path: Path) -> None:
    shops(tmp_path / "shops.csv", 100, ("a",))
    trained, _ = carried(tmp_path / "run", data=str(tmp_path / "shops.csv"), time="day", horizon=3, folds=1, rounds=5)
    (tmp_path / "run" / "model.passport.json").unlink()
    with pytest.raises(InputError, match="no passport says"):
        forecast(trained.path, tmp_path / "shops.csv")


def test_a_fold_that_nobody_can_be_judged_by_is_refused(tmp_path: Path) -> None:
    rows = [f"{str(day)[:10]},old,{number % 7}" for number, day in enumerate(days(90))]
    rows += [f"{str(day)[:10]},new,{number % 7}" for number, day in enumerate(days(9, "2024-04-02"))]
    (tmp_path / "rows.csv").write_text("day,shop,value\n" + "\n".join(rows) + "\n")
    told = {"data": str(tmp_path / "rows.csv"), "time": "day", "group": "shop", "horizon": 3, "rounds": 5}
    with pytest.raises(InputError, match="fold 1: no series goes on"):
        carried(tmp_path / "run", **told, folds=2)


def test_a_series_that_is_shorter_than_a_season_stops_nobody_and_is_named(tmp_path: Path) -> None:
    shops(tmp_path / "shops.csv", 120, ("long",))
    with (tmp_path / "shops.csv").open("a") as file:
        file.writelines(f"{str(day)[:10]},new,{at}\n" for at, day in enumerate(days(3)))
    trained, said = carried(
        tmp_path / "run", data=str(tmp_path / "shops.csv"), time="day", group="shop", horizon=3, folds=2, rounds=5
    )
    assert trained.path.is_file()
    assert any("too short to be learned from" in line and "1 (new)" in line for line in said)


@pytest.mark.parametrize(("minutes", "season"), [(15, 96), (30, 48), (60, 24), (360, 4), (720, 2), (1440, 7)])
def test_a_season_of_what_comes_often_is_a_day(minutes: int, season: int) -> None:
    times = np.datetime64("2024-01-01", "s") + np.arange(9) * np.timedelta64(minutes * 60, "s")
    assert usual_season((Series("", np.zeros(9), times),)) == season


def test_a_history_of_other_times_is_refused(tmp_path: Path) -> None:
    shops(tmp_path / "shops.csv", 100, ("a",))
    trained, _ = carried(tmp_path / "run", data=str(tmp_path / "shops.csv"), time="day", horizon=3, folds=1, rounds=5)
    (tmp_path / "numbers.csv").write_text("day,value\n" + "\n".join(f"{at},{at % 7}" for at in range(60)) + "\n")
    with pytest.raises(InputError, match="'day' holds numbers, and the model learned dates"):
        forecast(trained.path, tmp_path / "numbers.csv")
