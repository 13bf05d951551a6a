"""What every test stands on: a home of its own, and honesty about what could not run here."""

from __future__ import annotations

import os
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import settings

from throughline import hardware

# The same examples on every run, and no verdict on how busy the machine is.
settings.register_profile("throughline", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("throughline")

sys.path.append(str(Path(__file__).parent / "video"))  # blobs.py: tests use it, and run it as a program of its own
_NEEDED = (
    ("no NVIDIA GPU", "an NVIDIA GPU"),
    ("no Chromium", "Chromium"),
    ("no BentoML", "BentoML"),
    ("no hadolint", "hadolint"),
    ("no kubectl", "kubectl"),
)
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not hardware.detect().gpus:
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="no NVIDIA GPU"))
    if CHROMIUM is None:
        for item in items:
            if item.get_closest_marker("browser"):
                item.add_marker(pytest.mark.skip(reason="no Chromium"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = terminalreporter.stats.get("skipped", [])
    for reason, needed in _NEEDED:
        if lacking := sum(reason in str(report.longrepr) for report in skipped):
            terminalreporter.write_line(f"NOT RUN: {lacking} tests need {needed}, and none was found", yellow=True)


@pytest.fixture
def one_core() -> Iterator[None]:
    """Models that are measured with every core take four times as long where other tests do the same beside them."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    yield
    os.sched_setaffinity(0, before)


@pytest.fixture
def chromium() -> str:
    """Where it is; only tests that are marked ``browser`` may ask."""
    assert CHROMIUM is not None
    return CHROMIUM


@pytest.fixture(scope="session")
def blob_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from blobs import write_model

    return write_model(tmp_path_factory.mktemp("model") / "blobs.onnx")


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's database with nothing in it, which takes seconds to make."""
    from throughline.models.mlflow_server import Server, connect

    path = tmp_path_factory.mktemp("database") / "mlflow.db"
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


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes its user's keys or settings."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in [name for name in os.environ if name.startswith("THROUGHLINE_")]:
        monkeypatch.delenv(name)
