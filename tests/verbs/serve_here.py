"""Serves in its own process and is ended as an operator ends it: a program, since the signal is for all of it.

python serve_here.py until_it_is_asked_to_end FOLDER
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from throughline.contracts.errors import InputError
from throughline.testing.stores import small_model
from throughline.verbs.serve import ServeReport, serve


def served(model: str, use: Callable[[int, int | None, int | None], None], **options: object) -> ServeReport:
    """Serve in this process, use it from another thread, and end it as an operator does."""
    failed: list[BaseException] = []

    def up(host: str, port: int, grpc: int | None, ops: int | None) -> None:
        def go() -> None:
            try:
                use(port, grpc, ops)
            except BaseException as error:
                failed.append(error)
            os.kill(os.getpid(), signal.SIGTERM)

        threading.Thread(target=go).start()

    given: dict[str, object] = {"port": 0, "grpc_port": 0, "ops_port": 0, **options}
    report = serve(model, callback=up, **given)  # type: ignore[arg-type]
    if failed:
        raise failed[0]
    return report


def ask(port: int, path: str, body: object | None = None) -> tuple[int, object]:
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        data = None if body is None else json.dumps(body).encode()
        client.request("GET" if body is None else "POST", path, data, {"Content-Type": "application/json"})
        answer = client.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        client.close()


def until_it_is_asked_to_end(tmp_path: Path) -> None:
    before = [signal.getsignal(sign) for sign in (signal.SIGTERM, signal.SIGINT)]
    threads = threading.active_count()

    def use(port: int, grpc: int | None, ops: int | None) -> None:
        assert (grpc, ops) == (None, None)
        for _ in range(3):
            status, said = ask(port, "/predict", {"inputs": [[1, 2, 3]]})
            assert status == 200
            assert said["outputs"]["y"]["data"] == [6, 7, 8]  # type: ignore[index, call-overload]
        assert ask(port, "/nothing")[0] == 404

    report = served(str(small_model(tmp_path / "adds.onnx", 5)), use)
    assert (report.models, report.requests, report.refused) == (("adds",), {"adds": 3}, {"not_found": 1})
    assert "adds 3" in str(report)
    assert "1 not_found" in str(report)
    assert [signal.getsignal(sign) for sign in (signal.SIGTERM, signal.SIGINT)] == before
    assert threading.active_count() <= threads + 1  # the one that asked may be on its way out


def every_name_and_every_port(tmp_path: Path) -> None:
    first, second = small_model(tmp_path / "a.onnx", 1), small_model(tmp_path / "b.onnx", 2)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ops = taken.getsockname()[1]

    def use(port: int, _: int | None, ops: int | None) -> None:
        assert ops is not None
        assert ask(ops, "/v2/health/ready")[0] == 200
        _, said = ask(port, "/v2/repository/index", {})
        assert [one["name"] for one in said] == ["one"]  # type: ignore[index, attr-defined]

    served(f"one={first}", use, ops_port=ops)
    for names in ((str(first), str(first)), (f"x={first}", f"x={second}"), (f"a b={first}",), (f"..={first}",), ()):
        with pytest.raises(InputError):
            serve(*names, port=0)


if __name__ == "__main__":
    {"until_it_is_asked_to_end": until_it_is_asked_to_end, "every_name_and_every_port": every_name_and_every_port}[
        sys.argv[1]
    ](Path(sys.argv[2]))
