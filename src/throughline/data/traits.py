"""What else is known of the pictures of a set, from a table beside it: ``traits.csv``, with a column ``file``."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping
from pathlib import Path

from throughline.contracts.errors import InputError
from throughline.data.bounded import read_text
from throughline.data.problems import Problems

_MOST_BYTES = 1 << 28


def read_traits(folder: Path) -> Mapping[str, Mapping[str, str | float]]:
    """The columns by what is in ``file``: a picture's name in its set, or its path from this folder on."""
    path = folder / "traits.csv"
    if not path.is_file():
        return {}
    traits: dict[str, Mapping[str, str | float]] = {}
    reader = csv.reader(io.StringIO(read_text(path, _MOST_BYTES), newline=""))
    try:
        head = next(reader, [])
        if "file" not in head or len(set(head)) != len(head):
            raise InputError(f"{path}:1: its columns are {head!r:.200}", "one is called 'file', and no two are alike")
        for row in reader:
            if not row:
                continue
            if len(row) != len(head):
                says = f"{path}:{reader.line_num}: {len(row)} cells under {len(head)} columns"
                raise InputError(says, "give every row a cell for every column")
            cells = dict(zip(head, row, strict=True))
            name = cells.pop("file")
            if name in traits:
                raise InputError(f"{path}:{reader.line_num}: '{name[:200]}' is there twice", "keep one of them")
            traits[name] = {column: _value(cell) for column, cell in cells.items() if cell != ""}
    except csv.Error as error:
        raise InputError(f"{path}:{reader.line_num}: {error}", "save it as plain CSV") from None
    return traits


def unmatched(folder: Path, traits: Mapping[str, object], names: set[str], problems: Problems) -> None:
    """Note the rows that are about no picture of the set."""
    for name in traits:
        if name not in names:
            problems.add("traits", folder / "traits.csv", f"there is no picture '{name[:200]}'")


def _value(cell: str) -> str | float:
    try:
        number = float(cell)
    except ValueError:
        return cell
    return number if math.isfinite(number) else cell
