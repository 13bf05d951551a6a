"""Evidently's own report of the same columns, for who knows how to read it. It sends nothing anywhere."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any, Final

import numpy as np

from throughline.contracts.errors import MissingExtra
from throughline.files import whole_file
from throughline.monitoring.rows import Column, Rows

_OFF: Final = {"DO_NOT_TRACK": "1", "EVIDENTLY_DISABLE_TELEMETRY": "1"}


def write_evidently(path: Path, before: Rows, now: Rows) -> Path | None:
    """Write the page, whole or not at all; None where no column has values on both sides.

    Its tests take every row for news, so that of frames of one video they alarm too easily.
    """
    os.environ.update(_OFF)  # read when it is imported, and by whatever it starts
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # what its libraries will drop one day, and scipy's about constant columns
        return _written(path, before, now)


def _written(path: Path, before: Rows, now: Rows) -> Path | None:
    try:
        import pandas
        from evidently import DataDefinition, Dataset, Report
        from evidently.presets import DataDriftPreset
    except ModuleNotFoundError as error:
        raise MissingExtra(str(error.name), "Evidently's report", "monitor") from None
    numbers = [name for name in before.numbers if _varied(before.numbers[name]) and _has(now.numbers.get(name))]
    words = [name for name in before.categories if _has(before.categories[name]) and _has(now.categories.get(name))]
    if not numbers and not words:
        return None
    definition = DataDefinition(numerical_columns=numbers, categorical_columns=words)
    sides = [
        Dataset.from_pandas(
            pandas.DataFrame({name: side.plain[name] for name in (*numbers, *words)}),
            definition,
        )
        for side in (before, now)
    ]
    done: Any = Report([DataDriftPreset()]).run(sides[1], sides[0])
    with whole_file(path) as draft:
        done.save_html(str(draft))
    return path


def _has(column: Column | None) -> bool:
    if column is None:
        return False
    return any(value is not None for value in column) if column.dtype.kind == "O" else bool(np.isfinite(column).any())


def _varied(column: Column) -> bool:
    """Evidently's numeric tests want values that differ."""
    values = column[np.isfinite(column)]
    return len(values) > 1 and bool(np.ptp(values) > 0)
