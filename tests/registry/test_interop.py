"""Both ways with plain MLflow: it loads what is registered here, and what it registered is opened here or refused."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression

from throughline.contracts.artifacts import Artifact
from throughline.contracts.errors import InputError, ModelRefused
from throughline.models.artifact import read_artifact
from throughline.models.passport import issue, path_of
from throughline.models.registered import model_file
from throughline.models.session import open_model
from throughline.registry.registering import register
from throughline.registry.stores.mlflow import MlflowStore
from throughline.testing.stores import small_model

mlflow = pytest.importorskip("mlflow")
pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow's own, of what it is asked to do here

ROWS, NUMBERS = make_classification(60, 5, random_state=0)
ROWS = ROWS.astype(np.float32)


@pytest.fixture(autouse=True)
def _mlflow_here(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow as its users call it: by the addresses of its own defaults."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{project / 'mlflow.db'}")


def logged(flavour: Any, model: Any, name: str, **options: Any) -> None:
    """A model that plain MLflow logged and registered."""
    with mlflow.start_run():
        flavour.log_model(model, name="model", registered_model_name=name, pip_requirements=["onnx"], **options)


def test_mlflow_loads_what_is_registered_here_with_its_signature_and_an_example(
    model: Callable[[int], Artifact], project: Path
) -> None:
    register(model(2).path, "adds")
    loaded = mlflow.pyfunc.load_model("models:/adds/1")
    signature = loaded.metadata.signature
    assert [(spec.name, str(spec.type), spec.shape) for spec in signature.inputs] == [("x", "float32", (-1, 3))]
    assert [(spec.name, spec.shape) for spec in signature.outputs] == [("y", (-1, 3))]
    example = loaded.input_example
    assert example["x"].shape == (1, 3)
    assert np.array_equal(loaded.predict(example)["y"], example["x"] + 2)
    assert mlflow.onnx.load_model("models:/adds/1").graph.name == "adds"


@pytest.mark.parametrize("kind", ["xgboost", "lightgbm", "skops"])
def test_mlflow_loads_trees_and_estimators_that_are_registered_here(kind: str, project: Path) -> None:
    expected: Any
    if kind == "xgboost":
        import xgboost

        made = xgboost.XGBClassifier(n_estimators=2).fit(ROWS, NUMBERS)
        made.save_model("model.ubj")
        path, expected = "model.ubj", made.predict_proba(ROWS)[:, 1]
    elif kind == "lightgbm":
        import lightgbm

        boosted = lightgbm.LGBMClassifier(n_estimators=2, verbose=-1).fit(ROWS, NUMBERS)
        boosted.booster_.save_model("model.txt")
        path, expected = "model.txt", boosted.booster_.predict(ROWS)
    else:
        import skops.io

        fitted = LogisticRegression().fit(ROWS, NUMBERS)
        skops.io.dump(fitted, "model.skops")
        path, expected = "model.skops", fitted.predict(ROWS)
    register(path, kind)
    loaded = mlflow.pyfunc.load_model(f"models:/{kind}/1")
    assert np.allclose(loaded.predict(ROWS), expected)
    assert loaded.input_example.shape == (1, 5)
    with open_model(f"models:/{kind}/1") as ours:
        assert ours.predict({"X": ROWS})["label"].shape == (60,)


def test_an_onnx_model_that_plain_mlflow_registered_is_opened_by_its_number_and_by_its_alias(
    model: Callable[[int], Artifact], store: MlflowStore
) -> None:
    logged(mlflow.onnx, onnx.load(model(3).path), "theirs")
    store._client.set_registered_model_alias("theirs", "champion", "1")
    for name in ("models:/theirs/1", "models:/theirs@champion", "models:/theirs/latest"):
        with open_model(name) as session:
            assert np.array_equal(session.predict({"x": np.ones((2, 3), np.float32)})["y"], np.full((2, 3), 4.0))
    artifact = read_artifact("models:/theirs@champion")
    assert store.version("theirs", 1).sha256 == ""
    version, new = register(artifact.path, "theirs")
    assert (version.number, new, version.sha256) == (2, True, artifact.sha256)


def test_its_weights_may_lie_in_a_file_beside_it(project: Path) -> None:
    from onnx import TensorProto, helper, numpy_helper

    weights = numpy_helper.from_array(np.ones((32, 32), np.float32), "w")
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 32]) for name in "xy")
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "wide", [x], [y], [weights])
    network = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    logged(mlflow.onnx, network, "wide")
    artifact = read_artifact("models:/wide/1")
    assert len(artifact.passport.companions) == 1
    with open_model("models:/wide/1") as session:
        assert np.array_equal(session.predict({"x": np.ones((1, 32), np.float32)})["y"], np.full((1, 32), 32.0))
    version, _ = register("models:/wide/1", "ours")
    assert read_artifact(str(version)).passport.companions == artifact.passport.companions
    loaded = mlflow.pyfunc.load_model("models:/ours/1")
    assert loaded.predict({"x": np.ones((1, 32), np.float32)})["y"][0, 0] == 32


def test_what_plain_mlflow_keeps_as_a_pickle_is_never_opened(project: Path) -> None:
    fitted = LogisticRegression().fit(ROWS, NUMBERS)
    logged(mlflow.sklearn, fitted, "pickled", serialization_format="cloudpickle")
    with pytest.raises(ModelRefused, match=r"was logged as sklearn, which keeps Python objects \(pickle\)") as refused:
        open_model("models:/pickled/1")
    assert "ONNX" in refused.value.fix

    class Anything(mlflow.pyfunc.PythonModel):  # type: ignore[misc, name-defined]
        def predict(self, context: Any, model_input: list[str], params: Any = None) -> list[str]:
            return model_input

    with mlflow.start_run():
        mlflow.pyfunc.log_model(
            name="model", python_model=Anything(), registered_model_name="code", pip_requirements=["numpy"]
        )
    with pytest.raises(ModelRefused, match="was logged as python_function"):
        read_artifact("models:/code/1")


def test_trees_and_estimators_that_plain_mlflow_keeps_as_data_are_opened(project: Path) -> None:
    import xgboost

    logged(mlflow.xgboost, xgboost.XGBClassifier(n_estimators=2).fit(ROWS, NUMBERS), "boosted")
    logged(mlflow.sklearn, LogisticRegression().fit(ROWS, NUMBERS), "linear", serialization_format="skops")
    for name in ("boosted", "linear"):
        with open_model(f"models:/{name}/1") as session:
            assert session.predict({"X": ROWS})["label"].shape == (60,)


@pytest.mark.parametrize(
    "said",
    [
        "models:/",
        "models:/adds",
        "models:/adds/Production",
        "models:/adds/1/2",
        "models:/@x",
        "models:/adds/" + "9" * 20,
    ],
)
def test_a_name_that_says_no_version_is_refused_with_the_ways_to_say_one(said: str, project: Path) -> None:
    with pytest.raises(InputError) as refused:
        read_artifact(said)
    assert "models:/NAME@ALIAS" in refused.value.fix


def test_a_version_that_plain_mlflow_deleted_does_not_keep_its_bytes_out(
    model: Callable[[int], Artifact], store: MlflowStore
) -> None:
    for number in range(2):
        store.add(model(number), "street")
    store._client.delete_model_version("street", "1")
    version, new = store.add(model(0), "street")
    assert (version.number, new) == (3, True)
    assert store.add(model(0), "street")[0].number == 3
    assert read_artifact("models:/street/latest").sha256 == model(0).sha256


def test_a_file_that_changes_while_it_is_registered_becomes_no_version(
    model: Callable[[int], Artifact], store: MlflowStore
) -> None:
    artifact = model(0)
    artifact.path.write_bytes(model(1).path.read_bytes())
    with pytest.raises(InputError, match="changed while it was being registered"):
        store.add(artifact, "street")
    store.add(model(2), "street")
    assert [version.sha256 for version in store.versions("street")] == [model(2).sha256]


def test_a_passport_that_is_gone_from_the_cache_is_fetched_again(project: Path, store: MlflowStore) -> None:
    path = small_model(project / "model.onnx")
    issue(path, dataclasses.replace(read_artifact(path).passport, task="regress"), vouch=True)
    register(path, "street", store=store)
    kept = read_artifact("models:/street/1")
    path_of(kept.path).unlink()
    assert read_artifact("models:/street/1").passport == kept.passport
    assert kept.passport.task == "regress"


@pytest.mark.parametrize(
    "said",
    [
        "[" * 5000,
        "a: &a [x, x, x, x]\nb: &b [*a, *a, *a, *a]\nflavors: {onnx: {data: *b}}",
        'flavors: {onnx: {data: "a\\0b"}}',
        "flavors: {onnx: {data: 5}}",
        "flavors: 2001-99-99",
    ],
)
def test_a_description_that_nobody_can_follow_is_refused(tmp_path: Path, said: str) -> None:
    (tmp_path / "MLmodel").write_text(said)
    with pytest.raises(InputError, match="its MLmodel file cannot be read"):
        model_file(tmp_path, "models:/odd/1")
