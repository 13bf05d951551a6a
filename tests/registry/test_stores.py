"""The registry that ships, held to what every registry promises: a database in the project, and a server elsewhere."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))

from registry_server import Registry, served

from throughline.contracts.errors import Unavailable
from throughline.models.artifact import read_artifact
from throughline.models.mlflow_server import Server
from throughline.registry.promotion import promote, roll_back
from throughline.registry.stores import STORES
from throughline.registry.stores.mlflow import MlflowStore
from throughline.registry.versions import AliasMoved, Record, Store
from throughline.testing.stores import StoreConformance, small_model


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


class TestMlflowOnAServer(StoreConformance):
    address: str
    registry: Registry

    @pytest.fixture(autouse=True)
    def _server(self, empty_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        shutil.copy(empty_database, tmp_path / "server.db")
        with served(tmp_path / "server.db", tmp_path / "server") as (self.address, self.registry):
            monkeypatch.setenv("MLFLOW_TRACKING_URI", self.address)
            monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
            yield

    def store(self, folder: Path) -> Store:
        return MlflowStore(Server(self.address, self.address))

    def test_a_name_is_fetched_from_the_server_and_kept(self, tmp_path: Path) -> None:
        store, model = self.store(tmp_path), self.model(tmp_path)
        store.add(model, "street")
        move = promote(store, "street", 1)
        assert "looked at right before" in move.notes[0]
        artifact = read_artifact("models:/street@champion")
        assert artifact.sha256 == model.sha256
        shutil.rmtree(tmp_path / "server")
        assert read_artifact("models:/street@champion").path == artifact.path

    def test_somebody_who_moves_it_in_the_same_moment_is_noticed(self, tmp_path: Path) -> None:
        store = self.store(tmp_path)
        for number in range(3):
            store.add(self.model(tmp_path, number), "street")
        promote(store, "street", 1)
        write = self.registry.versions.set_registered_model_tag

        def overtaken(name: str, tag: object) -> None:
            self.registry.versions.set_registered_model_alias(name, "champion", "3")
            write(name, tag)

        self.registry.versions.set_registered_model_tag = overtaken
        with pytest.raises(AliasMoved, match="at the same moment"):
            store.move("street", "champion", 1, 2, Record(2, "text"))

    def test_it_rolls_back(self, tmp_path: Path) -> None:
        store = self.store(tmp_path)
        for number in range(2):
            store.add(self.model(tmp_path, number), "street")
        promote(store, "street", 1)
        promote(store, "street", 2, force=True, reason="try it")
        assert roll_back(store, "street").after == 1

    def test_files_that_lie_elsewhere_are_not_asked_for(self, tmp_path: Path) -> None:
        store = self.store(tmp_path)
        self.registry.versions.create_registered_model("bucket")
        for source in (
            "s3://somewhere/model",
            "mlflow-artifacts://elsewhere.example:80/0/x",
            "http://elsewhere.example/m",
        ):
            made = self.registry.versions.create_model_version("bucket", source)
            with pytest.raises(Unavailable, match="only the tracking server itself is asked for files"):
                store.file(store.version("bucket", made.version))


def test_two_of_us_who_register_the_same_bytes_on_a_server_end_with_one_version(
    empty_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(empty_database, tmp_path / "server.db")
    with served(tmp_path / "server.db", tmp_path / "server") as (address, _):
        one, other = (MlflowStore(Server(address, address)) for _ in range(2))
        model = read_artifact(small_model(tmp_path / "model.onnx"))
        create = other._client.create_model_version

        def late(*args: object, **options: object) -> object:
            one.add(model, "adds")
            return create(*args, **options)

        monkeypatch.setattr(other._client, "create_model_version", late)
        monkeypatch.setattr(one, "_client", type(one._client)(address, address))
        assert other.add(model, "adds")[1] is False
        assert [version.number for version in one.versions("adds")] == [1]
