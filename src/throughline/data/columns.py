"""What kind of values a column holds, decided from all of them: numbers, true and false, or text.

A reader that guesses from the first megabyte takes a column for numbers and stumbles over line
40,000, or takes it all for text because of one slip of the pen. Here one value that does not fit
among hundreds that do is named, and nothing that would lose digits becomes a number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from throughline.contracts.artifacts import Array

ABSENT = ("", "NA", "N/A", "n/a", "NaN", "nan", "null", "NULL", "None")
"""What people write where there is no number. In a column of text only the first of these is a missing value."""

_TRUE, _FALSE = ("true", "True", "TRUE"), ("false", "False", "FALSE")
_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_ENDLESS = r"^[+-]?(?i:inf|infinity)$"
_WITH_COMMA = r"^[+-]?(\d+,\d+|\d{1,3}(\.\d{3})+,\d+|\d{1,3}(,\d{3})+(\.\d+)?)$"
_WHOLE, _PADDED = r"^[+-]?\d+$", r"^[+-]?0\d"
_MOSTLY, _ENOUGH = 0.9, 10
_EXACT = 2**53


@dataclass(frozen=True, slots=True)
class Fault:
    """What keeps a column from being used as it is: the first row where that shows, and a sentence."""

    kind: str
    row: int
    says: str


def kind_of(column: Array) -> str:
    """What people call it: "number", "whole number", "true or false", "text"."""
    return {"f": "number", "i": "whole number", "b": "true or false"}.get(column.dtype.kind, "text")


def missing_in(column: Array) -> Array:
    """Where nothing is."""
    if column.dtype.kind == "f":
        return np.isnan(column)
    if column.dtype.kind == "O":
        return np.fromiter((value is None for value in column), np.bool_, len(column))
    return np.zeros(len(column), np.bool_)


def from_text(texts: Any, as_text: bool = False) -> tuple[Array, Fault | None]:
    """The values of a column that is written as text (an Arrow array of it).

    Args:
        texts: as they are written.
        as_text: somebody has said that it is text, whatever it looks like.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    trimmed = pc.utf8_trim_whitespace(texts)
    if as_text:
        return _objects(trimmed), None
    absent = pc.is_in(trimmed, value_set=pa.array(ABSENT))
    present = trimmed.filter(pc.invert(absent))
    gaps = len(texts) - len(present)
    if not len(present):
        return np.full(len(texts), np.nan), None
    if pc.all(pc.is_in(present, value_set=pa.array(_TRUE + _FALSE))).as_py():
        true = _array(pc.is_in(trimmed, value_set=pa.array(_TRUE)))
        return (np.where(_array(absent), np.nan, true) if gaps else true), None
    numeric = pc.match_substring_regex(present, _NUMBER)
    others = len(present) - pc.sum(numeric).as_py()
    if others:
        return _objects(trimmed), _slip(trimmed, absent, present, others)
    if pc.any(pc.match_substring_regex(present, _PADDED)).as_py():
        return _objects(trimmed), None  # 01234 is a code: as a number it would lose its zero
    unsigned = pc.utf8_ltrim(trimmed, "+")
    if pc.all(pc.match_substring_regex(present, _WHOLE)).as_py():
        return _whole_numbers(pc.if_else(absent, None, unsigned), trimmed), None
    numbers = _array(pc.cast(pc.if_else(absent, None, unsigned), pa.float64()))
    return numbers, _endless(numbers)


def _slip(trimmed: Any, absent: Any, present: Any, others: int) -> Fault | None:
    """The first value that is no number, in a column where nearly all are; None where it simply is text."""
    import pyarrow.compute as pc

    fits = pc.or_(absent, pc.match_substring_regex(trimmed, _NUMBER))
    row = int(np.flatnonzero(~_array(fits))[0])
    if pc.sum(pc.match_substring_regex(present, _WITH_COMMA)).as_py() == others:
        return Fault("not a number", row, f"{trimmed[row].as_py()!r} has a comma in it, and numbers here have points")
    endless = pc.sum(pc.match_substring_regex(present, _ENDLESS)).as_py()
    mostly = len(present) >= _ENOUGH and others <= (1 - _MOSTLY) * len(present)
    if not mostly and endless != others:
        return None
    count = "one of its" if others == 1 else f"{others:,} of its"
    says = f"{count} {len(present):,} values {'is' if others == 1 else 'are'} no number; the first is"
    return Fault("not a number", row, f"{says} {trimmed[row].as_py()[:60]!r}")


def from_arrow(values: Any) -> tuple[Array, Fault | None] | None:
    """The values of an Arrow array that has a type of its own; None where it is a type that no table has here."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = values.type
    if pa.types.is_dictionary(kind):
        if not _is_text(kind.value_type):
            return from_arrow(values.dictionary_decode())
        return _objects(values), None
    if _is_text(kind):
        return _objects(values), None
    if pa.types.is_null(kind):
        return np.full(len(values), np.nan), None
    if pa.types.is_boolean(kind):
        return _array(values.cast(pa.uint8()).cast(pa.float64()) if values.null_count else values), None
    if pa.types.is_integer(kind):
        return _whole_numbers(values, values.cast(pa.string())), None
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        numbers = _array(values.cast(pa.float64()))
        return numbers, _endless(numbers)
    if pa.types.is_temporal(kind) and not pa.types.is_duration(kind):
        return _objects(pc.cast(values, pa.string())), None
    return None


def from_values(values: Sequence[Any]) -> tuple[Array, Fault | None] | None:
    """The values of a column that JSON gave; None where they are lists or objects."""
    kinds = [_kind_of_value(value) for value in values]
    present = {kind for kind in kinds if kind}
    if "nested" in present:
        return None
    gaps = None in values
    if len(present) > 1:
        most = max(sorted(present), key=kinds.count)
        row = next(row for row, kind in enumerate(kinds) if kind not in ("", most))
        says = f"{str(values[row])[:60]!r} is {kinds[row]}; {kinds.count(most):,} of its values are {most}"
        return np.array([None] * len(values), object), Fault("mixed types", row, says)
    if not present:
        return np.full(len(values), np.nan), None
    if present == {"text"}:
        return np.array([value or None for value in values], object), None
    if present == {"true or false"}:
        return np.array([np.nan if value is None else value for value in values], float if gaps else bool), None
    if all(isinstance(value, int) for value in values if value is not None):
        most = max(abs(value) for value in values if value is not None)
        if most > (_EXACT if gaps else 2**63 - 1):
            return np.array([None if value is None else str(value) for value in values], object), None
        return np.array([np.nan if value is None else value for value in values], float if gaps else np.int64), None
    numbers = np.array([np.nan if value is None else float(value) for value in values])
    return numbers, _endless(numbers)


def _kind_of_value(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "numbers"
    return "text" if isinstance(value, str) else "nested"


def _whole_numbers(values: Any, texts: Any) -> Array:
    """As int64, or float64 where some are missing; as text where either would lose digits."""
    import pyarrow as pa

    try:
        whole = values.cast(pa.int64())
    except pa.ArrowInvalid:
        return _objects(texts)
    if not whole.null_count:
        return _array(whole)
    numbers = _array(whole.cast(pa.float64(), safe=False))
    return numbers if np.nanmax(np.abs(numbers), initial=0) < _EXACT else _objects(texts)


def _endless(numbers: Array) -> Fault | None:
    rows = np.flatnonzero(np.isinf(numbers))
    return Fault("not a number", int(rows[0]), f"{numbers[rows[0]]} is no number to reckon with") if len(rows) else None


def _objects(texts: Any) -> Array:
    """Text as Python's strings, each kept once; None for what is missing or empty."""
    import pyarrow as pa

    coded = texts if pa.types.is_dictionary(texts.type) else texts.dictionary_encode()
    known = np.array([*(value or None for value in coded.dictionary.to_pylist()), None], object)
    at = _array(coded.indices.fill_null(len(known) - 1))
    column: Array = known[at]
    return column


def _array(values: Any) -> Array:
    array: Array = values.to_numpy(zero_copy_only=False)
    return array


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))
