"""Series in a table: one column of values, in the order of time, one series for each group."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, final

import numpy as np

from throughline.contracts.artifacts import Array
from throughline.contracts.errors import InputError
from throughline.contracts.tables import Table
from throughline.data.columns import missing_in

_DAY: Final = 86_400
_USUAL: Final = ((_DAY, 7), (7 * _DAY, 52), (31 * _DAY, 12), (92 * _DAY, 4))
"""How far apart values are at most, in seconds, and how many of them make a season."""
_UNEVEN: Final = 1.25
_MONTH: Final = (28 * _DAY, 31 * _DAY)


@final
@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """One series.

    Attributes:
        name: its group; empty where the table is one series.
        values: float64, in the order of time.
        times: datetime64[s] or numbers, ascending; None where nobody has said.
    """

    name: str
    values: Array
    times: Array | None

    def __len__(self) -> int:
        return len(self.values)

    def until(self, end: int) -> Series:
        """Its first values, and nothing of the others."""
        return Series(self.name, self.values[:end], None if self.times is None else self.times[:end])


def series_of(table: Table, target: str, time: str, group: str) -> tuple[Series, ...]:
    """The series of a table, by the names of their groups."""
    for name in filter(None, (target, time, group)):
        if name not in table.columns:
            raise InputError(f"{table.name} has no column '{name}'", f"it has {', '.join(table.columns)}")
    values = table.columns[target]
    if values.dtype.kind not in "fi":
        raise InputError(f"{table.name}: '{target}' holds no numbers", "give the column of the values as target")
    if missing_in(values).any():
        row = int(np.flatnonzero(missing_in(values))[0]) + 1
        raise InputError(f"{table.name}: '{target}' has no value in row {row}", "leave this row out, or fill it")
    times = _times(table, time) if time else None
    groups = np.array(["" if one is None else str(one) for one in table.columns[group].tolist()]) if group else None
    made = []
    for name in [""] if groups is None else sorted(set(groups.tolist())):
        rows = np.arange(len(table)) if groups is None else np.flatnonzero(groups == name)
        if times is not None:
            rows = rows[np.argsort(times[rows], kind="stable")]
            _once(table.name, name, times[rows])
        made.append(Series(name, values[rows].astype(np.float64), None if times is None else times[rows]))
    return tuple(made)


def usual_season(series: tuple[Series, ...]) -> int:
    """How many values make a season, by how far apart they are: a day of hours, 7 days, 12 months; else 1."""
    times = series[0].times
    if times is None or times.dtype.kind != "M" or len(times) < 2:
        return 1
    apart = float(np.median(np.diff(times).astype(np.int64)))
    if 0 < apart <= _DAY / 2:
        return round(_DAY / apart)
    return next((season for most, season in _USUAL if apart <= most), 1)


def uneven(series: tuple[Series, ...]) -> int:
    """How often values are farther apart than usual."""
    count = 0
    for one in series:
        if one.times is not None and len(one) > 2:
            apart = np.diff(one.times).astype(np.float64)
            count += int((apart > _UNEVEN * np.median(apart)).sum())
    return count


def later(times: Array | None, count: int) -> Array | None:
    """The next times of a series: a month on where they are months apart, else as far apart as usual."""
    if times is None or len(times) < 2:
        return None
    apart = np.diff(times)
    if times.dtype.kind == "M":
        seconds = apart.astype(np.int64)
        months = times.astype("M8[M]")
        into = times - months.astype("M8[s]")
        if _MONTH[0] <= seconds.min() <= seconds.max() <= _MONTH[1] and len(set(into.tolist())) == 1:
            return np.asarray((months[-1] + np.arange(1, count + 1)).astype("M8[s]") + into[-1])
        step = np.timedelta64(int(np.median(seconds)), "s")
        return np.asarray(times[-1] + step * np.arange(1, count + 1))
    return np.asarray(times[-1] + np.median(apart) * np.arange(1, count + 1))


CALENDAR: Final = ("month", "day of the month", "day of the week", "hour")


def calendar(times: Array) -> Array:
    """What a calendar says of these times, as ``CALENDAR`` names it; it is known of the future too."""
    days = times.astype("M8[D]")
    months = times.astype("M8[M]")
    hour = (times - days.astype("M8[s]")).astype(np.int64) / 3600
    return np.stack(
        [
            months.astype(np.int64) % 12 + 1.0,
            (days - months.astype("M8[D]")).astype(np.int64) + 1.0,
            (days.astype(np.int64) + 3) % 7 * 1.0,
            hour,
        ],
        axis=1,
    )


def _times(table: Table, name: str) -> Array:
    column = table.columns[name]
    if missing_in(column).any():
        row = int(np.flatnonzero(missing_in(column))[0]) + 1
        raise InputError(f"{table.name}: '{name}' has no time in row {row}", "leave this row out, or fill it")
    if column.dtype.kind in "fi":
        return column
    if column.dtype != object:
        raise InputError(f"{table.name}: '{name}' holds no times", "give dates as 2026-03-01 or 2026-03-01T12:00")
    return np.array([_time(text, table.name, name, row + 1) for row, text in enumerate(column.tolist())], "M8[s]")


def _time(text: Any, table: str, name: str, row: int) -> datetime:
    try:
        found = datetime.fromisoformat(text if len(text) != 7 else f"{text}-01")
    except ValueError:
        raise InputError(
            f"{table}: '{name}' is {text!r} in row {row}, which is no time", "write 2026-03-01, or 2026-03-01T12:00"
        ) from None
    return found.astimezone(UTC).replace(tzinfo=None) if found.tzinfo else found


def _once(table: str, name: str, times: Array) -> None:
    twice = np.flatnonzero(times[1:] == times[:-1])
    if len(twice):
        of = f" of '{name}'" if name else ""
        raise InputError(
            f"{table}: {len(twice)} times{of} come twice, the first is {times[twice[0]]}",
            "keep one row for each, or name the column that tells the series apart: group",
        )
