"""A tracking server of MLflow: its own stores and messages behind as much HTTP as a registry needs, on this machine."""

from __future__ import annotations

import json
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

_API, _FILES = "/api/2.0/mlflow/", "/api/2.0/mlflow-artifacts/artifacts"


class Registry:
    """What the server answers, from a database and a folder of its own."""

    def __init__(self, database: Path, files: Path) -> None:
        from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore as Versions
        from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore as Runs

        with closing(sqlite3.connect(database)) as handle, handle:
            handle.execute("UPDATE experiments SET artifact_location = 'mlflow-artifacts:/0'")
        self.files, self.asked = files, list[str]()
        self.versions, self.runs = (
            Versions(f"sqlite:///{database}"),
            Runs(f"sqlite:///{database}", "mlflow-artifacts:/"),
        )

    def answer(self, method: str, call: str, told: dict[str, Any]) -> dict[str, Any]:
        from mlflow.entities import LoggedModelStatus, LoggedModelTag
        from mlflow.entities.model_registry import ModelVersionTag, RegisteredModelTag
        from mlflow.exceptions import MlflowException
        from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE

        self.asked.append(f"{method} {call}")
        name, version, tags = told.get("name"), told.get("version"), told.get("tags", [])
        there, most = self.versions, int(told.get("max_results", 100))
        if call.startswith("logged-models"):
            model = call.partition("/")[2]
            if method == "POST":
                made = self.runs.create_logged_model(
                    told["experiment_id"], name, told.get("source_run_id"), [LoggedModelTag(**tag) for tag in tags]
                )
            elif method == "PATCH":
                made = self.runs.finalize_logged_model(model, LoggedModelStatus.READY)
            else:
                made = self.runs.get_logged_model(model)
            return {"model": _plain(made)}
        match method, call:
            case "POST", "registered-models/create":
                return {"registered_model": _plain(there.create_registered_model(name))}
            case _, "registered-models/search":
                found = there.search_registered_models(told.get("filter"), most, None, told.get("page_token"))
                return {"registered_models": list(map(_plain, found)), "next_page_token": found.token or ""}
            case "GET", "registered-models/get":
                return {"registered_model": _plain(there.get_registered_model(name))}
            case "POST", "registered-models/set-tag":
                there.set_registered_model_tag(name, RegisteredModelTag(told["key"], told["value"]))
            case "POST", "registered-models/alias":
                there.set_registered_model_alias(name, told["alias"], version)
            case "GET", "registered-models/alias":
                return {"model_version": _plain(there.get_model_version_by_alias(name, told["alias"]))}
            case "POST", "model-versions/create":
                made = there.create_model_version(
                    name, told["source"], told.get("run_id"), [ModelVersionTag(**tag) for tag in tags]
                )
                return {"model_version": _plain(made)}
            case "DELETE", "model-versions/delete":
                there.delete_model_version(name, version)
            case "GET", "model-versions/get":
                return {"model_version": _plain(there.get_model_version(name, version))}
            case "GET", "model-versions/get-download-uri":
                return {"artifact_uri": there.get_model_version_download_uri(name, version)}
            case _, "model-versions/search":
                order = told.get("order_by")
                order = [order] if isinstance(order, str) else order
                found = there.search_model_versions(told.get("filter"), most, order, told.get("page_token"))
                return {"model_versions": list(map(_plain, found)), "next_page_token": found.token or ""}
            case _:
                raise MlflowException(f"there is no call {method} {call}", INVALID_PARAMETER_VALUE)
        return {}


def _plain(entity: Any) -> dict[str, Any]:
    from mlflow.utils.proto_json_utils import message_to_json

    return dict(json.loads(message_to_json(entity.to_proto())))


@contextmanager
def served(database: Path, files: Path) -> Iterator[tuple[str, Registry]]:
    """The server's address while it runs, and what it is asked."""
    from mlflow.exceptions import MlflowException

    registry = Registry(database, files)

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

        def do(self) -> None:
            url = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if url.path.startswith(_FILES):
                return self.file(unquote(url.path.removeprefix(_FILES)).strip("/"), dict(parse_qsl(url.query)), body)
            told = json.loads(body) if body else {**dict(parse_qsl(url.query))}
            try:
                return self.say(
                    200, json.dumps(registry.answer(self.command, url.path.removeprefix(_API), told)).encode()
                )
            except MlflowException as error:
                return self.say(error.get_http_status_code(), error.serialize_as_json().encode())

        def file(self, name: str, query: dict[str, str], body: bytes) -> None:
            path = files / name
            if self.command == "PUT":
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(body)
                return self.say(200, b"{}")
            if not name:
                folder = files / query.get("path", "")
                listed = [{"path": one.name, "is_dir": one.is_dir()} for one in sorted(folder.glob("*"))]
                return self.say(200, json.dumps({"files": listed}).encode())
            return self.say(200, path.read_bytes()) if path.is_file() else self.say(404, b"{}")

        def say(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", registry
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        registry.versions._dispose_engine()
        shutil.rmtree(files, ignore_errors=True)
