"""Where MLflow keeps its records here, and how many processes may write to them at once.

Without a server that is one SQLite file in the project folder. SQLite lets one writer in at a time and tells the
others that the database is locked, which is nobody's concern but ours: writers of this package queue at one lock beside
the file, and whoever meets another program's write waits for it.
"""

from __future__ import annotations

import fcntl
import importlib.util
import logging
import os
import random
import sqlite3
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from throughline.contracts.errors import InputError, MissingExtra, ThroughlineError, Unavailable, first_line
from throughline.files import whole_file
from throughline.terminal import note

_T = TypeVar("_T")
_PATIENCE: Final = 120.0
_LOCKED: Final = ("database is locked", "database table is locked", "database schema is locked")
_NEEDED: Final = {"mlflow": "mlflow-skinny", "sqlalchemy": "sqlalchemy", "alembic": "alembic"}
_connected: dict[tuple[str, str, int], Any] = {}


@dataclass(frozen=True, slots=True)
class Server:
    """The two addresses that MLflow goes by: of its runs, and of its registry."""

    tracking: str
    registry: str

    @property
    def database(self) -> Path | None:
        """The SQLite file, where the registry is no server but a file here."""
        scheme, _, path = self.registry.partition(":///")
        return Path(path) if scheme == "sqlite" and path and path != ":memory:" else None

    def __str__(self) -> str:
        return str(self.database or _without_secrets(self.registry))


def server() -> Server:
    """The one that ``MLFLOW_TRACKING_URI`` and ``MLFLOW_REGISTRY_URI`` name; ``mlflow.db`` in this folder if none."""
    tracking = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{Path.cwd() / 'mlflow.db'}"
    return Server(_absolute(tracking), _absolute(os.environ.get("MLFLOW_REGISTRY_URI") or tracking))


def require(server: Server) -> None:
    """Refuse to look for something in an embedded database that nobody has made: looking makes none."""
    if server.database is not None and not server.database.exists():
        raise InputError(
            f"there is no registry: {server.database} does not exist",
            "go to the folder that holds it, set MLFLOW_TRACKING_URI, or register a first model: "
            "throughline register FILE NAME",
        )


def connect(server: Server) -> Any:
    """MLflow's client; the database is made the first time, by one process."""
    key = (server.tracking, server.registry, os.getpid())
    if key not in _connected:
        for module, package in _NEEDED.items():
            if importlib.util.find_spec(module) is None:
                raise MissingExtra(package, "the registry of models", "train")
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # before it is loaded, or it calls home
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")  # not the four minutes that its seven take
        client = ask(server, lambda: _client(server))
        _connected[key] = client
    return _connected[key]


@contextmanager
def alone(server: Server) -> Iterator[None]:
    """Hold the embedded database against every other process of this package; a kill lets go of it.

    A server elsewhere orders its own writers, so that nothing is held there.
    """
    if server.database is None:
        yield
        return
    path = server.database.with_name(f"{server.database.name}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise InputError(
            f"{path}: cannot write: {error.strerror or error}", "choose a folder that you can write to"
        ) from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def ask(server: Server, question: Callable[[], _T]) -> _T:
    """What MLflow answers. One that finds the database held by another program is asked again for two minutes.

    Raises:
        InputError: what was asked for is not there, or not allowed.
        Unavailable: there is no answer from there.
    """
    with quietly():
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError
    until, pause = time.monotonic() + _PATIENCE, 0.01
    while True:
        try:
            with quietly():
                return question()
        except (MlflowException, SQLAlchemyError) as error:
            if not any(text in str(error) for text in _LOCKED):
                raise _said(server, error) from None
            if time.monotonic() > until:
                raise Unavailable(
                    f"{server}: another program has been writing to it for {_PATIENCE:.0f} s",
                    "see what keeps it (fuser mlflow.db), and try again",
                ) from None
        time.sleep(pause * random.uniform(0.5, 1.5))
        pause = min(2 * pause, 0.5)


@contextmanager
def quietly() -> Iterator[None]:
    """Without what MLflow says in passing: tables made, a lock met, its own use of things that will go away."""
    loggers = [logging.getLogger(name) for name in ("mlflow", "mlflow.store.db.utils", "alembic")]
    levels = [logger.level for logger in loggers]
    try:
        for logger, level in zip(loggers, (logging.WARNING, logging.CRITICAL, logging.WARNING), strict=True):
            logger.setLevel(level)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _said(server: Server, error: Any) -> ThroughlineError:
    """MLflow's error as one of ours."""
    line, code = first_line(error), getattr(error, "error_code", "")
    if code in ("RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS", "INVALID_PARAMETER_VALUE", "BAD_REQUEST"):
        return InputError(f"{server}: {line}", "see what is there: throughline history MODEL")
    return Unavailable(f"{server} does not answer as it should: {line}", "check MLFLOW_TRACKING_URI, and the server")


def _client(server: Server) -> Any:
    from mlflow import MlflowClient

    if server.database is not None and not server.database.exists():
        with alone(server):
            if not server.database.exists():
                note(f"{server.database} is made now, which takes some seconds once")
                _make(server.database)
    client = MlflowClient(server.tracking, server.registry)
    client.search_registered_models(max_results=1)
    _readers_pass_writers(server)
    return client


def _make(database: Path) -> None:
    """A database that is there whole or not at all, whose files lie beside it and not wherever this process is."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    with whole_file(database) as draft:
        SqlAlchemyStore(f"sqlite:///{draft}", (database.parent / "mlruns").as_uri()).engine.dispose()


def _readers_pass_writers(server: Server) -> None:
    """Let reads go on while something is written; where the file system cannot, they wait for each other."""
    if server.database is not None:
        with suppress(sqlite3.Error):
            handle = sqlite3.connect(server.database, timeout=20)
            try:
                handle.execute("PRAGMA journal_mode=WAL")
            finally:
                handle.close()


def _absolute(uri: str) -> str:
    scheme, sign, path = uri.partition(":///")
    if scheme == "sqlite" and sign and path and path != ":memory:":
        return f"sqlite:///{Path(path).absolute()}"
    return uri


def _without_secrets(uri: str) -> str:
    parts = urlsplit(uri)
    if not parts.hostname:
        return uri
    return f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "") + parts.path
