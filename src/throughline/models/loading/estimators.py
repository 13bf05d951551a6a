"""Classical estimators, opened: from files that hold numbers and names of types, never from a pickle.

What skops builds is held against a list: scikit-learn's public types, and the private ones that trained estimators are
made of. Anything else is refused by name, unless its user vouches for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

import numpy as np

from throughline.contracts.artifacts import Array
from throughline.contracts.errors import InputError, MissingExtra, ModelRefused, first_line

FORMATS: Final = ("skops", "xgboost", "lightgbm")
_TRAINED_PARTS: Final = frozenset({
    "collections.OrderedDict", "numpy.dtype",
    "lightgbm.basic.Booster", "lightgbm.sklearn.LGBMClassifier", "lightgbm.sklearn.LGBMRegressor",
    "sklearn._loss.link.IdentityLink", "sklearn._loss.link.Interval", "sklearn._loss.link.LogLink",
    "sklearn._loss.link.LogitLink", "sklearn._loss.link.MultinomialLogit",
    "sklearn._loss.loss.HalfBinomialLoss", "sklearn._loss.loss.HalfMultinomialLoss",
    "sklearn._loss.loss.HalfSquaredError",
    "sklearn.calibration._CalibratedClassifier", "sklearn.calibration._SigmoidCalibration",
    "sklearn.ensemble._hist_gradient_boosting.binning._BinMapper",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.metrics._dist_metrics.EuclideanDistance64", "sklearn.metrics._dist_metrics.ManhattanDistance64",
    "sklearn.metrics._dist_metrics.MinkowskiDistance64",
    "sklearn.neighbors._ball_tree.BallTree", "sklearn.neighbors._kd_tree.KDTree",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
    "sklearn.tree._tree.Tree",
    "sklearn.utils._bunch.Bunch",
    "xgboost.core.Booster", "xgboost.sklearn.XGBClassifier", "xgboost.sklearn.XGBRegressor",
})  # fmt: skip


@final
@dataclass(frozen=True, slots=True, eq=False)
class Estimator:
    """An opened estimator.

    Attributes:
        model: scikit-learn's object, XGBoost's in scikit-learn's clothes, or LightGBM's booster.
        features: how many numbers a row has.
        classes: what it tells apart; empty where it estimates numbers.
    """

    model: Any
    features: int
    classes: tuple[Any, ...]

    @property
    def says_shares(self) -> bool:
        """Whether it says how likely each class is, and not only which one."""
        return bool(self.classes) and (hasattr(self.model, "predict_proba") or not hasattr(self.model, "classes_"))

    def answers(self, rows: Array) -> dict[str, Array]:
        """``label`` (the number of the class) and ``probabilities``, where it says them; or ``values``."""
        if not self.classes:
            return {"values": np.asarray(self.model.predict(rows), np.float32).reshape(len(rows), -1)}
        if not hasattr(self.model, "classes_"):  # LightGBM's booster predicts shares; of two classes, the second's
            said = np.asarray(self.model.predict(rows), np.float32)
            shares = np.stack((1 - said, said), 1) if said.ndim == 1 else said
            return {"label": shares.argmax(1), "probabilities": shares}
        number = {name: index for index, name in enumerate(self.classes)}
        label = np.array([number[name] for name in np.asarray(self.model.predict(rows)).tolist()], np.int64)
        if not self.says_shares:
            return {"label": label}
        return {"label": label, "probabilities": np.asarray(self.model.predict_proba(rows), np.float32)}


def open_estimator(path: Path, format_: str, *, trust: bool = False) -> Estimator:
    """Open an estimator.

    Raises:
        ModelRefused: it would build what no trained estimator is made of.
    """
    if format_ == "xgboost":
        return _xgboost(path)
    if format_ == "lightgbm":
        return _lightgbm(path)
    return _skops(path, trust)


def _skops(path: Path, trust: bool) -> Estimator:
    try:
        import skops.io
        from sklearn.base import is_classifier, is_regressor
    except ModuleNotFoundError as error:
        raise MissingExtra(str(error.name), "a scikit-learn estimator", "classical") from None
    try:
        asked = set(skops.io.get_untrusted_types(file=path))
    except Exception as error:
        raise _unreadable(path, "skops", error, "skops.io.dump") from None
    if (strange := sorted(asked - _TRAINED_PARTS)) and not trust:
        raise ModelRefused(
            f"{path} would build {', '.join(strange[:4])}, "
            "which trained estimators of scikit-learn, XGBoost and LightGBM are not known to be made of",
            "say --trust if you know where it comes from",
        )
    try:
        model = skops.io.load(path, trusted=sorted(asked))
    except Exception as error:
        raise _unreadable(path, "skops", error, "skops.io.dump") from None
    if not (is_classifier(model) or is_regressor(model)):
        raise InputError(f"{path} is {type(model).__name__}, which predicts nothing", "save the whole pipeline")
    features = getattr(model, "n_features_in_", None)
    if features is None:
        raise InputError(f"{path} is a {type(model).__name__} that was not trained", "save it after fit")
    return Estimator(model, int(features), _classes(model))


def _xgboost(path: Path) -> Estimator:
    try:
        import xgboost
    except ModuleNotFoundError:
        raise MissingExtra("xgboost", "an XGBoost model", "classical") from None
    try:
        booster = xgboost.Booster(model_file=str(path))
        import json

        objective = json.loads(booster.save_config())["learner"]["objective"]["name"]
        model = xgboost.XGBClassifier() if objective.startswith(("binary:", "multi:")) else xgboost.XGBRegressor()
        model.load_model(str(path))
    except Exception as error:
        raise _unreadable(path, "XGBoost", error, "save_model") from None
    return Estimator(model, int(booster.num_features()), _classes(model))


def _lightgbm(path: Path) -> Estimator:
    try:
        import lightgbm
    except ModuleNotFoundError:
        raise MissingExtra("lightgbm", "a LightGBM model", "classical") from None
    try:
        model = lightgbm.Booster(model_file=str(path))
    except Exception as error:
        raise _unreadable(path, "LightGBM", error, "save_model") from None
    objective = str(model.params.get("objective", ""))
    many = model.num_model_per_iteration()
    classifies = objective.startswith(("binary", "multiclass"))
    return Estimator(model, int(model.num_feature()), tuple(range(max(2, many))) if classifies else ())


def _unreadable(path: Path, library: str, error: Exception, saved_by: str) -> InputError:
    return InputError(f"{path}: {library} cannot open it: {first_line(error)[:200]}", f"save it again with {saved_by}")


def _classes(model: Any) -> tuple[Any, ...]:
    found = getattr(model, "classes_", None)
    if found is None:
        return ()
    if isinstance(found, list):
        raise InputError(
            f"{type(model).__name__} tells {len(found)} things apart at once", "save one estimator for each of them"
        )
    return tuple(np.asarray(found).tolist())
