"""What models say of the rows of a table, and how right each row is: models that see no pictures, measured alike.

A row's class is looked up by name, so two models may know the classes in any order. Where both say how likely
each class is, log loss tells more than right or wrong: it sees a model that is wrong and sure of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from throughline.contracts.artifacts import Array, Artifact, Predictor
from throughline.contracts.errors import InputError
from throughline.contracts.tables import Table
from throughline.data.encoding import Columns
from throughline.evaluation.scored import ScoreTally
from throughline.evaluation.tally import AccuracyTally, Floats

_LEAST: Final = 1e-7
"""A class that was called impossible counts as this likely, or one row would be an endless loss."""
_AT_ONCE: Final = 4096


@dataclass(frozen=True, slots=True, eq=False)
class RowAnswers:
    """What a model says of every row.

    Attributes:
        label: the number of its class; None for a model that estimates numbers.
        shares: how likely each class is, rows x classes; None where it does not say.
        values: the number it estimates; None for one that tells classes apart.
    """

    label: Array | None
    shares: Floats | None
    values: Floats | None


def ask_rows(model: Predictor, features: Array) -> RowAnswers:
    """Run a model over rows of numbers.

    Args:
        model: the opened model, which takes one input of rows.
        features: rows x columns.
    """
    if len(model.inputs) != 1 or len(model.inputs[0].shape) != 2:
        given = ", ".join(map(str, model.inputs))
        raise InputError(f"the model takes {given}", "give a model that takes rows of numbers, or pictures as data")
    spec = model.inputs[0]
    if isinstance(spec.shape[1], int) and spec.shape[1] != features.shape[1]:
        raise InputError(
            f"the model takes {spec.shape[1]} columns and the table has {features.shape[1]} beside its target",
            "give the table that the model was trained on, in its columns' order",
        )
    rows = np.ascontiguousarray(features, np.dtype(spec.dtype))
    parts = [model.predict({spec.name: rows[at : at + _AT_ONCE]}) for at in range(0, len(rows), _AT_ONCE)]
    said = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return _read(said, len(rows))


def features_of(table: Table, order: tuple[str, ...] = ()) -> Array:
    """The columns that a model takes, as rows of numbers.

    Args:
        table: the table.
        order: the columns by name; all but the target, in the table's order, when empty.
    """
    names = order or tuple(name for name in table.columns if name != table.target)
    for name in names:
        if name not in table.columns:
            raise InputError(f"{table.name} has no column '{name}', which the model takes", "give a table with it")
        if table.columns[name].dtype == object:
            raise InputError(
                f"{table.name}: the column '{name}' is text, and the model takes numbers",
                "give a table whose columns are numbers, as the model was trained on",
            )
    return np.stack([table.columns[name].astype(np.float64) for name in names], axis=1)


def rows_for(artifact: Artifact, table: Table) -> Array:
    """The rows as this model takes them: by its passport where that says its columns, else all but the target."""
    columns = Columns.told_by(artifact.passport.steps)
    return features_of(table) if columns is None else columns.rows(table)


def row_tallies(table: Table, artifact: Artifact, said: RowAnswers) -> Mapping[str, AccuracyTally | ScoreTally]:
    """How right each row is, by metric, the one that counts first: accuracy and log loss, or absolute error."""
    if table.target is None:
        raise InputError(f"{table.name}: nobody has said which column is to be told", "name it: --target COLUMN")
    truth = table.columns[table.target]
    if said.values is not None:
        if truth.dtype == object:
            raise InputError(
                f"the model estimates numbers and '{table.target}' is text", "give the column that it estimates"
            )
        return {"absolute error": ScoreTally("absolute error", np.abs(said.values - truth.astype(np.float64)))}
    number = _numbers(truth, artifact.labels, 0 if said.shares is None else said.shares.shape[1])
    assert said.label is not None
    made: dict[str, AccuracyTally | ScoreTally] = {"accuracy": AccuracyTally(said.label == number)}
    if said.shares is not None:
        known = (number >= 0) & (number < said.shares.shape[1])
        likely = np.where(known, said.shares[np.arange(len(number)), np.where(known, number, 0)], 0.0)
        made["log loss"] = ScoreTally("log loss", -np.log(np.clip(likely, _LEAST, 1.0)))
    return made


def _read(said: Mapping[str, Array], rows: int) -> RowAnswers:
    shares = next((said[name] for name in ("probabilities", "output_probability") if name in said), None)
    label = next((said[name] for name in ("label", "output_label") if name in said), None)
    if shares is not None or label is not None:
        flat = None if shares is None else np.asarray(shares, np.float64).reshape(rows, -1)
        best = np.asarray(label).reshape(rows) if label is not None else flat.argmax(axis=1)  # type: ignore[union-attr]
        return RowAnswers(best, flat, None)
    if len(said) == 1:
        values = np.asarray(next(iter(said.values())), np.float64).reshape(rows, -1)
        if values.shape[1] == 1:
            return RowAnswers(None, None, values[:, 0])
    raise InputError(
        f"the model gives {', '.join(said)}, which are neither classes nor one number a row",
        "give a model that gives 'label', 'probabilities' or one number a row",
    )


def _numbers(truth: Array, labels: tuple[str, ...], classes: int) -> Array:
    """Each row's true class as the model counts them; -1 for one that it does not know."""
    told = [_name(value) for value in truth.tolist()]
    if labels:
        place = {name: number for number, name in enumerate(labels)}
        numbers = np.array([place.get(name, -1) for name in told], np.int64)
        if (numbers >= 0).any():
            return numbers
    counted = truth.dtype != object and (not classes or 0 <= truth.min() <= truth.max() < classes)
    if labels or not counted:
        raise InputError(
            f"the model's classes ({', '.join(labels[:4]) or f'{classes} without names'}) and the table's "
            f"({', '.join(sorted(set(told))[:4])}) have no name in common",
            "write the model's class names into its passport: throughline inspect MODEL --labels",
        )
    return truth.astype(np.int64)


def _name(value: Any) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
