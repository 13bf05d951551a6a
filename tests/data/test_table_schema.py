"""A schema beside a table holds for every row of it; what does not is named by its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from throughline.contracts.errors import InputError
from throughline.data.problems import Problems
from throughline.data.tables import look_at_table, open_table

CSV = 'shop,price,code\nOslo,10.5,1\n"Bergen\ncentre",-2,2\nOslo,,3\nRome,11,x\n'
YAML = """\
columns:
  shop:
    dtype: str
    checks:
      isin: [Oslo, Rome]
  price:
    dtype: float64
    nullable: false
    checks:
      in_range: {min_value: 0, max_value: 100}
  code:
    dtype: str
    unique: true
strict: true
"""


@pytest.fixture
def sales(tmp_path: Path) -> Path:
    (tmp_path / "sales.csv").write_text(CSV)
    (tmp_path / "sales.schema.yaml").write_text(YAML)
    return tmp_path / "sales.csv"


def found(path: Path) -> list[tuple[int | None, str]]:
    problems = Problems()
    look_at_table(path, problems)
    assert all(problem.kind == "schema" and problem.severe for problem in problems.found)
    return [(problem.line, problem.says) for problem in problems.found]


def test_each_failing_row_is_named_by_its_line(sales: Path) -> None:
    assert found(sales) == [
        (3, "column 'shop': 'Bergen\\ncentre' fails isin(['Oslo', 'Rome'])"),
        (3, "column 'price': -2.0 fails in_range(0, 100)"),
        (5, "column 'price' has no value"),
    ]
    with pytest.raises(InputError, match="3 problems that must be mended first"):
        open_table(sales)


def test_a_table_that_holds_is_opened(sales: Path) -> None:
    sales.write_text("shop,price,code\nOslo,10.5,1\nRome,3,2\n")
    table = open_table(sales)
    assert table.columns["code"].tolist() == ["1", "2"], "the schema says that it is text"


def test_columns_that_are_missing_or_unknown_or_of_another_type(sales: Path) -> None:
    sales.write_text("shop,price,colour\nOslo,cheap,1\nRome,dear,2\n")
    assert found(sales) == [
        (None, "the column 'colour' is not one that the schema knows"),
        (None, "the column 'code' is missing"),
        (2, "column 'price': 'cheap' fails dtype('float64')"),
        (3, "column 'price': 'dear' fails dtype('float64')"),
    ]


@pytest.mark.parametrize(
    ("was", "now", "says"),
    [
        ("nullable", "nulable", "8: there is no key or check 'nulable'"),
        ("in_range", "in_rang", "10: there is no check 'in_rang'"),
        ("in_range", "__init__", "10: there is no check '__init__'"),
        ("    checks:\n      in_range", "    raise_warning: true\n    in_range", "9: there is no key or check 'raise"),
        ("max_value: 100", "raise_warning: true", "10: the option 'raise_warning' is not taken here"),
        ("    dtype: float64", "    ge: 0", "7: 'ge' beside `checks:` is never applied"),
        ("strict: true", "drop_invalid_rows: true", "14: there is no key 'drop_invalid_rows'"),
        ("strict", "strickt", "14: there is no key 'strickt'"),
        ("dtype: float64", "dtype: flaot", "pandera cannot read it"),
        ("[Oslo, Rome]", "!!python/object/apply:os.system ['true']", "asks for more than data"),
        ("columns", "metadata", "it names no columns"),
    ],
)
def test_a_schema_that_is_wrong_is_never_passed_over(sales: Path, was: str, now: str, says: str) -> None:
    schema = sales.with_name("sales.schema.yaml")
    schema.write_text(YAML.replace(was, now))
    with pytest.raises(InputError) as caught:
        open_table(sales)
    assert str(schema) in caught.value.problem
    assert says in caught.value.problem


def test_a_schema_that_pandera_wrote_is_read(sales: Path) -> None:
    import pandera.pandas as pa

    schema = pa.DataFrameSchema(
        {
            "shop": pa.Column(str, pa.Check.isin(["Oslo", "Rome", "Bergen\ncentre"])),
            "price": pa.Column(float, [pa.Check.ge(-5), pa.Check.lt(11)], nullable=True),
            "code": pa.Column(str, pa.Check.str_matches("^[0-9]$")),
        }
    )
    from pandera.io.pandas_io import to_yaml

    sales.with_name("sales.schema.yaml").write_text(to_yaml(schema))
    assert found(sales) == [
        (6, "column 'price': 11.0 fails less_than(11)"),
        (6, "column 'code': 'x' fails str_matches('^[0-9]$')"),
    ]
