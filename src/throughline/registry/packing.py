"""A model as a folder that plain MLflow can load: the very bytes of its file, and what MLflow wants to know of them.

MLflow would write the model anew, and other bytes would be another model. So the file is copied as it is and described
to MLflow by hand: which of its flavours opens it, what it takes and returns, and an example to try it with.
"""

from __future__ import annotations

import importlib.metadata
import json
import math
import platform
import shutil
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np

from throughline.contracts.artifacts import Array, Artifact, TensorSpec
from throughline.contracts.errors import InputError, ThroughlineError
from throughline.files import writing
from throughline.models import passport as passports
from throughline.models.backends import ANY_SHAPE, UNKNOWN
from throughline.models.mlflow_server import quietly
from throughline.models.registered import Files

_EXAMPLE: Final = "input_example.json"
_SERVING: Final = "serving_input_example.json"
_SMALL: Final = 1 << 16
_LARGEST: Final = 1 << 24
_SEED: Final = 0
_ESTIMATORS: Final = ("skops", "xgboost", "lightgbm")
_TAKEN: Final = frozenset({"MLmodel", "requirements.txt", "python_env.yaml", "conda.yaml", _EXAMPLE, _SERVING})


def files_of(artifact: Artifact) -> Files:
    """The files that a model consists of, with their hashes."""
    passport = artifact.passport
    hashes = {artifact.path.name: passport.sha256, **passport.companions}
    if clash := sorted(_TAKEN & hashes.keys()):
        raise InputError(f"{artifact.path}: a part of it is called {clash[0]}, which MLflow's own file is", "rename it")
    beside = passports.path_of(artifact.path) if artifact.issued else None
    return Files(artifact.path.name, hashes, (beside.name, passports.digest(beside)) if beside else None)


def pack(artifact: Artifact, files: Files, folder: Path) -> None:
    """Write a model into an empty folder as MLflow keeps them."""
    with quietly(), writing(folder):
        from mlflow.models import Model, ModelSignature
        from mlflow.types import Schema

        for name in [*files.hashes, *([files.passport[0]] if files.passport else [])]:
            shutil.copyfile(artifact.path.with_name(name), folder / name)
        for name, sha256 in files.hashes.items():
            if passports.digest(folder / name) != sha256:
                raise InputError(
                    f"{artifact.path.with_name(name)}: it was changed while it was being registered",
                    "register it once nothing writes to it any more",
                )
        described = Model()
        described.add_flavor("throughline", file=files.model, format=artifact.format, sha256=files.sha256)
        packages = ["mlflow-skinny"]
        if artifact.format in _FLAVOURS:
            packages += _FLAVOURS[artifact.format](described, files.model)
        if inputs := _told(artifact.inputs) or _columns(artifact):
            named = artifact.format == "onnx"
            outputs = _told(artifact.outputs) if named else ()
            described.signature = ModelSignature(
                Schema(_specs(inputs, named)), Schema(_specs(outputs, named)) if outputs else None
            )
            _write_example(described, inputs, named, folder)
        _write_requirements(packages, folder)
        described.save(str(folder / "MLmodel"))


def _onnx(described: Any, file: str) -> list[str]:
    from mlflow.onnx import ONNX_EXECUTION_PROVIDERS

    described.add_flavor(
        "onnx", onnx_version=_version("onnx"), data=file, providers=ONNX_EXECUTION_PROVIDERS, onnx_session_options=None
    )
    _pyfunc(described, "mlflow.onnx", file)
    return ["onnx", "onnxruntime", "pandas"]


def _xgboost(described: Any, file: str) -> list[str]:
    described.add_flavor(
        "xgboost",
        xgb_version=_version("xgboost"),
        data=file,
        model_class="xgboost.core.Booster",
        model_format=Path(file).suffix.lstrip("."),
    )
    _pyfunc(described, "mlflow.xgboost", file)
    return ["xgboost", "pandas"]


def _lightgbm(described: Any, file: str) -> list[str]:
    described.add_flavor("lightgbm", lgb_version=_version("lightgbm"), data=file, model_class="lightgbm.basic.Booster")
    _pyfunc(described, "mlflow.lightgbm", file)
    return ["lightgbm", "pandas"]


def _skops(described: Any, file: str) -> list[str]:
    described.add_flavor(
        "sklearn",
        pickled_model=file,
        sklearn_version=_version("scikit-learn"),
        serialization_format="skops",
        skops_trusted_types=None,
    )
    _pyfunc(described, "mlflow.sklearn", file, predict_fn="predict")
    return ["scikit-learn", "skops", "pandas"]


_FLAVOURS: Final[dict[str, Callable[[Any, str], list[str]]]] = {
    "onnx": _onnx,
    "xgboost": _xgboost,
    "lightgbm": _lightgbm,
    "skops": _skops,
}
"""The formats that MLflow opens without Throughline; others are kept, and only Throughline opens them."""


def _pyfunc(described: Any, loader: str, file: str, **more: Any) -> None:
    from mlflow import pyfunc

    pyfunc.add_to_model(described, loader_module=loader, data=file, python_env="python_env.yaml", **more)


def _told(specs: Sequence[TensorSpec]) -> tuple[TensorSpec, ...]:
    """All of them, where each says what it is; none where one does not."""
    known = all(spec.dtype != UNKNOWN and spec.shape != ANY_SHAPE for spec in specs)
    return tuple(specs) if known else ()


def _columns(artifact: Artifact) -> tuple[TensorSpec, ...]:
    """What an estimator takes, whose file does not say it; nothing where opening it would run code."""
    if artifact.format not in _ESTIMATORS:
        return ()
    from throughline.models.loading.estimators import open_estimator

    try:
        columns = open_estimator(artifact.path, artifact.format).features
    except ThroughlineError:
        return ()
    return (TensorSpec("X", "float32", ("batch", columns)),)


def _specs(specs: Sequence[TensorSpec], named: bool) -> list[Any]:
    from mlflow.types import TensorSpec as Described

    return [
        Described(
            np.dtype("str" if spec.dtype in ("object", "string", "str") else spec.dtype),
            tuple(size if isinstance(size, int) else -1 for size in spec.shape),
            spec.name if named else None,
        )
        for spec in specs
    ]


def _write_example(described: Any, inputs: Sequence[TensorSpec], named: bool, folder: Path) -> None:
    """One row of seeded zeros and ones: valid for any model, and the shortest to write down."""
    size = sum(math.prod(spec.concrete()) for spec in inputs)
    if size > _LARGEST:
        return
    dice = np.random.default_rng(_SEED)
    arrays = {spec.name: _example(spec, dice).tolist() for spec in inputs}
    example = arrays if named else next(iter(arrays.values()))
    _write_json(folder / _EXAMPLE, example)
    described.saved_input_example_info = {"artifact_path": _EXAMPLE, "type": "ndarray"}
    if size <= _SMALL:
        _write_json(folder / _SERVING, {"inputs": example})
        described.saved_input_example_info["serving_input_path"] = _SERVING


def _example(spec: TensorSpec, dice: np.random.Generator) -> Array:
    bits = dice.integers(0, 2, spec.concrete())
    if np.dtype(spec.dtype).kind == "b":
        return bits.astype(bool)
    return bits if np.dtype(spec.dtype).kind in "iuf" else bits.astype(str)


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, separators=(",", ":")), "utf-8")


def _write_requirements(packages: Sequence[str], folder: Path) -> None:
    lines = [f"{name}=={_version(name)}" for name in packages]
    (folder / "requirements.txt").write_text("\n".join(lines) + "\n", "utf-8")
    python = f"python: {platform.python_version()}\nbuild_dependencies: []\ndependencies:\n- -r requirements.txt\n"
    (folder / "python_env.yaml").write_text(python, "utf-8")


@cache
def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "0"
