"""What the registry's tests stand on: small models, and a store in an empty project."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
pytest.importorskip("mlflow")

from throughline.contracts.artifacts import Artifact
from throughline.models.artifact import read_artifact
from throughline.registry.stores.mlflow import MlflowStore
from throughline.testing.stores import small_model


@pytest.fixture
def store(project: Path) -> MlflowStore:
    return MlflowStore()


@pytest.fixture
def model(project: Path) -> Callable[[int], Artifact]:
    """A model for each number, no two alike."""
    return lambda number: read_artifact(small_model(project / f"model-{number}.onnx", number))
