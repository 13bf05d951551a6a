"""Classical estimators: opened without a pickle, written as ONNX, and held against what they were."""

from __future__ import annotations

import contextlib
import io
import pickle
import random
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pytest
import skops.io
import xgboost
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import make_classification
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    RandomForestRegressor,
    VotingClassifier,
)
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC, LinearSVC

from throughline.bundled import DETECTOR
from throughline.contracts.artifacts import Artifact
from throughline.contracts.errors import InputError, ModelRefused
from throughline.models.artifact import read_artifact
from throughline.models.identify import identify
from throughline.models.session import open_model
from throughline.models.transforms import TRANSFORMS

ROWS, NUMBERS = make_classification(200, 6, n_informative=4, n_classes=3, random_state=0)
ROWS = ROWS.astype(np.float32)
NAMES = np.array(["cat", "dog", "bird"])[NUMBERS]
VALUES = (2 * ROWS[:, 0] - ROWS[:, 1] ** 2).astype(np.float32)
UNSEEN = np.random.default_rng(7).normal(0, 1.5, (500, 6)).astype(np.float32)


def scaled(model: Any) -> Any:
    return make_pipeline(StandardScaler(), model)


MODELS: dict[str, Callable[[], Any]] = {
    "logistic": lambda: scaled(LogisticRegression()).fit(ROWS, NAMES),
    "forest": lambda: RandomForestClassifier(5, random_state=0).fit(ROWS, NAMES),
    "histograms": lambda: HistGradientBoostingClassifier(max_iter=5, random_state=0).fit(ROWS, NAMES),
    "boosting": lambda: GradientBoostingClassifier(n_estimators=4, random_state=0).fit(ROWS, NAMES),
    "neighbours": lambda: KNeighborsClassifier().fit(ROWS, NAMES),
    "perceptron": lambda: scaled(MLPClassifier((8,), max_iter=400, random_state=0)).fit(ROWS, NAMES),
    "vectors": lambda: scaled(SVC()).fit(ROWS, NAMES),
    "vectors_of_two": lambda: LinearSVC().fit(ROWS, NUMBERS > 0),
    "calibrated": lambda: CalibratedClassifierCV(LinearSVC()).fit(ROWS, NAMES),
    "voting": lambda: VotingClassifier(
        [("one", LogisticRegression()), ("two", GaussianNB())], voting="soft", flatten_transform=False
    ).fit(ROWS, NAMES),
    "numbers_from_5": lambda: LogisticRegression().fit(ROWS, NUMBERS + 5),
    "two": lambda: LogisticRegression().fit(ROWS, NUMBERS > 0),
    "xgboost_in_a_pipeline": lambda: scaled(xgboost.XGBClassifier(n_estimators=4)).fit(ROWS, NUMBERS),
    "lightgbm_in_a_pipeline": lambda: scaled(lightgbm.LGBMClassifier(n_estimators=4, verbose=-1)).fit(ROWS, NAMES),
    "line": lambda: scaled(LinearRegression()).fit(ROWS, VALUES),
    "forest_of_values": lambda: RandomForestRegressor(5, random_state=0).fit(ROWS, VALUES),
}


@pytest.fixture(autouse=True)
def _quiet_libraries() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def converted(path: Path) -> tuple[Artifact, Path]:
    source, target = read_artifact(path), path.with_suffix(".onnx")
    made = TRANSFORMS.make("classical", source, target)
    assert made.step.name == "classical"
    return source, target


def same(source: Path, target: Path) -> dict[str, Any]:
    with open_model(source) as there, open_model(target) as here:
        assert [spec.name for spec in here.inputs] == [spec.name for spec in there.inputs] == ["X"]
        assert here.outputs == there.outputs
        found, expected = here.predict({"X": UNSEEN}), there.predict({"X": UNSEEN})
    for name in expected:
        if name == "label":
            np.testing.assert_array_equal(found[name], expected[name])
        else:
            np.testing.assert_allclose(found[name], expected[name], rtol=1e-5, atol=1e-5)
    return expected


@pytest.mark.parametrize("name", MODELS)
def test_scikit_learn(name: str, tmp_path: Path) -> None:
    model, path = MODELS[name](), tmp_path / f"{name}.skops"
    skops.io.dump(model, path)
    about = identify(path)
    assert (about.format, about.risk.level) == ("skops", "data")
    _, target = converted(path)
    expected = same(path, target)
    if hasattr(model, "classes_"):
        assert read_artifact(target).labels == tuple(map(str, model.classes_))
        np.testing.assert_array_equal(np.asarray(model.classes_)[expected["label"]], model.predict(UNSEEN))
    else:
        np.testing.assert_allclose(expected["values"].ravel(), model.predict(UNSEEN), rtol=1e-5)


@pytest.mark.parametrize("ending", ["json", "ubj"])
@pytest.mark.parametrize("of", ["three", "two", "values"])
def test_xgboost(of: str, ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"model.{ending}"
    kind = xgboost.XGBRegressor if of == "values" else xgboost.XGBClassifier
    truth = {"three": NUMBERS, "two": (NUMBERS > 0).astype(int), "values": VALUES}[of]
    model = kind(n_estimators=6, max_depth=3).fit(ROWS, truth)
    model.save_model(path)
    about = identify(path)
    assert (about.format, about.risk.level, about.notes) == ("xgboost", "data", ())
    assert about.task == (None if of == "values" else "classify")
    assert ("multi:" if of == "three" else "binary:" if of == "two" else "reg:") in about.kind
    expected = same(path, converted(path)[1])
    if of == "values":
        np.testing.assert_allclose(expected["values"].ravel(), model.predict(UNSEEN), rtol=1e-5)
    else:
        np.testing.assert_allclose(expected["probabilities"], model.predict_proba(UNSEEN), rtol=1e-5)


@pytest.mark.parametrize("of", ["three", "two", "values"])
def test_lightgbm(of: str, tmp_path: Path) -> None:
    path = tmp_path / "model.txt"
    kind = lightgbm.LGBMRegressor if of == "values" else lightgbm.LGBMClassifier
    truth = {"three": NUMBERS, "two": (NUMBERS > 0).astype(int), "values": VALUES}[of]
    model = kind(n_estimators=6, verbose=-1).fit(ROWS, truth)
    model.booster_.save_model(path)
    about = identify(path)
    assert (about.format, about.risk.level, about.notes) == ("lightgbm", "data", ())
    assert [str(spec) for spec in about.inputs] == ["X float32[batch, 6]"]
    expected = same(path, converted(path)[1])
    if of == "values":
        np.testing.assert_allclose(expected["values"].ravel(), model.predict(UNSEEN), rtol=1e-5)
    else:
        np.testing.assert_allclose(expected["probabilities"], model.predict_proba(UNSEEN), rtol=1e-5, atol=1e-6)


def test_the_same_estimator_gives_the_same_file(tmp_path: Path) -> None:
    path = tmp_path / "model.skops"
    skops.io.dump(MODELS["logistic"](), path)
    first = converted(path)[1].read_bytes()
    assert converted(path)[1].read_bytes() == first


def shout(rows: Any) -> Any:
    return rows


def test_what_is_not_of_the_libraries_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "model.skops"
    model = make_pipeline(FunctionTransformer(shout), LogisticRegression()).fit(ROWS, NAMES)
    skops.io.dump(model, path)
    about = identify(path)
    assert about.risk.level == "program"
    assert any(name.endswith("shout") for name in about.risk.globals)
    with pytest.raises(ModelRefused, match=r"is a program .*shout"):
        TRANSFORMS.make("classical", read_artifact(path), tmp_path / "model.onnx")
    with pytest.raises(ModelRefused, match="is a program"):
        open_model(path)
    assert not (tmp_path / "model.onnx").exists()


def test_a_pickle_is_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(MODELS["logistic"]()))
    with pytest.raises(InputError, match="'classical' takes skops, xgboost, lightgbm") as raised:
        TRANSFORMS.make("classical", read_artifact(path), tmp_path / "model.onnx")
    assert "skops.io.dump" in raised.value.fix
    with pytest.raises(InputError, match="is onnx; 'classical' takes"):
        TRANSFORMS.make("classical", read_artifact(DETECTOR), tmp_path / "model.onnx")


@pytest.mark.parametrize("name", ["model.json", "model.ubj", "model.txt", "model.skops"])
def test_whatever_is_done_to_a_file_only_our_errors_escape(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if name.endswith("skops"):
        skops.io.dump(MODELS["logistic"](), path)
    elif name.endswith("txt"):
        lightgbm.LGBMClassifier(n_estimators=1, verbose=-1).fit(ROWS, NUMBERS).booster_.save_model(path)
    else:
        xgboost.XGBClassifier(n_estimators=1).fit(ROWS, NUMBERS).save_model(path)
    content = path.read_bytes()
    for seed in range(80):
        dice = random.Random(f"{name}{seed}")
        changed = bytearray(content)
        for _ in range(dice.randint(1, 5)):
            at = dice.randrange(len(changed))
            changed[at : at + dice.randrange(12)] = dice.randbytes(dice.randrange(12)) or b"}"
        path.write_bytes(changed)
        with contextlib.suppress(InputError, ModelRefused):
            identify(path)
    if name.endswith("skops"):  # its schema again, as its own file says it, with parts taken out
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            schema = archive.read("schema.json").decode()
        for seed in range(40):
            dice = random.Random(seed)
            words = schema.split(", ")
            del words[dice.randrange(len(words))]
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("schema.json", ", ".join(words))
            with contextlib.suppress(InputError, ModelRefused):
                identify(path)


def test_a_type_of_scikit_learn_that_no_estimator_is_made_of_is_not_built(tmp_path: Path) -> None:
    path = tmp_path / "model.skops"
    skops.io.dump(MODELS["logistic"](), path)
    with zipfile.ZipFile(path) as archive:
        entries = {entry: archive.read(entry) for entry in archive.namelist()}
    schema = entries["schema.json"].replace(b'"StandardScaler"', b'"MockDataFrame"')
    entries["schema.json"] = schema.replace(b'"sklearn.preprocessing._data"', b'"sklearn.utils._mocking"')
    with zipfile.ZipFile(path, "w") as archive:
        for entry, data in entries.items():
            archive.writestr(entry, data)
    refusal = r"would build sklearn\.utils\._mocking\.MockDataFrame, which trained estimators .* not known"
    with pytest.raises(ModelRefused, match=refusal):
        open_model(path)
    with pytest.raises(ModelRefused, match=refusal):
        TRANSFORMS.make("classical", read_artifact(path), tmp_path / "model.onnx")
    with pytest.raises(InputError, match="the estimator could not be run"):
        open_model(path, trust=True)  # the user's word is heard: it is built, and is no estimator


@pytest.mark.parametrize("name", ["model.json", "model.txt", "model.skops"])
def test_a_damaged_file_is_said_to_be_one(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if name.endswith("skops"):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("schema.json", '{"__class__": 3}')
    else:
        path.write_bytes(b'{"learner":{"objective":3}}' if name.endswith("json") else b"tree\nversion=v4\nTree=0")
    with pytest.raises(InputError, match="is a damaged"):
        identify(path)
