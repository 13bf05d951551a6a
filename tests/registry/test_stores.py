"""The registry that ships, held to what every registry promises: with a database here, and as on a server."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from throughline.models.mlflow_server import Server
from throughline.registry.stores import STORES
from throughline.registry.stores.mlflow import MlflowStore
from throughline.registry.versions import Store
from throughline.testing.stores import StoreConformance


def test_these_stores_there_are() -> None:
    assert STORES.names() == ("mlflow",)
    assert STORES.get("mlflow").summary


class TestMlflow(StoreConformance):
    @pytest.fixture(autouse=True)
    def _database(self, empty_database: Path, tmp_path: Path) -> None:
        shutil.copy(empty_database, tmp_path / "mlflow.db")

    def store(self, folder: Path) -> Store:
        uri = f"sqlite:///{folder / 'mlflow.db'}"
        return MlflowStore(Server(uri, uri))
