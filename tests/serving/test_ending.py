"""Asked to end: it says so first, answers what it accepted, and leaves nothing behind. Asked twice, it ends."""

from __future__ import annotations

import json
import queue
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import psutil
import pytest
import served_models as made
from live_server import HOST, Live, head, serving, tensor

from throughline.models.session import open_model

QUESTION = {"inputs": [tensor("x", [1, 1], "FP32", [5])]}
BODY = json.dumps(QUESTION).encode()
INFER = "/v2/models/slow/infer"
ANSWERED = 'throughline_requests_total{model="slow",protocol="http",version="1"}'
LEFT = 'throughline_errors_total{kind="client_left",protocol="http"}'


@pytest.fixture(scope="module")
def rounds(tmp_path_factory: pytest.TempPathFactory) -> int:
    """How much work takes a good tenth of a second here."""
    few = 100
    with open_model(made.labours(tmp_path_factory.mktemp("timed") / "few.onnx", few), backend="onnxruntime") as model:
        seconds = []
        for _ in range(5):
            began = time.perf_counter()
            model.predict({"x": np.ones((1, 1), np.float32)})
            seconds.append(time.perf_counter() - began)
    return max(few, round(few * 0.12 / min(seconds)))


@pytest.fixture
def slow(tmp_path: Path, rounds: int) -> Path:
    """A model that takes its time."""
    return made.labours(tmp_path / "slow.onnx", rounds)


def busy(live: Live, how_many: int) -> None:
    """Wait until so many requests are on their way."""
    until = time.monotonic() + 30
    while live.metric("throughline_in_flight") < how_many + 1:  # and the one that asks
        assert time.monotonic() < until


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_everything_that_was_accepted_is_answered(slow: Path, tmp_path: Path, sign: int) -> None:
    options = ("--timeout-ms", "60000", "--max-batch-size", "1")
    with serving(slow, *options, folder=tmp_path) as live, ExitStack() as held:
        whole = head("POST", INFER, f"Content-Length: {len(BODY)}") + BODY
        asked = [held.enter_context(live.raw(whole)) for _ in range(16)]
        until = time.monotonic() + 30
        while live.metric("throughline_in_flight") - 1 + live.metric(ANSWERED) < 16:  # all are accepted
            assert time.monotonic() < until
        busy(live, 8)  # and half of them wait, at least
        children = psutil.Process(live.process.pid).children(recursive=True)
        assert live.end(sign) == 0
        assert [one.makefile("rb").readline().split()[1] for one in asked] == [b"200"] * 16
        assert not [one for one in children if one.is_running()]
        with pytest.raises(ConnectionError):
            live.raw()
        assert '"event":"draining"' in live.text
        assert '"event":"fault"' not in live.text
        assert "slow version 1 is closed" in live.text


def test_it_says_that_it_is_not_ready_while_it_still_takes_requests(tmp_path: Path) -> None:
    model = made.adds(tmp_path / "adds.onnx")
    question = {"inputs": [tensor("x", [1, 3], "FP32", [1, 2, 3])]}
    with serving(model, "--grace-s", "2", folder=tmp_path) as live:
        assert live.ask("GET", "/v2/health/ready", port=live.ops)[0] == 200
        live.process.send_signal(signal.SIGTERM)
        live.said("draining")
        for port in (live.ops, live.port):
            assert live.ask("GET", "/v2/health/ready", port=port)[0] == 503
            assert live.ask("GET", "/v2/health/live", port=port)[0] == 200
        assert live.ask("POST", "/v2/models/adds/infer", question)[0] == 200
        assert live.wait() == 0


def test_whoever_only_stands_there_keeps_it_from_nothing(tmp_path: Path) -> None:
    """Connections kept open, half a head, half a body, and streams that nobody writes to."""
    triton = pytest.importorskip("tritonclient.grpc")
    model = made.adds(tmp_path / "adds.onnx")
    with serving(model, folder=tmp_path) as live, triton.InferenceServerClient(f"{HOST}:{live.grpc}") as client:
        client.start_stream(lambda result, error: None)
        assert client.is_server_ready()
        stood = [
            live.raw(data)
            for data in (b"", b"GET /", head("GET", "/v2/health/live"), head("POST", INFER, "Content-Length: 9") + b"a")
        ]
        assert stood[2].recv(9) == b"HTTP/1.1 "
        began = time.monotonic()
        assert live.end() == 0
        assert time.monotonic() - began < 12
        client.stop_stream(cancel_requests=True)
        for connection in stood:
            connection.close()


@pytest.mark.parametrize("grace", ["0", "600"])
def test_asked_twice_it_ends_at_once(slow: Path, tmp_path: Path, grace: str) -> None:
    options = ("--timeout-ms", "60000", "--max-batch-size", "1", "--grace-s", grace)
    with serving(slow, *options, folder=tmp_path, ended=(-signal.SIGTERM,)) as live:
        waiting = [live.raw(head("POST", INFER, f"Content-Length: {len(BODY)}") + BODY) for _ in range(40)]
        busy(live, 15)
        live.process.send_signal(signal.SIGTERM)
        live.said("draining")
        began = time.monotonic()
        assert live.end() == -signal.SIGTERM
        assert time.monotonic() - began < 3
        for connection in waiting:
            connection.close()


def test_who_leaves_is_forgotten(slow: Path, tmp_path: Path) -> None:
    options = ("--timeout-ms", "60000", "--max-batch-size", "1")
    rows = 'throughline_batch_rows_sum{model="slow",version="1"}'
    with serving(slow, *options, folder=tmp_path) as live:
        left = [live.raw(head("POST", INFER, f"Content-Length: {len(BODY)}") + BODY) for _ in range(30)]
        left += [
            live.raw(head("POST", "/predict", f"Content-Length: {len(ROWS)}", "Content-Type: application/json") + ROWS)
            for _ in range(10)
        ]
        busy(live, 20)
        for connection in left:
            connection.close()
        until = time.monotonic() + 30
        while live.metric("throughline_in_flight") > 1:
            assert time.monotonic() < until
        assert live.ask("POST", INFER, QUESTION)[0] == 200
        computed, given_up = live.metric(rows) - 1, live.metric(LEFT)
        assert computed <= 30
        assert 40 - computed <= given_up <= 40
        assert '"event":"fault"' not in live.text


ROWS = json.dumps({"inputs": [[5]]}).encode()


def test_who_only_begins_to_ask_takes_nobodys_place(slow: Path, tmp_path: Path) -> None:
    with serving(slow, "--timeout-ms", "2000", "--max-batch-size", "1", folder=tmp_path) as live:
        begun = [live.raw(head("POST", INFER, f"Content-Length: {len(BODY)}") + b"{") for _ in range(60)]
        busy(live, 60)
        assert live.ask("POST", INFER, QUESTION)[0] == 200
        for connection in begun:
            connection.sendall(BODY[1:])
        answers = [connection.makefile("rb").readline().split()[1] for connection in begun]
        assert {b"200"} <= set(answers) <= {b"200", b"503"}
        assert live.ask("POST", INFER, QUESTION)[0] == 200  # and all of them are over
        for connection in begun:
            connection.close()


def test_over_grpc_who_leaves_is_forgotten_too(slow: Path, tmp_path: Path) -> None:
    triton = pytest.importorskip("tritonclient.grpc")
    rows = 'throughline_batch_rows_sum{model="slow",version="1"}'
    with serving(slow, "--timeout-ms", "60000", "--max-batch-size", "1", folder=tmp_path) as live:
        with triton.InferenceServerClient(f"{HOST}:{live.grpc}") as client:
            asked = triton.InferInput("x", [1, 1], "FP32").set_data_from_numpy(np.ones((1, 1), np.float32))
            ended: queue.Queue[object] = queue.Queue()
            calls = [client.async_infer("slow", [asked], lambda result, error: ended.put(error)) for _ in range(30)]
            until = time.monotonic() + 30
            while live.metric('throughline_queue_rows{model="slow",version="1"}') < 15:
                assert time.monotonic() < until
            for call in calls:
                call.cancel()
            errors = [ended.get(timeout=30) for _ in range(30)]
            assert sum(error is not None for error in errors) >= 10
            assert client.infer("slow", [asked]).as_numpy("y")[0, 0] == 1
        assert live.metric(rows) <= sum(error is None for error in errors) + 5
        assert '"event":"fault"' not in live.text


def test_what_is_too_much_is_refused_at_once_and_says_when_to_come_again(slow: Path, tmp_path: Path) -> None:
    options = ("--timeout-ms", "60000", "--max-batch-size", "1")
    with serving(slow, *options, folder=tmp_path) as live, ThreadPoolExecutor(40) as pool:
        gate = threading.Barrier(40)
        began = time.monotonic()
        assert live.ask("POST", INFER, QUESTION)[0] == 200
        short = {"X-Timeout-Ms": str(round(8e3 * (time.monotonic() - began)))}

        def ask() -> tuple[int, dict[str, str], float]:
            gate.wait()
            began = time.monotonic()
            status, _, headers = live.ask("POST", INFER, QUESTION, short)
            return status, headers, time.monotonic() - began

        found = [one.result() for one in [pool.submit(ask) for _ in range(40)]]
        statuses = [status for status, _, _ in found]
        assert set(statuses) == {200, 503}
        assert all(int(headers["retry-after"]) >= 1 for status, headers, _ in found if status == 503)
        assert all(seconds < 10 for _, _, seconds in found)
        assert live.ask("GET", "/v2/health/ready")[0] == 200


def test_a_port_that_is_taken_is_an_error_and_no_traceback(tmp_path: Path) -> None:
    model = made.adds(tmp_path / "adds.onnx")
    with socket.create_server((HOST, 0)) as taken:
        refused = pytest.raises(AssertionError, match="cannot listen")
        with refused, serving(model, "--ops-port", str(taken.getsockname()[1]), folder=tmp_path):
            pass
