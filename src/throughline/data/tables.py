"""Open a table, whatever it is: CSV, Parquet or JSON lines, recognised by its content, checked whole, named by hash."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from throughline.contracts.artifacts import Array
from throughline.contracts.errors import InputError, nearest
from throughline.contracts.tables import Table
from throughline.data.columns import missing_in
from throughline.data.marks import feed
from throughline.data.problems import Problems
from throughline.data.table_files import SUFFIXES, Read, read_table
from throughline.data.table_schema import Schema, read_schema, schema_path


@dataclass(frozen=True, slots=True, eq=False)
class TableLook:
    """A table, looked at from end to end.

    Attributes:
        path: where it is.
        format: how it lies on the disk.
        columns: by name, in the file's order.
        schema: what somebody has written that it must be; None where nobody has.
        sha256: of all that is in it, however it is written down.
    """

    path: Path
    format: str
    columns: Mapping[str, Array]
    schema: Schema | None
    sha256: str

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))


def open_table(path: str | Path, target: str | None = None) -> Table:
    """Rows with named columns, from a CSV, Parquet or JSON lines file.

    A schema that lies beside it (``sales.schema.yaml`` for ``sales.csv``) must hold.

    Args:
        path: the file.
        target: the column that a model is to tell; it must have a value in every row.
    """
    problems = Problems()
    place = Path(path)
    look = look_at_table(place, problems)
    if target is not None:
        if target not in look.columns:
            raise InputError(f"{place}: there is no column '{target}'", nearest(target, look.columns))
        if len(gaps := np.flatnonzero(missing_in(look.columns[target]))):
            says = f"the target column '{target}' has no value in {len(gaps):,} of {len(look):,} rows"
            raise InputError(f"{place}: {says}; the first is row {gaps[0] + 1:,}", "leave these rows out, or fill them")
    problems.refuse(path)
    return Table(place.name, look.columns, target, look.sha256)


def is_table(path: Path) -> bool:
    """Whether this is a file that is called as tables are."""
    return path.suffix.lower() in SUFFIXES and path.is_file()


def look_at_table(path: Path, problems: Problems) -> TableLook:
    """Read a table and hold its schema to it; what is wrong in it is added to the problems."""
    schema = read_schema(path)
    read = read_table(path, () if schema is None else schema.texts)
    for name, fault in read.faults.items():
        line, where = _place(read, [fault.row])[0]
        says = f"column '{name}'{where}: {fault.says}"
        if read.format == "csv":
            says += f" (where it is text, say so in {schema_path(path).name}: {name}: {{dtype: str}})"
        problems.add(fault.kind, path, says, line=line, severe=True)
    for name, column in read.columns.items():
        if name not in read.faults and missing_in(column).all():
            problems.add("column without values", path, f"there is nothing in column '{name}'")
    if schema is not None and not read.faults:
        _hold(schema, read, path, problems)
    return TableLook(path, read.format, read.columns, schema, table_hash(read.columns))


def table_hash(columns: Mapping[str, Array]) -> str:
    """Names and values in one hash; in which format they are written is not in it."""
    digest = hashlib.sha256()
    feed(digest, "throughline table 1", str(len(columns)))
    for name, column in columns.items():
        feed(digest, name, column.dtype.kind)
        if column.dtype.kind == "O":
            # each text once, in the order of their first rows: one long text in a million rows costs one
            codes: dict[str | None, int] = {}
            of_row = np.fromiter((codes.setdefault(value, len(codes)) for value in column), "<i8", len(column))
            texts = [b"-" if text is None else b"=" + text.encode("utf-8", "surrogateescape") for text in codes]
            feed(digest, str(len(texts)), *texts, of_row.tobytes())
        else:
            known = np.where(np.isnan(column), np.nan, column) if column.dtype.kind == "f" else column
            feed(digest, known.astype(known.dtype.newbyteorder("<")).tobytes())
    return digest.hexdigest()


def _hold(schema: Schema, read: Read, path: Path, problems: Problems) -> None:
    violations = schema.violations(read.columns)
    rows = sorted({one.row for one in violations if one.row is not None})
    places = dict(zip(rows, _place(read, rows), strict=True))
    for one in violations:
        line, where = (None, "") if one.row is None else places[one.row]
        problems.add("schema", path, f"{one.says}{where}", line=line, severe=True)


def _place(read: Read, rows: Sequence[int]) -> list[tuple[int | None, str]]:
    """The line of each row; where the format has no lines, a few words for it."""
    if read.lines is None:
        return [(None, f", row {row + 1:,}") for row in rows]
    return [(line, "") for line in read.lines(rows)]
