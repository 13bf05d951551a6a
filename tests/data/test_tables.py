"""Tables are read whole and alike from every format, and what is wrong with one is said with its line."""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from throughline.contracts.errors import InputError, MissingExtra
from throughline.data import table_files
from throughline.data.tables import open_table

ROWS: dict[str, list[Any]] = {
    "age": [41, 7, -3],
    "weight": [70.5, None, 3e-2],
    "well": [True, False, True],
    "city": ["Oslo", None, 'a "b", c\nd'],
    "place": ["59.9,10.7", "41.9,12.5", "60.4,5.3"],
    "code": ["007", "01", "1"],
    "visits": [3, None, 5],
    "number": ["9223372036854775808", "1", "2"],
    "empty": [None, None, None],
}


def csv_cell(value: Any) -> str:
    if value is None:
        return ""
    return '"' + value.replace('"', '""') + '"' if isinstance(value, str) else str(value)


def write(path: Path, columns: dict[str, list[Any]]) -> Path:
    if path.suffix == ".parquet":
        pq.write_table(pa.table(columns), path)
    elif path.suffix == ".jsonl":
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        path.write_text("\n".join(map(json.dumps, rows)))
    else:
        rows = [",".join(map(csv_cell, row)) for row in zip(*columns.values(), strict=True)]
        path.write_text("\n".join([",".join(columns), *rows]) + "\n")
    return path


@pytest.mark.parametrize("ending", ["csv", "parquet", "jsonl"])
def test_a_table_is_the_same_from_every_format(tmp_path: Path, ending: str) -> None:
    table = open_table(write(tmp_path / f"t.{ending}", ROWS), target="age")
    assert (table.name, table.target, len(table)) == (f"t.{ending}", "age", 3)
    kinds = {name: column.dtype.kind for name, column in table.columns.items()}
    assert list(kinds) == list(ROWS)
    assert "".join(kinds.values()) == "ifbOOOfOf"
    for name, values in ROWS.items():
        column = table.columns[name].tolist()
        assert [None if value != value else value for value in column] == values
    assert table.sha256 == open_table(write(tmp_path / "again.csv", ROWS)).sha256
    other = {**ROWS, "age": [41, 7, -4]}
    assert table.sha256 != open_table(write(tmp_path / f"other.{ending}", other)).sha256


cells = st.one_of(
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=3, max_size=3),
    st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=3, max_size=3),
    st.lists(st.booleans(), min_size=3, max_size=3),
    st.lists(st.text("abc äß漢\"',;\n\t", min_size=1).map(lambda text: f"x{text}y"), min_size=3, max_size=3),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(cells, min_size=1, max_size=4))
def test_what_is_written_is_what_is_read(tmp_path_factory: pytest.TempPathFactory, values: list[list[Any]]) -> None:
    columns = {f"c{number}": column for number, column in enumerate(values)}
    path = write(tmp_path_factory.getbasetemp() / "t.csv", columns)
    table = open_table(path)
    assert {name: column.tolist() for name, column in table.columns.items()} == columns


@pytest.mark.parametrize("between", [";", "\t", "|"])
def test_columns_may_be_parted_otherwise(tmp_path: Path, between: str) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(f"\ufeffa{between} b\r\n1{between}x\r\n\r\n2{between}y\r\n".encode())
    table = open_table(path)
    assert {name: column.tolist() for name, column in table.columns.items()} == {"a": [1, 2], "b": ["x", "y"]}


def test_names_may_be_a_count_from_0(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("0,1,2\n5,6,7\n")
    assert list(open_table(tmp_path / "t.csv").columns) == ["0", "1", "2"]


NUMBERS = "n\n" + "1\n" * 20

FAULTS = {
    "nothing": (b"", "t.csv: it is empty"),
    "no rows": (b"a,b\n", "there is no row in it"),
    "a row too short": (b'a,b\n1,"x\ny"\n\n3\n', "t.csv:5: one cell under 2 columns"),
    "a row too long": (b"a,b\n1,2\n3,4,5\n", "t.csv:3: 3 cells under 2 columns"),
    "a name twice": (b"a,b,a\n1,2,3\n", "t.csv:1: columns 1 and 3 are both called 'a'"),
    "no name": (b",b\n0,2\n", "t.csv:1: column 1 of 2 has no name"),
    "no names": (b"5.1,3.5\n4.9,3.0\n", "t.csv:1: '5.1,3.5' are numbers and no names"),
    "an open quote": (b'a,b\n1,2\n3,"4\n5,6\n', "t.csv:3: a quote is opened and never closed"),
    "a slip": (NUMBERS.encode() + b"l\n" + b"2\n", "t.csv:22: column 'n': one of its 22 values is no number"),
    "endless": (b"n\n1\n2\n-inf\n", "t.csv:4: column 'n': one of its 3 values is no number; the first is '-inf'"),
    "too large a number": (b"n\n1.5\n1e999\n", "t.csv:3: column 'n': inf is no number"),
    "decimal commas": (b"a;b\n1;1,5\n2;-0,25\n", "t.csv:2: column 'b': '1,5' has a comma in it"),
    "both": (b"a;b\n1;1.234,5\n2;1.000,25\n", "t.csv:2: column 'b': '1.234,5' has a comma in it"),
    "thousands": (b'a,b\n1,5\n2,"1,200.5"\n', "t.csv:3: column 'b': '1,200.5' has a comma in it"),
    "Latin": ("a,b\n1,2\n3,\xe9\n".encode("latin1"), "t.csv:3: it is no text in UTF-8"),
    "Latin names": ("\xe9,b\n1,2\n".encode("latin1"), "t.csv:1: it is no text in UTF-8"),
    "UTF-16": ("a,b\n1,2\n".encode("utf-16"), "it is text in UTF-16"),
    "compressed": (gzip.compress(b"a,b\n1,2\n"), "it is compressed"),
    "a workbook": (b"PK\x03\x04rest", "it is a workbook or an archive"),
    "a picture": (b"\x89PNG\r\n\x1a\n\0\0", "it is no table in any format known here"),
    "a NUL": (b"a,b\n" + b"1,2\n" * 2000 + b"1,\0\n1\n", "t.csv:2002: it holds a NUL character"),
    "one JSON list": (b'[{"a": 1}]', "it is one JSON list"),
    "half an object": (b'{"a": 1}\n\n{"a": 2\n', "t.csv:3: it is no JSON"),
    "no object": (b'{"a": 1}\n[2]\n', "t.csv:2: it is no object"),
    "a name twice in JSON": (b'{"a": 1}\n{"a": 1, "a": 2}\n', "t.csv:2: 'a' is there twice in one object"),
    "NaN in JSON": (b'{"a": NaN}\n', "t.csv:1: it holds NaN"),
    "nested": (b'{"a": 1}\n{"a": {"b": 2}}\n', "t.csv:2: the column 'a' holds an object"),
    "deep": (b'{"a": ' + b"[" * 100_000, "t.csv:1: nested too deep"),
    "mixed": (b'{"a": 1}\n{"a": 2}\n{"a": "3"}\n', "t.csv:3: column 'a': '3' is text; 2 of its values are numbers"),
    "damaged Parquet": (b"PAR1" + b"x" * 40, "it cannot be read as Parquet"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_wrong_is_said_with_its_line(tmp_path: Path, fault: str) -> None:
    data, says = FAULTS[fault]
    (tmp_path / "t.csv").write_bytes(data)
    with pytest.raises(InputError) as caught:
        open_table(tmp_path / "t.csv")
    assert says in caught.value.problem
    assert caught.value.fix


def test_what_looks_like_numbers_is_text_where_somebody_says_so(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(NUMBERS + "1b\n")
    with pytest.raises(InputError, match=r"say so in t\.schema\.yaml: n: \{dtype: str\}"):
        open_table(path)
    (tmp_path / "t.schema.yaml").write_text("columns:\n  n: {dtype: str}\n")
    assert set(open_table(path).columns["n"]) == {"1", "1b"}


@pytest.mark.parametrize("package", ["pyarrow", "pandera"])
def test_a_package_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    (tmp_path / "t.csv").write_text("n\n1\n")
    (tmp_path / "t.schema.yaml").write_text("columns:\n  n: {dtype: int64}\n")
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtra, match=f"needs {package}, which is not installed"):
        open_table(tmp_path / "t.csv")


def test_a_long_text_is_no_fault(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b\n1," + "x" * 500_000 + "\n2,y\n3\n")
    with pytest.raises(InputError, match=r"t\.csv:4: one cell under 2 columns"):
        open_table(path)


pieces = st.sampled_from(
    [
        b"a,b",
        b"1",
        b"2.5",
        b",",
        b"\n",
        b"\r\n",
        b'"',
        b";",
        b"\t",
        b"x",
        b"\xe9",
        b"\0",
        b" ",
        b'{"a": 1}',
        b"{",
        b"nan",
    ]
)


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.binary(max_size=60), st.lists(pieces, max_size=24).map(b"".join)))
def test_whatever_a_file_holds_it_is_a_table_or_one_error(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes(data)
    try:
        table = open_table(path)
    except InputError:
        return
    assert len({len(column) for column in table.columns.values()}) == 1
    assert all(column.dtype.kind in "fibO" for column in table.columns.values())


def test_a_target_that_is_not_there_or_has_gaps(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", ROWS)
    with pytest.raises(InputError, match="no column 'wieght'") as caught:
        open_table(path, "wieght")
    assert "did you mean 'weight'?" in caught.value.fix
    with pytest.raises(InputError, match="'weight' has no value in 1 of 3 rows; the first is row 2"):
        open_table(path, "weight")


def test_lists_in_parquet_are_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [[1, 2], [3]]}), tmp_path / "t.parquet")
    with pytest.raises(InputError, match="the column 'a' holds list"):
        open_table(tmp_path / "t.parquet")


def test_text_in_parquet_that_is_none_is_refused(tmp_path: Path) -> None:
    text = pa.array([b"\xff\xfe"]).cast(pa.string(), safe=False)
    pq.write_table(pa.table({"a": text}), tmp_path / "t.parquet")
    with pytest.raises(InputError, match="it cannot be read as Parquet"):
        open_table(tmp_path / "t.parquet")


def test_a_long_text_in_many_rows_of_a_small_parquet_file_is_kept_once(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    coded = pa.DictionaryArray.from_arrays(pa.array(np.zeros(20_000, np.int32)), pa.array(["x" * 1_000_000]))
    pq.write_table(pa.table({"a": coded}), path)  # 20 GB, were each text written out
    column = open_table(path).columns["a"]
    assert len(column) == 20_000
    assert len({id(value) for value in column}) == 1


@pytest.mark.parametrize(
    ("limit", "most", "says"),
    [("MOST_BYTES", 10, "at most 10 are read"), ("MOST_CELLS", 3, "at most 3 cells"), ("MOST_COLUMNS", 1, "at most 1")],
)
def test_nothing_is_read_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, most: int, says: str
) -> None:
    monkeypatch.setattr(table_files, limit, most)
    for ending in ("csv", "parquet", "jsonl"):
        with pytest.raises(InputError) as caught:
            open_table(write(tmp_path / f"t.{ending}", {"a": [1, 2, 3], "b": [4, 5, 6]}))
        assert says in str(caught.value)
