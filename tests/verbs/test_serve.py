"""``throughline serve`` as its users call it: what it refuses before anything is opened, and what it tells then."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("uvicorn")

from throughline.cli import main
from throughline.contracts.errors import InputError, ThroughlineError
from throughline.testing.stores import small_model
from throughline.verbs.serve import ServeReport, serve


def served(model: str, use: Callable[[int, int | None, int | None], None], **options: object) -> ServeReport:
    """Serve in this process, use it from another thread, and end it as an operator does."""
    failed: list[BaseException] = []
    over = threading.Event()

    def up(host: str, port: int, grpc: int | None, ops: int | None) -> None:
        def go() -> None:
            try:
                use(port, grpc, ops)
            except BaseException as error:
                failed.append(error)
            if not over.is_set():  # otherwise nobody hears the signal but whoever runs these tests
                os.kill(os.getpid(), signal.SIGTERM)

        threading.Thread(target=go).start()

    given: dict[str, object] = {"port": 0, "grpc_port": 0, "ops_port": 0, **options}
    try:
        report = serve(model, callback=up, **given)  # type: ignore[arg-type]
    finally:
        over.set()
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


def test_a_model_is_served_until_it_is_asked_to_end_and_the_report_says_what_was_done(tmp_path: Path) -> None:
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


def test_every_name_and_every_port(tmp_path: Path) -> None:
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


@pytest.mark.parametrize(
    "wrong",
    [
        ["--port", "-1"], ["--port", "65536"], ["--grpc-port", "99999"], ["--ops-port", "-5"],
        ["--max-batch-size", "0"], ["--max-queue", "0"], ["--max-latency-ms", "-1"], ["--max-latency-ms", "nan"],
        ["--timeout-ms", "inf"], ["--grace-s", "-1"], ["--max-body-mb", "nan"], ["--max-body-mb", "-1"],
        ["--cache-mb", "inf"], ["--server", "nobody"], ["--certificate", "only-one.pem"], ["--keys", "no-such-file"],
        ["--threads", "-1"], ["--backend", "nobody"], ["--device", "nowhere"], ["--host", "999.999.999.999"],
        ["--host", "a" * 300], ["--stream", "nothing"], ["--no-such-option"],
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_with_a_fix(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], wrong: list[str]
) -> None:
    model = small_model(tmp_path / "adds.onnx")
    ports = ["--port", "0"] if "--port" not in wrong else []
    ports += ["--grpc-port", "0"] if "--grpc-port" not in wrong else []
    ports += ["--ops-port", "0"] if "--ops-port" not in wrong else []
    assert main(["serve", str(model), *ports, *wrong]) in (2, 6)
    said = capsys.readouterr().err
    assert "fix:" in said
    assert "fault of ours" not in said
    assert "Traceback" not in said


@pytest.mark.parametrize("data", [None, b"", b"no model"])
def test_what_is_no_model_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], data: bytes | None) -> None:
    path = tmp_path / "model.onnx"
    if data is not None:
        path.write_bytes(data)
    assert main(["serve", str(path), "--port", "0", "--grpc-port", "0", "--ops-port", "0"]) in (2, 5)
    assert "model.onnx" in capsys.readouterr().err


def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    model = str(small_model(tmp_path / "adds.onnx"))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for ports in ({"port": port}, {"grpc_port": port}, {"ops_port": port}):
            given = {"port": 0, "grpc_port": 0, "ops_port": 0, **ports}
            with pytest.raises(ThroughlineError, match=str(port)):
                serve(model, **given)  # type: ignore[arg-type]
