"""Scores that somebody else measured, one for each sample or for each run, read from CSV or JSON.

Rows that have names are paired by them: the same sample, or the same seed, asked of both. Rows without
are runs that have nothing to do with each other, and are compared as two sets.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from throughline.contracts.errors import InputError, nearest
from throughline.evaluation.tally import Floats

SUFFIXES: Final = (".csv", ".json")
_LARGEST: Final = 2**30
_NAMES: Final = ("name", "sample", "image", "file", "id", "seed")
_GROUPS: Final = ("group", "video", "clip")
_ERRORS: Final = (
    "loss", "error", "err", "mae", "mse", "rmse", "mase", "mape", "smape", "rmsle", "nll", "brier", "ece", "eer", "wer",
    "cer", "perplexity", "time", "duration", "seconds", "ms", "latency",
)  # fmt: skip
_SHAPES: Final = (
    'give CSV with a column "score" and, to pair rows, one of ' + ", ".join(_NAMES) + '; or JSON such as {"a": 0.5}'
)


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """What a file holds.

    Attributes:
        path: the file.
        metric: what was measured: the column's name.
        values: the scores.
        names: of the samples or seeds; None where they have none.
        groups: what each belongs to; None where the file does not say.
        traits: the other columns, as text.
        sha256: of the file.
    """

    path: Path
    metric: str
    values: Floats
    names: tuple[str, ...] | None
    groups: tuple[str, ...] | None
    traits: Mapping[str, Sequence[str]] = field(default_factory=dict)
    sha256: str = ""

    @property
    def less_is_better(self) -> bool:
        """Whether the metric's name says that it is an error or a time."""
        words = re.split(r"[^a-z0-9]+", self.metric.lower())
        return any(word in _ERRORS or word.endswith(("loss", "error")) for word in words)

    def rows(self, order: Sequence[int]) -> Scores:
        """Some of them, by number."""
        chosen = list(order)
        return Scores(
            self.path,
            self.metric,
            self.values[chosen],
            None if self.names is None else tuple(self.names[row] for row in chosen),
            None if self.groups is None else tuple(self.groups[row] for row in chosen),
            {name: [values[row] for row in chosen] for name, values in self.traits.items()},
            self.sha256,
        )


def read_scores(path: Path) -> Scores:
    """The scores of a CSV or JSON file.

    Raises:
        InputError: it holds no scores, or not a number in every row.
    """
    try:
        if path.stat().st_size > _LARGEST:
            raise InputError(f"{path}: {path.stat().st_size:,} bytes; at most {_LARGEST:,} are read")
        raw = path.read_bytes()
        text = raw.decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}", "give a file of scores") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: it is not text in UTF-8", _SHAPES) from None
    columns, metric = _json(path, text) if path.suffix.lower() == ".json" else _csv(path, text)
    names = next((columns.pop(name) for name in _NAMES if name in columns), None)
    groups = next((columns.pop(name) for name in _GROUPS if name in columns), None)
    values = np.array([_number(path, row, value) for row, value in enumerate(columns.pop(metric), 1)], np.float64)
    if names is not None and len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"{path}: '{twice}' is there {names.count(twice)} times", "give each sample one row")
    return Scores(
        path,
        metric,
        values,
        None if names is None else tuple(names),
        None if groups is None else tuple(groups),
        columns,
        hashlib.sha256(raw).hexdigest(),
    )


def paired(reference: Scores, candidate: Scores, notes: list[str]) -> tuple[Scores, Scores]:
    """Both in one order, the samples that only one of them has left out and said in the notes."""
    if reference.metric != candidate.metric:
        raise InputError(
            f"{reference.path} has '{reference.metric}' and {candidate.path} '{candidate.metric}'",
            "compare one metric with itself: give the columns the same name",
        )
    if reference.names is None or candidate.names is None:
        if reference.names is not candidate.names:
            named, plain = (reference, candidate) if candidate.names is None else (candidate, reference)
            raise InputError(
                f"{named.path} names its scores and {plain.path} does not, so that they can neither be paired nor "
                "taken for runs",
                f"give both names, in a column such as {_NAMES[0]}, or neither",
            )
        return reference, candidate
    place = {name: row for row, name in enumerate(candidate.names)}
    rows = [row for row, name in enumerate(reference.names) if name in place]
    if not rows:
        raise InputError(
            f"{reference.path} and {candidate.path} have no sample in common ('{reference.names[0]}' is only in one)",
            "give scores of the same samples, under the same names",
        )
    if alone := len(reference.names) + len(candidate.names) - 2 * len(rows):
        notes.append(f"{alone:,} samples are in one file only and were left out")
    return reference.rows(rows), candidate.rows([place[reference.names[row]] for row in rows])


def _csv(path: Path, text: str) -> tuple[dict[str, list[str]], str]:
    import csv

    lines = csv.reader(text.splitlines())
    try:
        placed = [(lines.line_num, row) for row in lines if row]
    except csv.Error as error:
        raise InputError(f"{path}, line {lines.line_num}: {error}", _SHAPES) from None
    rows = [row for _, row in placed]
    if len(rows) < 2:
        raise InputError(f"{path}: {len(rows)} lines; a head and at least one row are needed", _SHAPES)
    head = [name.strip() for name in rows[0]]
    for line, row in placed:
        if len(row) != len(head):
            raise InputError(f"{path}, line {line}: {len(row)} cells under {len(head)} names", _SHAPES)
    columns = {name: [row[at].strip() for row in rows[1:]] for at, name in enumerate(head)}
    if len(columns) < len(head):
        raise InputError(f"{path}: two columns have one name: {', '.join(head)}", "give each its own")
    spare = [name for name in columns if name not in _NAMES + _GROUPS]
    numbers = [name for name in spare if all(map(_is_number, columns[name]))]
    if "score" in numbers:
        return columns, "score"
    if len(numbers) != 1:
        raise InputError(
            f"{path}: {len(numbers)} columns could be the scores: {', '.join(numbers) or ', '.join(spare)}",
            _SHAPES if not numbers else 'call the one that is meant "score", or leave the others out',
        )
    return columns, numbers[0]


def _json(path: Path, text: str) -> tuple[dict[str, list[str]], str]:
    try:
        body = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not JSON: {error}", _SHAPES) from None
    metric = "score"
    if isinstance(body, dict) and isinstance(body.get("scores"), dict | list):
        metric = str(body.get("metric", metric))
        body = body["scores"]
    if metric in _NAMES + _GROUPS:
        raise InputError(f"{path}: the metric is called '{metric}', as what tells rows apart is", "call it otherwise")
    if isinstance(body, dict) and body:
        return {"name": list(body), metric: list(map(_text, body.values()))}, metric
    if isinstance(body, list) and body:
        return {metric: list(map(_text, body))}, metric
    raise InputError(f"{path}: it holds no scores", _SHAPES)


def _text(value: Any) -> str:
    return repr(value) if isinstance(value, int | float) and not isinstance(value, bool) else f"not a number: {value!r}"


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _number(path: Path, row: int, text: str) -> float:
    if not _is_number(text):
        raise InputError(f"{path}, score {row}: {text!r} is no number", _SHAPES)
    return float(text)


def trait(scores: Scores, name: str) -> Sequence[str]:
    """A column to split by."""
    if name not in scores.traits:
        raise InputError(f"--slices {name}: {scores.path} has no such column", nearest(name, scores.traits))
    return scores.traits[name]
