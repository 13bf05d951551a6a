"""MLflow: what is written is where its own client and its own page look for it."""

from __future__ import annotations

import importlib.util
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

# looked for, not imported: what is imported before a test asks for it may call home
if not all(map(importlib.util.find_spec, ("mlflow", "sqlalchemy", "alembic"))):
    pytest.skip("MLflow is not installed", allow_module_level=True)

from throughline.contracts.records import RUN_KEY
from throughline.testing.runlogs import RunLogConformance


def cut_off(*_: object, **__: object) -> None:
    """The process ends here."""
    raise KeyboardInterrupt


class TestMlflow(RunLogConformance):
    runlog = "mlflow"
    loaded_first = ("mlflow.store.tracking.sqlalchemy_store", "mlflow.store.model_registry.sqlalchemy_store")

    @classmethod
    def setup_class(cls) -> None:
        for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "MLFLOW_EXPERIMENT_NAME"):
            os.environ.pop(name, None)
        super().setup_class()

    def client(self) -> Any:
        from mlflow import MlflowClient

        return MlflowClient(f"sqlite:///{self.folder() / 'mlflow.db'}")

    def kept(self, run: str, file: Path) -> None:
        assert [one.path for one in self.client().list_artifacts(run)] == [file.name]
        place = self.client().get_run(run).info.artifact_uri
        assert place.startswith((self.folder() / "mlruns").as_uri())

    def test_mlflows_own_client_reads_what_its_page_shows(self) -> None:
        whole = self._log.start("search", {}, {"commit": "c0ffee", "command": "throughline tune"})
        run = self._log.start("trial 0", {"lr": 0.5}, {"seed": "1"}, whole)
        for step in range(5):
            self._log.metrics(run, {"loss": 5.0 - step}, step, at=1_700_000_000 + step)
        self._log.metrics(run, {"system/cpu_utilization_percentage": 50.0}, 10)
        client = self.client()
        experiment = client.get_experiment_by_name(self.folder().name)
        own = client.search_runs([experiment.experiment_id], f"tags.mlflow.parentRunId = '{whole}'")
        assert [one.info.run_id for one in own] == [run]
        assert client.get_run(whole).data.tags["mlflow.source.git.commit"] == "c0ffee"
        history = client.get_metric_history(run, "loss")
        assert [(one.step, one.value) for one in history] == [(step, 5.0 - step) for step in range(5)]
        assert [one.timestamp for one in history] == [1_700_000_000_000 + 1000 * step for step in range(5)]

    def test_a_step_that_is_told_twice_is_one_point(self) -> None:
        run = self.begun()
        for _ in range(3):
            self._log.metrics(run, {"loss": 0.5, "nan": float("nan")}, 1, at=1_700_000_000)
        assert len(self.client().get_metric_history(run, "loss")) == 1

    def test_many_steps_keep_their_numbers(self) -> None:
        run = self.begun()
        steps = [({"a": float(step), "b": -1.0}, step, 1_700_000_000 + step) for step in range(1200)]
        self._log.many(run, steps)  # type: ignore[attr-defined]
        assert [one.step for one in self.client().get_metric_history(run, "a")] == list(range(1200))

    def test_a_run_that_was_cut_off_from_its_parameters_has_them_once_it_is_told_again(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from mlflow import MlflowClient

        told = ("cut off", {"lr": 0.5, "long": "v" * 9000}, {RUN_KEY: os.urandom(16).hex()})
        with monkeypatch.context() as patch:
            patch.setattr(MlflowClient, "log_batch", cut_off)
            with pytest.raises(KeyboardInterrupt):
                self.opened().start(*told)
        for _ in range(2):
            run = self.opened().start(*told)
        assert self.record(run).parameters["lr"] == "0.5"

    def test_listing_makes_no_database(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        from throughline.training.recording import run_log

        monkeypatch.chdir(tmp_path)
        assert list(run_log("mlflow").runs()) == []
        assert list(tmp_path.iterdir()) == []

    def test_nothing_calls_home(self) -> None:
        assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
        from mlflow.telemetry import get_telemetry_client

        assert get_telemetry_client() is None

    def test_another_program_that_keeps_the_database_is_waited_for(self) -> None:
        run = self.begun()
        import threading

        with closing(sqlite3.connect(self.folder() / "mlflow.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            teller = threading.Thread(target=lambda: self._log.metrics(run, {"loss": 1.0}, 0))
            teller.start()
            teller.join(0.3)
            assert teller.is_alive()
            other.execute("ROLLBACK")
            teller.join()
        assert self.record(run).metrics == {"loss": 1.0}
