"""What the registry's tests stand on: small models, and an embedded database that is made once and copied."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
pytest.importorskip("mlflow")

from throughline.contracts.artifacts import Artifact
from throughline.models.artifact import read_artifact
from throughline.models.mlflow_server import Server, connect
from throughline.registry.stores.mlflow import MlflowStore
from throughline.testing.stores import small_model


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("registry") / "mlflow.db"
    connect(Server(f"sqlite:///{path}", f"sqlite:///{path}"))
    return path


@pytest.fixture
def project(empty_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project folder with a registry, and this process in it."""
    folder = tmp_path / "project"
    folder.mkdir()
    with closing(sqlite3.connect(empty_database)) as handle:
        handle.execute("VACUUM INTO ?", (str(folder / "mlflow.db"),))
    with closing(sqlite3.connect(folder / "mlflow.db")) as handle, handle:
        handle.execute("UPDATE experiments SET artifact_location = ?", ((folder / "mlruns" / "0").as_uri(),))
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def store(project: Path) -> MlflowStore:
    return MlflowStore()


@pytest.fixture
def model(project: Path) -> Callable[[int], Artifact]:
    """A model for each number, no two alike."""
    return lambda number: read_artifact(small_model(project / f"model-{number}.onnx", number))
