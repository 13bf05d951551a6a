"""Runs in MLflow: one SQLite file in the project's folder, or the server that ``MLFLOW_TRACKING_URI`` names.

``mlflow ui --backend-store-uri sqlite:///mlflow.db`` shows what is written here: the names of tags, system metrics and
nested runs are MLflow's own.
"""

from __future__ import annotations

import logging
import math
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar, final

from throughline.contracts.errors import MissingExtra, Unavailable, first_line
from throughline.contracts.records import RUN_KEY, NotTaken, RunRecord, RunState
from throughline.models.mlflow_server import Server, alone, connect, server
from throughline.plugins import Plugin
from throughline.training.circumstances import PROCESS, this_process, without_user
from throughline.training.record_file import in_words

_T = TypeVar("_T")
_PARENT: Final = "mlflow.parentRunId"
_THEIRS: Final = {
    "commit": "mlflow.source.git.commit",
    "branch": "mlflow.source.git.branch",
    "command": "mlflow.source.name",
    "user": "mlflow.user",
}
_MANY_VALUES, _MANY_PARAMETERS, _MOST_AT_ONCE = 1000, 100, 1000
_REFUSED: Final = ("RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS", "INVALID_PARAMETER_VALUE", "BAD_REQUEST")


@final
class Mlflow:
    """MLflow's own client, under the project's experiment."""

    def __init__(self, folder: Path | None = None) -> None:
        for name, value in (("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1"), ("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")):
            os.environ.setdefault(name, value)  # a recorder tries again by itself, and says so meanwhile
        self._server = server()
        project = (folder or Path.cwd()).absolute()
        if folder is not None and not os.environ.get("MLFLOW_TRACKING_URI"):
            database = f"sqlite:///{project / 'mlflow.db'}"
            self._server = Server(database, database)
        self._project = os.environ.get("MLFLOW_EXPERIMENT_NAME") or project.name or "throughline"
        self._experiment = ""
        self._keys: dict[str, str] = {}

    def __str__(self) -> str:
        return f"mlflow at {self._server}"

    def start(
        self,
        name: str,
        parameters: Mapping[str, Any],
        tags: Mapping[str, str],
        parent: str | None = None,
        *,
        at: float | None = None,
    ) -> str:
        """A new run; its id."""
        client, experiment = self._connected(), self._found()
        key = tags.get(RUN_KEY, "")
        run = self._by_key(key) if key else ""
        if not run:
            told = {_name(tag): str(value) for tag, value in tags.items()}
            told |= {theirs: told[ours] for ours, theirs in _THEIRS.items() if ours in told}
            if parent:
                told[_PARENT] = self._parent(parent)
            started = _milliseconds(at)
            made = self._told(lambda: client.create_run(experiment, started, told, name))
            run = str(made.info.run_id)
            self._keys[key] = run
        from mlflow.entities import Param

        # told again too: a run that was made may have been cut off from its parameters
        given = [Param(_name(key), in_words(value)) for key, value in parameters.items()]
        for begin in range(0, len(given), _MANY_PARAMETERS):
            some = given[begin : begin + _MANY_PARAMETERS]
            self._told(lambda some=some: client.log_batch(run, params=some, synchronous=True))  # type: ignore[misc]
        return run

    def metrics(self, run: str, values: Mapping[str, float], step: int, *, at: float | None = None) -> None:
        """Values of one step."""
        self.many(run, [(values, step, time.time() if at is None else at)])

    def many(self, run: str, steps: Sequence[tuple[Mapping[str, float], int, float]]) -> None:
        """Values of several steps, in as few transactions as MLflow allows."""
        client = self._connected()
        from mlflow.entities import Metric

        flat = [
            Metric(_name(name), float(value), _milliseconds(at), int(step))
            for values, step, at in steps
            for name, value in values.items()
        ]
        for begin in range(0, len(flat), _MANY_VALUES):
            some = flat[begin : begin + _MANY_VALUES]
            self._told(lambda some=some: client.log_batch(run, metrics=some, synchronous=True))  # type: ignore[misc]

    def artifact(self, run: str, path: Path) -> None:
        """A copy of a file that came of it."""
        if not path.is_file():
            raise NotTaken(f"{path}: there is no such file", "give a file that is there")
        client = self._connected()
        self._told(lambda: client.log_artifact(run, str(path)))

    def finish(self, run: str, state: RunState, *, at: float | None = None) -> None:
        """The end of a run, or that it goes on."""
        client = self._connected()
        if state is RunState.RUNNING:
            self._told(lambda: client.update_run(run, status="RUNNING"))
            self._told(lambda: client.set_tag(run, PROCESS, this_process()))
            return
        self._told(lambda: client.set_terminated(run, state.upper(), _milliseconds(at)))

    def runs(self) -> Iterator[RunRecord]:
        """Every run, the newest first: of all experiments in a file, of this project's on a server."""
        if self._server.database is not None and not self._server.database.exists():
            return
        client = self._connected()
        if self._server.database is not None:
            where = [one.experiment_id for one in self._told(lambda: client.search_experiments())]
        else:
            where = [self._found()]
        token, now = None, time.time()
        while where:
            page = self._told(
                lambda token=token: client.search_runs(  # type: ignore[misc]
                    where, max_results=_MOST_AT_ONCE, order_by=["attributes.start_time DESC"], page_token=token
                )
            )
            yield from (_record(run, now) for run in page)
            if not (token := page.token):
                return

    def _connected(self) -> Any:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
        try:
            client = connect(self._server)
        except MissingExtra:
            raise
        except Unavailable as error:
            raise Unavailable(_cause(error.problem), error.fix) from None
        for name in ("mlflow", "mlflow.store.db.utils"):
            logging.getLogger(name).setLevel(logging.CRITICAL)  # what fails is raised, and said by who asked
        return client

    def _found(self) -> str:
        """The project's experiment, made by whoever comes first."""
        if not self._experiment:
            client, database = self._connected(), self._server.database
            where = None if database is None else (database.parent / "mlruns").as_uri()
            found = self._told(lambda: client.get_experiment_by_name(self._project))
            if found is None:
                try:
                    self._told(lambda: client.create_experiment(self._project, where))
                except NotTaken as error:
                    if "already exists" not in error.problem:
                        raise
                found = self._told(lambda: client.get_experiment_by_name(self._project))
            self._experiment = str(found.experiment_id)
        return self._experiment

    def _by_key(self, key: str) -> str:
        """The run of a key; "" where there is none."""
        if key not in self._keys and re.fullmatch(r"[\w.-]+", key):
            client, experiment = self._connected(), self._found()
            where = f"tags.`{RUN_KEY}` = '{key}'"
            found = self._told(lambda: client.search_runs([experiment], where, max_results=1))
            if found:
                self._keys[key] = str(found[0].info.run_id)
        return self._keys.get(key, "")

    def _parent(self, parent: str) -> str:
        """A parent's own id; what is given may be its key, where its own log answered late."""
        if run := self._by_key(parent):
            return run
        client = self._connected()
        try:
            return str(self._told(lambda: client.get_run(parent)).info.run_id)
        except NotTaken:
            raise Unavailable(
                f"{self}: the run '{parent}', to which this one belongs, is not there yet", "deliver that one first"
            ) from None

    def _told(self, question: Callable[[], _T]) -> _T:
        """MLflow's answer; writers of this package to one file queue, and another program's write is waited for."""
        from mlflow.exceptions import MlflowException

        for attempt in (1, 2, 3):
            try:
                with alone(self._server):
                    return question()
            except MlflowException as error:
                line, code = _cause(first_line(error)), getattr(error, "error_code", "")
                if "is locked" in str(error):
                    if attempt == 3:
                        raise Unavailable(
                            "another program keeps it for itself", "fuser mlflow.db tells which"
                        ) from None
                elif code in _REFUSED:
                    raise NotTaken(f"{self}: {line}", "throughline runs lists what is there") from None
                else:
                    raise Unavailable(line, "check MLFLOW_TRACKING_URI, and the server") from None
        raise AssertionError


def _record(run: Any, now: float) -> RunRecord:
    began = (run.info.start_time or 0) / 1000
    tags = dict(run.data.tags)
    state = {"FINISHED": RunState.FINISHED, "FAILED": RunState.FAILED, "KILLED": RunState.KILLED}.get(
        run.info.status, RunState.RUNNING
    )
    goes_on = state is RunState.RUNNING or run.info.end_time is None  # one that was taken up has its old end still
    ended = now if goes_on else run.info.end_time / 1000
    name = run.info.run_name or run.info.run_id
    return RunRecord(
        run.info.run_id, name, state, began, ended - began, dict(run.data.params), dict(run.data.metrics), tags,
        tags.get(_PARENT),
    )  # fmt: skip


def _cause(line: str) -> str:
    """What stands at the end of a line in which every library on the way says where it was."""
    found = re.search(r"\[Errno[^\"')]*|Read timed out|too many \d+ error responses", line)
    return found[0] if found else without_user(line)


def _name(text: str) -> str:
    """A name that MLflow takes: letters, digits and ``_-. :``, in parts between slashes as a path has them."""
    parts = re.sub(r"[^\w\-./ :]", "_", text)[:250].split("/")
    return "/".join(part for part in parts if part not in ("", ".", "..")) or "_"


def _milliseconds(at: float | None) -> int:
    return math.floor((time.time() if at is None else at) * 1000)


PLUGIN = Plugin(
    make=Mlflow,
    summary="MLflow: a file in the project folder, or the server of MLFLOW_TRACKING_URI",
    needs=("mlflow", "sqlalchemy", "alembic"),
    extra="train",
)
