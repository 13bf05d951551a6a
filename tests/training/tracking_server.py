"""A tracking server that speaks as much of MLflow's protocol as a run log needs, and can fail in every way there is."""

from __future__ import annotations

import json
import re
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


class Tracker:
    """What the server knows, and how it behaves now: "up", "broken" (500 to everything) or "hangs"."""

    def __init__(self, folder: str) -> None:
        self.behaves, self.folder = "up", folder
        self.let_go = threading.Event()
        self.experiments: dict[str, str] = {}
        self.runs: dict[str, dict[str, Any]] = {}

    def answer(self, call: str, told: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if self.behaves == "hangs":
            self.let_go.wait()
        if self.behaves == "broken":
            return 500, {"error_code": "INTERNAL_ERROR", "message": "the disk of the server is full"}
        return getattr(self, re.sub(r"\W", "_", call), self._unknown)(told)

    def _unknown(self, told: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        return 404, {"error_code": "ENDPOINT_NOT_FOUND", "message": "no such call"}

    def registered_models_search(self, told: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        return 200, {"registered_models": []}

    def experiments_get_by_name(self, told: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        name = told["experiment_name"]
        if name not in self.experiments:
            return 404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": f"no experiment {name}"}
        place = {"artifact_location": self.folder, "lifecycle_stage": "active"}
        return 200, {"experiment": {"experiment_id": self.experiments[name], "name": name, **place}}

    def experiments_create(self, told: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        self.experiments[told["name"]] = str(len(self.experiments) + 1)
        return 200, {"experiment_id": self.experiments[told["name"]]}

    def runs_create(self, told: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        run = uuid.uuid4().hex
        info = {"run_id": run, "run_uuid": run, "run_name": told["run_name"], "experiment_id": told["experiment_id"]}
        info |= {"status": "RUNNING", "start_time": told["start_time"], "artifact_uri": f"{self.folder}/{run}"}
        info |= {"lifecycle_stage": "active"}
        self.runs[run] = {"info": info, "data": {"tags": told.get("tags", []), "params": [], "metrics": []}}
        return 200, {"run": self.runs[run]}

    def runs_search(self, told: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        asked = re.search(r"tags\.`([^`]+)` = '([^']+)'", told.get("filter", ""))
        tag = {"key": asked[1], "value": asked[2]} if asked else None
        return 200, {"runs": [run for run in self.runs.values() if tag is None or tag in run["data"]["tags"]]}

    def runs_log_batch(self, told: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        data = self.runs[told["run_id"]]["data"]
        data["params"] += told.get("params", [])
        data["metrics"] += [one for one in told.get("metrics", []) if one not in data["metrics"]]
        return 200, {}

    def runs_update(self, told: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        info = self.runs[told["run_id"]]["info"]
        info |= {name: told[name] for name in ("status", "end_time") if name in told}
        return 200, {"run_info": info}

    def runs_get(self, told: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        return 200, {"run": self.runs[told["run_id"]]}

    def runs_set_tag(self, told: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        self.runs[told["run_id"]]["data"]["tags"].append({"key": told["key"], "value": told["value"]})
        return 200, {}


@contextmanager
def serving(tracker: Tracker, port: int = 0) -> Iterator[int]:
    """The server, on a port of its own or the one that it had before."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._reply({name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()})

        def do_POST(self) -> None:
            self._reply(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        do_PATCH = do_POST

        def _reply(self, told: dict[str, Any]) -> None:
            call = urlsplit(self.path).path.partition("/mlflow/")[2]
            code, said = tracker.answer(call, told)
            body = json.dumps(said).encode()
            try:
                self.send_response(code)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
            except OSError:
                self.close_connection = True  # who asked has lost patience

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.01))
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        tracker.let_go.set()
        server.shutdown()
        server.server_close()
        thread.join()
