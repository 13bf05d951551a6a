"""Those who keep the server waiting are cut off in time, and however many they are, whoever asks well is answered."""

from __future__ import annotations

import json
import select
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import psutil
import pytest
import served_models as made
from live_server import HOST, Live, head, serving, tensor

FILES = 256
MOST_SECONDS = 14.0
"""Cut within 10 seconds, looked at once a second, on a machine that does other things."""
BODY = json.dumps({"inputs": [tensor("x", [1, 1], "FP32", [1])]}).encode()
BINARY = json.dumps(
    {"inputs": [tensor("x", [1, 1], "FP32", [1])], "parameters": {"binary_data_output": True}}
).encode()  # fmt: skip
INFER = "/v2/models/spreads/infer"


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A server with few descriptors, of a model whose answers are large."""
    folder = tmp_path_factory.mktemp("narrow")
    model = made.spreads(folder / "spreads.onnx")
    with serving(
        f"spreads={model}", "--timeout-ms", "20000", "--max-batch-size", "1", folder=folder, files=FILES
    ) as live:
        yield live


def served(live: Live) -> None:
    """Somebody who asks properly is answered, soon."""
    began = time.monotonic()
    assert live.ask("GET", "/v2/models/spreads")[0] == 200
    assert live.ask("GET", "/v2/health/live", port=live.ops)[0] == 200
    assert time.monotonic() - began < 5


def test_the_slow_are_cut_off_while_others_are_served(narrow: Live) -> None:
    """Heads and bodies that trickle, that never come, that go on after their refusal; answers that nobody fetches."""
    asks = head("POST", INFER, f"Content-Length: {len(BINARY)}") + BINARY
    ways: dict[str, tuple[bytes, bytes, int]] = {
        "a head that trickles": (b"GET / HTTP/1.1\r\nHost: x\r\nA: ", b"b", narrow.port),
        "a head that trickles beside": (b"GET / HTTP/1.1\r\nHost: x\r\nA: ", b"b", narrow.ops),
        "lines that trickle": (b"", b"\r\n", narrow.port),
        "nothing at all": (b"", b"", narrow.port),
        "nothing at all over gRPC": (b"", b"", narrow.grpc),
        "half a greeting over gRPC": (b"PRI * HTTP/2.0\r\n", b"", narrow.grpc),
        "half a head": (b"POST /v2", b"", narrow.port),
        "half a head behind a request": (head("GET", "/v2") + b"POST /v2", b"", narrow.port),
        "a body that trickles": (head("POST", INFER, "Content-Length: 100000"), b" ", narrow.port),
        "half a body": (head("POST", INFER, "Content-Length: 100") + b"{", b"", narrow.port),
        "chunks that trickle": (head("POST", INFER, "Transfer-Encoding: chunked"), b"1\r\n \r\n", narrow.port),
        "a chunk's endless name": (head("POST", INFER, "Transfer-Encoding: chunked") + b"1;", b"a" * 9000, narrow.port),
        "endless trailers": (
            head("POST", INFER, "Transfer-Encoding: chunked") + b"0\r\n", b"a: b\r\n", narrow.port
        ),
        "the rest of a body that was refused": (
            head("POST", INFER, "Content-Length: 999999999"), b" " * 9000, narrow.port
        ),
        "nothing fetched": (asks * 3, b"", narrow.port),
    }  # fmt: skip
    open_: dict[int, tuple[socket.socket, str]] = {}
    watched = select.poll()
    with ExitStack() as stack:
        for name, (data, _, port) in ways.items():
            connection = stack.enter_context(narrow.raw(data, port))
            connection.setblocking(False)
            open_[connection.fileno()] = connection, name
            if name != "nothing fetched":
                watched.register(connection, select.POLLIN)
        served(narrow)  # so that all those before it were taken in
        began, ended = time.monotonic(), dict[str, float]()
        while open_ and time.monotonic() - began < MOST_SECONDS:
            for file, _ in watched.poll(250):
                connection, name = open_[file]
                try:
                    if connection.recv(65536):
                        continue
                except ConnectionError:
                    pass
                watched.unregister(file)
                ended[name] = time.monotonic() - began
                del open_[file]
            for file, (connection, name) in list(open_.items()):
                if name == "nothing fetched" and gone(narrow, connection):  # it does not hear of its end
                    ended[name] = time.monotonic() - began
                    del open_[file]
                    continue
                with suppress(BlockingIOError, ConnectionError):
                    connection.send(ways[name][1])
            served(narrow)
    assert not open_, f"still there: {sorted(name for _, name in open_.values())}"
    assert min(ended.values()) > 1  # none for another reason than that it is slow


def gone(live: Live, connection: socket.socket) -> bool:
    """Whether the server has let go of it."""
    mine = connection.getsockname()[1]
    return all(
        one.raddr == () or one.raddr.port != mine for one in psutil.Process(live.process.pid).net_connections("tcp")
    )


def test_more_slow_ones_than_descriptors_keep_nobody_out(narrow: Live) -> None:
    with ExitStack() as stack:
        for port in (narrow.grpc, narrow.ops, narrow.port):
            for at in range(FILES + 50):
                connection = socket.create_connection((HOST, port), timeout=20)
                stack.enter_context(connection)
                with suppress(ConnectionError):  # the oldest go first
                    connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nA: ")
                if at % 50 == 49:
                    served(narrow)
            status, said, _ = narrow.ask("POST", INFER, BODY)
            assert status == 200
            assert len(said["outputs"][0]["data"]) == 2_000_000
    served(narrow)


def test_somebody_at_work_is_not_shown_out_for_those_who_only_stand_there(narrow: Live) -> None:
    with (
        narrow.raw(head("POST", INFER, f"Content-Length: {len(BODY)}", "Connection: close") + BODY) as working,
        ExitStack() as stack,
    ):
        for _ in range(FILES + 50):
            stack.enter_context(socket.create_connection((HOST, narrow.port), timeout=20))
        assert working.makefile("rb").readline().split()[1] == b"200"
