"""The estimators that tables are learned with: how each is fitted, and written without a pickle.

All of them take rows of float32 in which NaN is a missing value, and tell classes by number, so that what is fitted,
what is measured and what ships agree. Trees take the numbers of texts as they are; the others get a column for each
text, and a column's median where a number is missing.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from throughline.contracts.artifacts import Array
from throughline.data.encoding import Columns
from throughline.training.trainers._rows import Part, Rows
from throughline.training.trainers._skops_file import write_skops

ENDINGS: Final = {"linear": ".skops", "forest": ".skops", "xgboost": ".ubj", "lightgbm": ".txt"}
_MANY_CELLS: Final = 2_000_000
"""Below this, threads wait for one another longer than they work."""

Told = Callable[[Mapping[str, float], int], None]
"""Hears how well the rows that say when to stop are told after a round; may raise ``Pruned``."""


def fitted(rows: Rows, options: Any, seed: int, tell: Told) -> Any:
    """An estimator by the options, fitted; boosting stops by the rows that are there for it."""
    if options.model == "xgboost":
        return _xgboost(rows, options, seed, tell)
    if options.model == "lightgbm":
        return _lightgbm(rows, options, seed, tell)
    return linear(rows, options.penalty) if options.model == "linear" else _forest(rows, options, seed)


def write(estimator: Any, path: Path) -> None:
    """Write it in its library's own safe form."""
    if path.suffix == ".skops":
        write_skops(estimator, path)
    else:
        estimator.save_model(str(path))


def plainest(rows: Rows) -> Any:
    """The most frequent class, with the shares of all; or the mean."""
    from sklearn.dummy import DummyClassifier, DummyRegressor

    all_ = _all_learned(rows)
    return (DummyClassifier(strategy="prior") if rows.classifies else DummyRegressor()).fit(all_.x, all_.y)


def linear(rows: Rows, penalty: float) -> Any:
    """Logistic or ridge regression on scaled numbers."""
    from sklearn.linear_model import LogisticRegression, Ridge

    model = LogisticRegression(C=1 / penalty, max_iter=1000) if rows.classifies else Ridge(alpha=penalty)
    return _piped(rows, model)


def _forest(rows: Rows, options: Any, seed: int) -> Any:
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    class_ = RandomForestClassifier if rows.classifies else RandomForestRegressor
    depth, workers = options.depth or None, _threads(rows)
    piped = _piped(rows, class_(options.trees, max_depth=depth, random_state=seed, n_jobs=workers), scaled=False)
    piped[-1].n_jobs = None  # how it was made is no part of what was made
    return piped


def _piped(rows: Rows, model: Any, scaled: bool = True) -> Any:
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    numbers, texts = _places(rows.columns)
    parts: list[tuple[str, Any, list[int]]] = []
    if numbers:
        fill = ("fill", SimpleImputer(strategy="median", keep_empty_features=True))
        parts.append(("numbers", Pipeline([fill, ("scale", StandardScaler())] if scaled else [fill]), numbers))
    if texts:
        known = [np.arange(len(rows.columns.texts[rows.columns.names[at]]), dtype=np.float32) for at in texts]
        encode = OneHotEncoder(categories=known, handle_unknown="ignore", sparse_output=False, dtype=np.float32)
        fill = ("fill", SimpleImputer(strategy="constant", fill_value=-1.0, keep_empty_features=True))
        parts.append(("texts", Pipeline([fill, ("encode", encode)]), texts))
    piped = Pipeline([("columns", ColumnTransformer(parts, sparse_threshold=0)), ("model", model)])
    all_ = _all_learned(rows)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return piped.fit(all_.x, all_.y)


def _xgboost(rows: Rows, options: Any, seed: int, tell: Told) -> Any:
    import xgboost

    class Told_(xgboost.callback.TrainingCallback):  # type: ignore[misc]
        def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
            del model
            name, values = next(iter(evals_log["stop"].items()))
            tell({f"stop/{_METRICS[name]}": float(values[-1])}, epoch + 1)
            return False

    told: dict[str, Any] = {"objective": "reg:squarederror", "eval_metric": "rmse"}
    if len(rows.labels) == 2:
        told = {"objective": "binary:logistic", "eval_metric": "logloss"}
    elif rows.classifies:
        told = {"objective": "multi:softprob", "num_class": len(rows.labels), "eval_metric": "mlogloss"}
    told |= {"eta": options.lr, "max_depth": options.depth, "lambda": options.penalty, "seed": seed}
    told |= {"tree_method": "hist", "nthread": _threads(rows), "verbosity": 0}
    train, stop = (xgboost.DMatrix(part.x, part.y) for part in (rows.train, rows.stop))
    booster = xgboost.train(
        told, train, options.rounds, evals=[(stop, "stop")], verbose_eval=False,
        early_stopping_rounds=options.patience or None, callbacks=[Told_()],
    )  # fmt: skip
    return booster[: booster.best_iteration + 1] if options.patience else booster


def _lightgbm(rows: Rows, options: Any, seed: int, tell: Told) -> Any:
    import lightgbm

    def told_(env: Any) -> None:
        _, name, value, _ = env.evaluation_result_list[0][:4]
        tell({f"stop/{_METRICS[name]}": float(value)}, env.iteration + 1)

    told: dict[str, Any] = {"objective": "regression", "metric": "rmse"}
    if len(rows.labels) == 2:
        told = {"objective": "binary", "metric": "binary_logloss"}
    elif rows.classifies:
        told = {"objective": "multiclass", "num_class": len(rows.labels), "metric": "multi_logloss"}
    told |= {"learning_rate": options.lr, "lambda_l2": options.penalty, "seed": seed, "verbosity": -1}
    told |= {"max_depth": options.depth or -1, "num_leaves": min(31, 2 ** (options.depth or 5))}
    told |= {"deterministic": True, "force_row_wise": True, "num_threads": _threads(rows)}
    told |= {"min_data_in_leaf": max(1, min(20, len(rows.train.y) // 20))}
    callbacks: list[Any] = [told_]
    if options.patience:
        callbacks.append(lightgbm.early_stopping(options.patience, verbose=False))
    names = [f"c{number}" for number in range(rows.train.x.shape[1])]  # its files take no spaces in names
    train = lightgbm.Dataset(rows.train.x, rows.train.y, feature_name=names, params=told)
    stop = train.create_valid(rows.stop.x, rows.stop.y)
    booster = lightgbm.train(told, train, options.rounds, valid_sets=[stop], valid_names=["stop"], callbacks=callbacks)
    return booster


_METRICS: Final = {
    "rmse": "rmse", "logloss": "log_loss", "mlogloss": "log_loss", "binary_logloss": "log_loss",
    "multi_logloss": "log_loss",
}  # fmt: skip


def _all_learned(rows: Rows) -> Part:
    """What needs nobody to stop it learns from those rows too."""
    return Part(np.concatenate([rows.train.x, rows.stop.x]), np.concatenate([rows.train.y, rows.stop.y]))


def _places(columns: Columns) -> tuple[list[int], list[int]]:
    numbers = [at for at, name in enumerate(columns.names) if name not in columns.texts]
    return numbers, [at for at, name in enumerate(columns.names) if name in columns.texts]


def _threads(rows: Rows) -> int:
    return 1 if rows.train.x.size < _MANY_CELLS else os.cpu_count() or 1


def scores(said: Mapping[str, Array], part: Part, labels: tuple[str, ...]) -> dict[str, float]:
    """How right an estimator is: accuracy, F1 and log loss of classes; RMSE, MAE and R2 of numbers."""
    if not labels:
        off = np.asarray(said["values"], np.float64).reshape(-1) - part.y
        spread = float(((part.y - part.y.mean()) ** 2).sum())
        made = {"rmse": float(np.sqrt((off**2).mean())), "mae": float(np.abs(off).mean())}
        return made | ({"r2": 1 - float((off**2).sum()) / spread} if spread else {})
    from sklearn.metrics import f1_score

    label, shares = said["label"], np.asarray(said["probabilities"], np.float64)
    likely = np.clip(shares[np.arange(len(part.y)), part.y], 1e-7, 1.0)
    return {
        "accuracy": float((label == part.y).mean()),
        "f1": float(f1_score(part.y, label, average="macro", zero_division=0)),
        "log_loss": float(-np.log(likely).mean()) + 0.0,
    }
