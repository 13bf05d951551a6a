"""The rows of a table, parted and as numbers: what is learned from, what says when to stop, what judges.

The three never meet. Rounds of boosting are counted on rows that do not judge, or the figures would flatter; and which
rows judge does not hang on the kind of model, so that two models are measured on the same ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

import numpy as np

from throughline.contracts.artifacts import Array
from throughline.contracts.errors import InputError
from throughline.contracts.tables import Table
from throughline.data.columns import missing_in
from throughline.data.encoding import Columns
from throughline.data.splits import split
from throughline.data.tables import open_table
from throughline.files import whole_file

_FEW: Final = 20
"""Whole numbers that take no more values than this are classes, unless somebody says otherwise."""


@final
@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Some of the rows: what a model is given, and what it is to say (the number of a class, or a value)."""

    x: Array
    y: Array


@final
@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """A table, ready to be learned from.

    Attributes:
        table: the table.
        columns: what a model takes.
        labels: the classes by number; empty where numbers are estimated.
        train: what is learned from.
        stop: what says when boosting has gone on for long enough.
        val: what judges.
        judging: the table's rows that judge, with all their columns.
        shared: rows that judge and whose numbers are also among the others.
        unknown: rows that judge and hold a text that was not learned, by column.
    """

    table: Table
    columns: Columns
    labels: tuple[str, ...]
    train: Part
    stop: Part
    val: Part
    judging: Table
    shared: int
    unknown: Mapping[str, int]

    @property
    def classifies(self) -> bool:
        """Whether classes are told apart."""
        return bool(self.labels)


def read_rows(data: str, options: Any, seed: int) -> Rows:
    """Open a table and part its rows.

    Args:
        data: the table's file.
        options: target, task, group, holdout and categories.
        seed: another one parts them otherwise.
    """
    table = open_table(data, options.target)
    if options.group and options.group not in table.columns:
        raise InputError(f"{table.name} has no column '{options.group}'", f"group: one of {', '.join(table.columns)}")
    names = [name for name in table.columns if name not in (options.target, options.group)]
    names = [name for name in names if not missing_in(table.columns[name]).all()]
    if not names:
        raise InputError(f"{table.name} has nothing beside its target to learn from", "give more columns")
    if len(table) < 3:
        raise InputError(f"{table.name} has {len(table)} rows", "give enough to learn from and to judge by")
    parts = _parts(table, options, seed)
    y, labels = _targets(table.columns[options.target], options)
    _hold_to_classes(table.name, y, labels, parts)
    columns = Columns.of(table, names, parts["train"], options.categories)
    x = columns.rows(table)
    others = {row.tobytes() for name in ("train", "stop") for row in x[parts[name]]}
    train, stop, val = (Part(x[parts[name]], y[parts[name]]) for name in ("train", "stop", "val"))
    shared = sum(row.tobytes() in others for row in x[parts["val"]])
    judging = table.rows(parts["val"])
    return Rows(table, columns, labels, train, stop, val, judging, shared, columns.unknown(judging))


def write_rows(rows: Rows, path: Path) -> None:
    """The rows that judge, as a table of their own: what two models can be compared on."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrays = {
        name: pa.array(column, pa.string()) if column.dtype == object else pa.array(column, from_pandas=True)
        for name, column in rows.judging.columns.items()
    }
    with whole_file(path) as draft:
        pq.write_table(pa.table(arrays), draft)


def _parts(table: Table, options: Any, seed: int) -> Mapping[str, Array]:
    rows = [str(number) for number in range(len(table))]
    groups = [""] * len(rows)
    if options.group:
        column = table.columns[options.group]
        groups = ["" if gap else str(value) for value, gap in zip(column.tolist(), missing_in(column), strict=True)]
    rest = (1 - options.holdout) * options.holdout
    # those that judge come first: how large the others are does not move them
    return split(rows, groups, {"val": options.holdout, "stop": rest, "train": 1 - options.holdout - rest}, seed)


def _targets(column: Array, options: Any) -> tuple[Array, tuple[str, ...]]:
    if options.task == "regress" or (options.task == "auto" and not _tells_classes(column)):
        if column.dtype == object:
            raise InputError(
                f"task: regress, and the target '{options.target}' is text", "give a column of numbers, or classify"
            )
        return column.astype(np.float64), ()
    known = sorted(set(column.tolist()))
    if len(known) < 2:
        raise InputError(
            f"the target '{options.target}' is {known[0]!r} in every row", "give a column that has something to tell"
        )
    number = {value: at for at, value in enumerate(known)}
    return np.array([number[value] for value in column.tolist()], np.int64), tuple(map(_name, known))


def _tells_classes(column: Array) -> bool:
    return column.dtype.kind in "Ob" or (column.dtype.kind == "i" and len(np.unique(column)) <= _FEW)


def _hold_to_classes(name: str, y: Array, labels: tuple[str, ...], parts: Mapping[str, Array]) -> None:
    for number, label in enumerate(labels):
        if not (y[parts["train"]] == number).any():
            count = int((y == number).sum())
            raise InputError(
                f"{name}: none of the {count} rows of class '{label}' is among those that are learned from",
                "give more rows of it, leave it out, or take another seed; a number to be estimated is task: regress",
            )


def _name(value: Any) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
