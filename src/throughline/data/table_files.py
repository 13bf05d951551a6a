"""Tables from files that nobody vouches for: CSV, Parquet and JSON lines, what is wrong said with its line.

Apache Arrow does the reading. Where it stops, the file is gone through again, slowly, for the line and
the reason: "CSV parse error" helps nobody who has a million lines.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from throughline.contracts.artifacts import Array
from throughline.contracts.errors import InputError, MissingExtra
from throughline.data.bounded import no_number, once
from throughline.data.columns import Fault, from_arrow, from_text, from_values

MOST_BYTES = 1 << 31
MOST_COLUMNS, MOST_CELLS, MOST_ROW = 10_000, 250_000_000, 1 << 26
_MOST_UNPACKED = 1 << 33

SUFFIXES = frozenset({".csv", ".tsv", ".parquet", ".pq", ".jsonl", ".ndjson"})


@dataclass(frozen=True, slots=True, eq=False)
class Read:
    """What a file holds.

    Attributes:
        format: "csv", "parquet" or "json lines".
        columns: by name, in the file's order.
        faults: of the columns that cannot be used as they are.
        lines: gives the lines on which these rows begin (numbers ascending); None where the format has no lines.
    """

    format: str
    columns: dict[str, Array]
    faults: dict[str, Fault]
    lines: Callable[[Sequence[int]], list[int]] | None


def read_table(path: Path, as_text: Collection[str] = ()) -> Read:
    """Read a table, whatever its ending says; an ``InputError`` where nothing can be made of it.

    Args:
        path: the file.
        as_text: the columns that are text, whatever they look like.
    """
    begins = _begin(path)
    read = _csv
    if begins.startswith(b"PAR1"):
        read = _parquet
    elif begins.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
        read = _json_lines
    table = read(path, as_text)
    if not len(next(iter(table.columns.values()))):
        raise InputError(f"{path}: there is no row in it", "give a table with at least one row under its column names")
    return table


def _begin(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            begins = file.read(4096)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path} cannot be read: {reason}", "check the path and the permissions") from None
    if size > MOST_BYTES:
        raise InputError(f"{path}: it has {size:,} bytes; at most {MOST_BYTES:,} are read", "give a part of it")
    if not begins.strip(b"\xef\xbb\xbf \t\r\n"):
        raise InputError(f"{path}: it is empty", "give a table: column names in the first line, and rows under them")
    if begins.startswith(b"PK"):
        raise InputError(f"{path}: it is a workbook or an archive", "save the sheet as CSV, or unpack it first")
    if begins.startswith((b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"BZh", b"\xfd7zXZ")):
        raise InputError(f"{path}: it is compressed", "unpack it first")
    if begins.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InputError(f"{path}: it is text in UTF-16", "save it as UTF-8")
    if begins.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"["):
        raise InputError(f"{path}: it is one JSON list", "write JSON lines: one object a line, without commas between")
    if b"\0" in begins and not begins.startswith(b"PAR1"):
        raise InputError(f"{path}: it is no table in any format known here", "give CSV, Parquet or JSON lines")
    return begins


def _arrow() -> Any:
    try:
        import pyarrow
    except ImportError:
        raise MissingExtra("pyarrow", "reading tables", "train") from None
    return pyarrow


def _csv(path: Path, as_text: Collection[str]) -> Read:
    pa = _arrow()
    from pyarrow import csv as arrow_csv

    head, delimiter = _head(path)
    names = _named([name.strip() for name in head], f"{path}:1")
    places = [str(number) for number in range(len(names))]
    try:
        with path.open("rb") as file:  # a path that ends in .gz would be unpacked, however far it goes
            table = arrow_csv.read_csv(
                file,
                arrow_csv.ReadOptions(block_size=MOST_ROW, column_names=places),
                arrow_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
                arrow_csv.ConvertOptions(column_types=dict.fromkeys(places, pa.string())),
            ).slice(1)
    except (pa.ArrowInvalid, pa.ArrowKeyError, pa.ArrowCapacityError, OSError) as error:
        raise _csv_fault(path, delimiter, len(head), str(error)) from None
    _bound(path, table.num_rows, len(names))
    if _quotes(path) % 2 and (fault := _open_quote(path, delimiter)) is not None:
        raise fault
    columns: dict[str, Array] = {}
    faults: dict[str, Fault] = {}
    for at, name in enumerate(names):
        columns[name], slip = from_text(_whole(table.column(at)), name in as_text)
        if slip is not None:
            faults[name] = slip

    def lines(rows: Sequence[int]) -> list[int]:
        wanted, found = iter(rows), []
        row = next(wanted, None)
        for number, (line, _) in enumerate(_records(path, delimiter), -1):
            while row == number:
                found.append(line)
                row = next(wanted, None)
            if row is None:
                break
        return found

    return Read("csv", columns, faults, lines)


def _head(path: Path) -> tuple[list[str], str]:
    """The column names as they are written, and what parts them."""
    try:
        with path.open("rb") as file:
            line = file.readline(1 << 20).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{path}:1: it is no text in UTF-8", "save it as UTF-8") from None
    delimiter = max(",;\t|", key=line.count)
    try:
        _, head = next(_records(path, delimiter), (1, []))
    except UnicodeDecodeError:
        raise _not_text(path) from None
    except csv.Error as error:
        raise InputError(f"{path}:1: the column names cannot be read: {error}", "save it as plain CSV") from None
    counted = [name.strip() for name in head] == [str(number) for number in range(len(head))]  # pandas names them so
    if len(head) > 1 and not counted and all(_is_number(name) for name in head):
        raise InputError(f"{path}:1: '{line.strip()[:80]}' are numbers and no names", "write column names above them")
    return head, delimiter


def _records(path: Path, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Each record with the line on which it begins; empty lines are none."""
    csv.field_size_limit(MOST_ROW)  # as much as is read above; less would be a fault where there is none
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, delimiter=delimiter)
        begins = 1
        for record in reader:
            if record:
                yield begins, record
            begins = reader.line_num + 1


def _csv_fault(path: Path, delimiter: str, width: int, says: str) -> InputError:
    line = 0
    try:
        for begins, record in _records(path, delimiter):
            line = begins
            if len(record) != width:
                cells = "one cell" if len(record) == 1 else f"{len(record)} cells"
                fix = "give every row a cell for every column; put quotes around text with separators in it"
                return InputError(f"{path}:{line}: {cells} under {width} columns", fix)
            if any("\0" in cell for cell in record):
                return InputError(f"{path}:{line}: it holds a NUL character", "remove it")
    except UnicodeDecodeError:
        return _not_text(path)
    except csv.Error as error:
        return InputError(f"{path}:{line + 1}: {error}", "look for a quote that is opened and not closed")
    return InputError(f"{path}: {says.splitlines()[0][:200]}", "save it as plain CSV")


def _quotes(path: Path) -> int:
    with path.open("rb") as file:
        return sum(data.count(b'"') for data in iter(lambda: file.read(1 << 20), b""))


def _open_quote(path: Path, delimiter: str) -> InputError | None:
    """The line whose quote is never closed: all that comes after it became one cell."""
    line = 1
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, delimiter=delimiter, strict=True)
        try:
            for _ in reader:
                line = reader.line_num + 1
        except csv.Error:
            return InputError(f"{path}:{line}: a quote is opened and never closed", "close it, or remove it")
    return None


def _not_text(path: Path) -> InputError:
    with path.open("rb") as file:
        for number, data in enumerate(file, 1):
            try:
                data.decode("utf-8")
            except UnicodeDecodeError:
                return InputError(f"{path}:{number}: it is no text in UTF-8", "save it as UTF-8")
    return InputError(f"{path}: it is no text in UTF-8", "save it as UTF-8")


def _parquet(path: Path, as_text: Collection[str]) -> Read:
    pa = _arrow()
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
        about, schema = file.metadata, file.schema_arrow
        names = _named(list(schema.names), str(path))
        _bound(path, about.num_rows, len(names))
        unpacked = sum(about.row_group(at).total_byte_size for at in range(about.num_row_groups))
        if unpacked > _MOST_UNPACKED:
            raise InputError(f"{path}: it unpacks to {unpacked:,} bytes", f"at most {_MOST_UNPACKED:,} are read")
        texts = [field.name for field in schema if pa.types.is_string(field.type)]
        # texts stay coded, so that one long text in a million rows is one long text
        table = pq.ParquetFile(path, read_dictionary=texts).read()
        columns: dict[str, Array] = {}
        faults: dict[str, Fault] = {}
        for name in names:
            read = from_arrow(_whole(table.column(name)))
            if read is None:
                raise _nested(str(path), name, str(table.column(name).type))
            columns[name], fault = read
            if fault is not None:
                faults[name] = fault
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        reason = (str(error).splitlines() or ["it is damaged"])[0][:200]
        raise InputError(f"{path}: it cannot be read as Parquet: {reason}", "write it again") from None
    return Read("parquet", columns, faults, None)


def _json_lines(path: Path, as_text: Collection[str]) -> Read:
    known: dict[str, list[Any]] = {}
    at: list[int] = []
    with path.open("rb") as file:
        for number, data in enumerate(iter(lambda: file.readline(MOST_ROW + 1), b""), 1):
            if len(data) > MOST_ROW:
                raise InputError(f"{path}:{number}: a line of more than {MOST_ROW:,} bytes", "write one object a line")
            if not data.strip(b"\xef\xbb\xbf \t\r\n"):
                continue
            row = _object(data, f"{path}:{number}")
            for name in row:
                if name not in known:
                    known[name] = [None] * len(at)
            for name, values in known.items():
                values.append(row.get(name))
            at.append(number)
            _bound(path, len(at), len(known))
    columns: dict[str, Array] = {}
    faults: dict[str, Fault] = {}
    for name in _named(list(known), str(path)):
        read = from_values(known[name])
        if read is None:
            line, value = next(one for one in zip(at, known[name], strict=True) if isinstance(one[1], dict | list))
            raise _nested(f"{path}:{line}", name, "a list" if isinstance(value, list) else "an object")
        columns[name], fault = read
        if fault is not None:
            faults[name] = fault
    return Read("json lines", columns, faults, lambda rows: [at[row] for row in rows])


def _object(data: bytes, where: str) -> dict[str, Any]:
    try:
        row = json.loads(data.decode("utf-8-sig"), object_pairs_hook=once, parse_constant=no_number)
    except UnicodeDecodeError:
        raise InputError(f"{where}: it is no text in UTF-8", "save it as UTF-8") from None
    except json.JSONDecodeError as error:
        raise InputError(f"{where}: it is no JSON: {error.msg}", "write one whole object a line") from None
    except (ValueError, RecursionError) as error:
        reason = "nested too deep" if isinstance(error, RecursionError) else str(error).partition(";")[0]
        raise InputError(f"{where}: {reason}", "mend this line") from None
    if not isinstance(row, dict):
        raise InputError(f"{where}: it is no object", 'write one object a line: {"age": 41, "city": "Oslo"}')
    return row


def _named(names: list[str], where: str) -> list[str]:
    """The names, once they can be told apart."""
    if len(names) > MOST_COLUMNS:
        raise InputError(f"{where}: {len(names):,} columns", f"at most {MOST_COLUMNS:,} are read")
    first: dict[str, int] = {}
    for number, name in enumerate(names, 1):
        if not name:
            fix = "name it, or leave it out (to_csv(index=False) where pandas wrote it)"
            raise InputError(f"{where}: column {number} of {len(names)} has no name", fix)
        if (before := first.setdefault(name, number)) != number:
            raise InputError(f"{where}: columns {before} and {number} are both called '{name[:80]}'", "rename one")
    if not names:
        raise InputError(f"{where}: it has no columns", "give a table with at least one")
    return names


def _bound(path: Path, rows: int, columns: int) -> None:
    if rows * columns > MOST_CELLS:
        raise InputError(f"{path}: {rows:,} rows of {columns:,} columns", f"at most {MOST_CELLS:,} cells are read")
    if columns > MOST_COLUMNS:
        raise InputError(f"{path}: {columns:,} columns", f"at most {MOST_COLUMNS:,} are read")


def _nested(where: str, name: str, kind: str) -> InputError:
    return InputError(
        f"{where}: the column '{name[:80]}' holds {kind}", "give columns of numbers, text, or true and false"
    )


def _whole(column: Any) -> Any:
    """A column in one piece."""
    whole = column.combine_chunks()
    return whole.combine_chunks() if hasattr(whole, "combine_chunks") else whole


def _is_number(text: str) -> bool:
    try:
        return bool(np.isfinite(float(text)))
    except ValueError:
        return False
