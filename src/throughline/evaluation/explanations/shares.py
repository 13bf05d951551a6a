"""What each column adds to what a model says of a row: SHAP values, which add up to the answer, and are held to that.

Trees are asked how they came to their answer, which is exact; any other model is asked again and again with columns
taken from other rows. Either way the sum is compared with what the model really says.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, final

import numpy as np
import numpy.typing as npt

from throughline.contracts.artifacts import Array, Artifact
from throughline.contracts.errors import InputError, MissingExtra
from throughline.contracts.tables import Table
from throughline.data.encoding import Columns
from throughline.evaluation.tabular import RowAnswers, ask_rows, rows_for
from throughline.models import passport as passports
from throughline.models.session import open_model

_ROWS: Final = 100
_BACKGROUND: Final = 50
_TREES: Final = ("xgboost", "lightgbm")


@final
@dataclass(frozen=True, slots=True, eq=False)
class Shares:
    """What each column adds.

    Attributes:
        columns: their names.
        values: rows x columns: what each adds to the answer.
        rows: the rows themselves, as the model takes them.
        base: what the answer would be if nothing were known, for each row.
        answers: what the model says of each row.
        about: what is explained: "probability of the likeliest class", "log-odds ...", "the number".
        method: how the values were found.
    """

    columns: tuple[str, ...]
    values: npt.NDArray[np.float64]
    rows: Array
    base: npt.NDArray[np.float64]
    answers: npt.NDArray[np.float64]
    about: str
    method: str

    @property
    def means(self) -> list[tuple[str, float]]:
        """How much each column moves the answer on average, the most first."""
        sizes = np.abs(self.values).mean(axis=0)
        order = np.argsort(-sizes, kind="stable")
        return [(self.columns[column], float(sizes[column])) for column in order]

    @property
    def off(self) -> float:
        """How far, at most, base and values are from adding up to the answer."""
        return float(np.abs(self.base + self.values.sum(axis=1) - self.answers).max())


def shares_of(artifact: Artifact, table: Table, *, trust: bool = False, seed: int = 0) -> Shares:
    """What each column of some rows adds to what the model says of them.

    Args:
        artifact: a model of rows: skops, XGBoost, LightGBM or ONNX.
        table: rows such as it was trained on.
        trust: open an estimator that is built of what is not known.
        seed: which rows are taken.
    """
    try:
        import shap
    except ModuleNotFoundError:
        raise MissingExtra("shap", "explaining a model of tables", "explain") from None
    if not len(table):
        raise InputError(f"{table.name}: there are no rows to explain", "give a table with rows")
    dice = np.random.default_rng(seed)
    whole = rows_for(artifact, table)
    chosen = np.sort(dice.permutation(len(whole))[:_ROWS])
    background = whole[np.sort(dice.permutation(len(whole))[:_BACKGROUND])]
    rows, names = whole[chosen], _names(artifact, table)
    if artifact.format in _TREES:
        return _of_trees(shap, artifact, rows, names, trust)
    with open_model(artifact.path, device="cpu", trust=trust) as session:

        def answer(asked: Array) -> Array:
            return _told(ask_rows(session, asked))

        said = answer(rows)
        masker = shap.maskers.Independent(background, max_samples=len(background))
        explainer = shap.explainers.Permutation(answer, masker, seed=seed)
        found = explainer(rows, max_evals=2 * rows.shape[1] + 1, silent=True)
    values, base = np.asarray(found.values, np.float64), np.asarray(found.base_values, np.float64)
    picked = said.argmax(axis=1)
    about = (
        "probability of the class that it takes for the likeliest" if said.shape[1] > 1 else "the number that it tells"
    )
    return _picked(names, values, rows, base, said, picked, about, "permutation of columns, on rows of the table")


def _of_trees(shap: Any, artifact: Artifact, rows: Array, names: tuple[str, ...], trust: bool) -> Shares:
    from throughline.models.loading import check
    from throughline.models.loading.estimators import open_estimator

    check(artifact.path, trust=trust, passport_holds=passports.vouched(artifact))
    estimator = open_estimator(artifact.path, artifact.format, trust=trust)
    explainer = shap.TreeExplainer(estimator.model)
    found = explainer(rows, check_additivity=False)
    values, base = np.asarray(found.values, np.float64), np.asarray(found.base_values, np.float64)
    if values.ndim == 2:
        values, base = values[..., None], base.reshape(len(base), -1)
    margins = _margins(estimator, rows)
    picked = margins.argmax(axis=1) if margins.shape[1] > 1 else np.zeros(len(rows), np.int64)
    about = "the number that it tells"
    if estimator.classes:
        about = "log-odds of the class that it takes for the likeliest"
        if margins.shape[1] == 1:
            about = f"log-odds of {(artifact.labels or tuple(map(str, estimator.classes)))[-1]}"
    return _picked(names, values, rows, base, margins, picked, about, "the trees themselves (exact)")


def _margins(estimator: Any, rows: Array) -> Array:
    """What the trees add up to, before it is made a probability."""
    model = estimator.model
    if hasattr(model, "classes_") or not hasattr(model, "num_trees"):  # XGBoost in scikit-learn's clothes
        margins = model.predict(rows, output_margin=True)
    else:
        margins = model.predict(rows, raw_score=True)
    return np.asarray(margins, np.float64).reshape(len(rows), -1)


def _picked(
    names: tuple[str, ...], values: Array, rows: Array, base: Array, said: Array, picked: Array, about: str, method: str
) -> Shares:
    """Of several classes, the one that each row is taken for."""
    every = np.arange(len(rows))
    if values.ndim == 3:
        values = values[every, :, picked]
    base = np.broadcast_to(base, (len(rows), *base.shape[1:])) if base.ndim else np.full((len(rows), 1), float(base))
    base = base.reshape(len(rows), -1)
    base = base[every, picked] if base.shape[1] > 1 else base[:, 0]
    return Shares(names, values, rows, base, said[every, picked], about, method)


def _told(said: RowAnswers) -> Array:
    if said.shares is not None:
        return said.shares
    if said.values is not None:
        return said.values[:, None]
    raise InputError("the model says which class and not how likely", "export one that gives probabilities")


def _names(artifact: Artifact, table: Table) -> tuple[str, ...]:
    columns = Columns.told_by(artifact.passport.steps)
    return columns.names if columns is not None else tuple(name for name in table.columns if name != table.target)
