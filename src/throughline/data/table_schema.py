"""What somebody has written that a table must be, beside it: a pandera schema in YAML, held to every row.

pandera reads such files itself, and takes a key with a typo for none at all. A rule that is never
applied is worse than no rule, so every key is looked at first; what would soften a rule in silence
(dropping the rows that fail, filling gaps, warnings) is not taken, and only checks that pandera
ships are called.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from throughline.contracts.artifacts import Array
from throughline.contracts.errors import InputError, MissingExtra, nearest
from throughline.data.bounded import Written, read_text, read_yaml

_MOST_BYTES = 1 << 20
_WHOLE = frozenset({
    "schema_type", "version", "api", "columns", "checks", "index", "multiindex", "dtype", "coerce", "strict", "name",
    "ordered", "unique", "report_duplicates", "unique_column_names", "title", "description", "metadata",
    "dataframe_library",
})  # fmt: skip
_COLUMN = frozenset({
    "title", "description", "dtype", "nullable", "checks", "name", "unique", "coerce", "required", "regex",
    "report_duplicates",
})  # fmt: skip
_CHECKS = frozenset({
    "equal_to", "eq", "not_equal_to", "ne", "greater_than", "gt", "greater_than_or_equal_to", "ge", "less_than", "lt",
    "less_than_or_equal_to", "le", "in_range", "between", "isin", "notin", "str_matches", "str_contains",
    "str_startswith", "str_endswith", "str_length", "unique_values_eq",
})  # fmt: skip
_OPTIONS = frozenset({"check_name", "ignore_na"})
_SOFTENING = frozenset({"raise_warning", "n_failure_cases", "groupby", "groups", "error", "name"})
"""What would let a check find something and say nothing of it, or of another thing."""
_TEXT = frozenset({"str", "string", "object", "category"})


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that a schema does not allow: in a row (from 0), or, where that is None, in the table as a whole."""

    row: int | None
    says: str


@dataclass(frozen=True, slots=True, eq=False)
class Schema:
    """A schema, read and found sound.

    Attributes:
        path: where it is.
        rules: for how many columns it has any.
        texts: the columns that it says are text.
        schema: pandera's own.
    """

    path: Path
    rules: int
    texts: frozenset[str]
    schema: Any

    def violations(self, columns: Mapping[str, Array]) -> list[Violation]:
        """What is in these columns against it, ordered by row."""
        import pandas as pd
        from pandera.errors import SchemaErrors

        frame = pd.DataFrame(dict(columns), copy=False)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self.schema.validate(frame, lazy=True)
        except SchemaErrors as errors:
            cases = errors.failure_cases.to_dict("records")
            mistyped = {case["column"] for case in cases if str(case["check"]).startswith("dtype(")}
            # a check that stumbles over the type says nothing that the type has not said
            found = [_violation(case) for case in cases if not (case["column"] in mistyped and _stumbled(case))]
            return sorted(dict.fromkeys(found), key=lambda one: (one.row is not None, one.row or 0))
        return []


def schema_path(table: Path) -> Path:
    """Where the schema of a table would be: sales.schema.yaml for sales.csv."""
    return table.with_name(f"{table.stem}.schema.yaml")


def read_schema(table: Path) -> Schema | None:
    """The schema that lies beside a table; None where there is none."""
    path = schema_path(table)
    if not path.is_file():
        return None
    columns = _checked(path, read_yaml(path))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import yaml
            from pandera.io.pandas_io import deserialize_schema
    except ImportError:
        raise MissingExtra("pandera", f"holding the table to {path}", "train") from None
    try:
        schema = deserialize_schema(yaml.safe_load(read_text(path, _MOST_BYTES)))
    except Exception as error:  # pandera raises whatever its parts raise
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{path}: pandera cannot read it: {reason[:200]}", "see pandera's DataFrameSchema") from None
    texts = frozenset(name for name, told in columns.items() if _dtype(told).partition("[")[0] in _TEXT)
    return Schema(path, len(columns), texts, schema)


def _checked(path: Path, told: Mapping[str, Written]) -> Mapping[str, Written]:
    """The columns it speaks of, once every key and check in it is a known one."""
    _known(path, told, _WHOLE, "key")
    columns = _mapping(told.get("columns"))
    if columns is None:
        raise InputError(f"{path}: it names no columns", "write `columns:`, and under it one name each")
    for name, written in columns.items():
        rules = _mapping(written)
        if rules is None:
            raise InputError(f"{path}:{written.line}: nothing is said of '{name[:80]}'", "write, say, `dtype: float64`")
        _known(path, rules, _COLUMN | _CHECKS, "key or check")
        if "checks" in rules and (beside := sorted(rules.keys() & _CHECKS)):
            line = rules[beside[0]].line
            raise InputError(
                f"{path}:{line}: '{beside[0]}' beside `checks:` is never applied", "put it under `checks:`"
            )
        _check_checks(path, rules.get("checks"))
        for check in rules.keys() & _CHECKS:
            _harden(path, rules[check])
    _check_checks(path, told.get("checks"))
    for one in _items(told.get("index")):
        _check_checks(path, (_mapping(one) or {}).get("checks"))
    return columns


def _check_checks(path: Path, written: Written | None) -> None:
    """Either way that pandera writes them: by name, or a list in which each names itself among its options."""
    if written is None:
        return
    if (by_name := _mapping(written)) is not None:
        _known(path, by_name, _CHECKS, "check")
    for one in [*(by_name or {}).values(), *_items(written)]:
        _harden(path, one)
        options = _mapping((_mapping(one) or {}).get("options")) or {}
        _known(path, options, _OPTIONS, "option")
        name = options.get("check_name")
        if name is not None:
            _known(path, {str(name.text): name}, _CHECKS, "check")


def _harden(path: Path, check: Written) -> None:
    for option, written in (_mapping(check) or {}).items():
        if option in _SOFTENING:
            raise InputError(f"{path}:{written.line}: the option '{option}' is not taken here", "remove it")


def _known(path: Path, told: Mapping[str, Written], allowed: frozenset[str], kind: str) -> None:
    for key, written in told.items():
        if key not in allowed:
            raise InputError(f"{path}:{written.line}: there is no {kind} '{key[:80]}'", nearest(key, allowed))


def _mapping(written: Written | None) -> Mapping[str, Written] | None:
    return written.value if written is not None and isinstance(written.value, dict) else None


def _items(written: Written | None) -> Iterator[Written]:
    if written is not None and isinstance(written.value, list):
        yield from written.value


def _dtype(written: Written) -> str:
    dtype = (_mapping(written) or {}).get("dtype")
    return "" if dtype is None else dtype.text or ""


def _stumbled(case: Mapping[str, Any]) -> bool:
    return case["index"] is None and str(case["failure_case"]).startswith("TypeError(")


def _violation(case: Mapping[str, Any]) -> Violation:
    column, check, value, index = (case.get(name) for name in ("column", "check", "failure_case", "index"))
    row = int(index) if isinstance(index, int | float) and index == index else None
    if row is None:
        if check in ("column_in_dataframe", "column_in_schema"):
            there = "is missing" if check == "column_in_dataframe" else "is not one that the schema knows"
            return Violation(None, f"the column '{str(value)[:80]}' {there}")
        said = f"column '{column}'" if case.get("schema_context") == "Column" else "the table"
        return Violation(None, f"{said}: {check}, and it is {str(value)[:80]}")
    if check == "not_nullable":
        return Violation(row, f"column '{column}' has no value")
    if check == "field_uniqueness":
        return Violation(row, f"column '{column}': {_shown(value)} is there more than once")
    return Violation(row, f"column '{column}': {_shown(value)} fails {check}")


def _shown(value: Any) -> str:
    return repr(value[:60]) if isinstance(value, str) else str(value)[:60]
