"""What ``throughline inspect`` says of a table."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from throughline.contracts.artifacts import Array
from throughline.data.columns import kind_of, missing_in
from throughline.data.inspection import told
from throughline.data.lock import lock_of_table, standing
from throughline.data.problems import Problem, Problems
from throughline.data.tables import look_at_table
from throughline.data.tracked import versions
from throughline.terminal import fields, table

_SHOWN, _LONG = 100, 24


@dataclass(frozen=True, slots=True)
class ColumnInspection:
    """One column of a table.

    Attributes:
        kind: "number", "whole number", "true or false" or "text".
        missing: in how many rows nothing is.
        distinct: how many different values there are.
        least: the smallest value, or the first text in the order of the alphabet; None where there is none.
        most: the greatest, or the last.
        mean: of numbers.
        usual: the value that is there most often, and how often that is; nothing for numbers.
    """

    name: str
    kind: str
    missing: int
    distinct: int
    least: float | int | bool | str | None
    most: float | int | bool | str | None
    mean: float | None
    usual: tuple[str, int] | None


@dataclass(frozen=True, slots=True)
class TableInspection:
    """What ``inspect`` found in a table."""

    path: Path
    name: str
    format: str
    rows: int
    columns: tuple[ColumnInspection, ...]
    sha256: str
    schema: str
    lock: str
    tracked: tuple[str, ...]
    problems: tuple[Problem, ...]

    @property
    def exit_code(self) -> int:
        """2 where something must be mended before the table can be used."""
        return 2 if any(problem.severe for problem in self.problems) else 0

    def __str__(self) -> str:
        shown = [
            (one.name, one.kind, f"{one.missing:,}", f"{one.distinct:,}", _range(one)) for one in self.columns[:_SHOWN]
        ]
        columns = table(("name", "holds", "missing", "distinct", "values"), shown)
        rest = len(self.columns) - _SHOWN
        return fields(
            [
                ("table", str(self.path)),
                ("format", self.format),
                ("rows", f"{self.rows:,}"),
                ("columns", f"{len(self.columns):,}\n{columns}" + (f"\nand {rest:,} more" if rest > 0 else "")),
                ("sha256", self.sha256),
                ("schema", self.schema),
                ("lock", self.lock),
                ("tracked", "\n".join(self.tracked)),
                ("problems", told(self.problems)),
            ]
        )


def inspect_table(path: str | Path, lock: bool = False) -> TableInspection:
    """Look at all of a table, and say what is there and what is wrong; ``lock`` writes its lock."""
    place = Path(path)
    problems = Problems()
    look = look_at_table(place, problems)
    stands = standing(place, partial(lock_of_table, look), problems, lock)
    schema = "" if look.schema is None else f"{look.schema.path}: rules for {look.schema.rules:,} columns"
    return TableInspection(
        path=place,
        name=place.name,
        format=look.format,
        rows=len(look),
        columns=tuple(_of(name, column) for name, column in look.columns.items()),
        sha256=look.sha256,
        schema=schema,
        lock=stands,
        tracked=versions(place, problems),
        problems=tuple(problems.found),
    )


def _of(name: str, column: Array) -> ColumnInspection:
    gaps = missing_in(column)
    there = column[~gaps]
    kind = kind_of(column)
    if kind == "text":
        counts = Counter(there.tolist())
        usual = max(counts.items(), key=lambda one: one[1]) if counts else None
        least, most = (min(counts), max(counts)) if counts else (None, None)
        return ColumnInspection(name, kind, int(gaps.sum()), len(counts), least, most, None, usual)
    least, most = (there.min().item(), there.max().item()) if len(there) else (None, None)
    mean = float(there.mean()) if len(there) else None
    return ColumnInspection(name, kind, int(gaps.sum()), len(np.unique(there)), least, most, mean, None)


def _range(one: ColumnInspection) -> str:
    if one.usual is not None:
        text, count = one.usual
        return f"{text[:_LONG]!r}{'...' if len(text) > _LONG else ''} {'once' if count == 1 else f'{count:,} times'}"
    if one.mean is None:
        return ""
    if one.kind == "true or false":
        return f"true in {100 * one.mean:.4g} %"
    return f"{_number(one.least)} to {_number(one.most)}, mean {one.mean:.4g}"


def _number(value: float | int | bool | str | None) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.6g}"
