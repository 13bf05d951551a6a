"""What is refused by the look of it is what a parser would have read; and whoever is refused may go on asking."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import served_models as made
from hypothesis import given
from hypothesis import strategies as st
from live_server import Live, head, serving, tensor

from throughline.serving.glimpse import head_of

INFER = "/v2/models/slow/infer"
MIB = 2**20
CHUNKED = "Transfer-Encoding: chunked"


def asked(seconds: float | None = None, **parameters: int) -> bytes:
    if seconds is not None:
        parameters["timeout"] = round(seconds * 1e6)
    told = {"parameters": parameters} if parameters else {}
    return json.dumps({"inputs": [tensor("x", [1, 1], "FP32", [5])], **told}).encode()


def post(body: bytes, *lines: str, path: str = INFER) -> bytes:
    return head("POST", path, f"Content-Length: {len(body)}", *lines) + body


lines = st.sampled_from(
    [
        "Content-Length: 5", "content-length:5", "Content-Length: 5, 5", "Content-Length: -1", "Content-Length: 0005",
        "Content-Length : 5", "Content-Length: 12", CHUNKED, "transfer-encoding : chunked", "Expect: 100-continue",
        "Inference-Header-Content-Length: 3", "X-Timeout-Ms: 70", "x-timeout-ms: 0", "Connection: close", "X: a\n b",
        "X: a\r\n b", "X:\tContent-Length: 5", "Upgrade: h2c", "X: Content-Length: 5", "A\0: 1",
    ]
)  # fmt: skip


@given(
    st.lists(lines, max_size=4),
    st.sampled_from(["POST / HTTP/1.1", "POST /a?b HTTP/1.0", "GET / HTTP/1.1", "POST  / HTTP/1.1"]),
)
def test_what_is_seen_is_what_a_parser_reads(more: list[str], first: str) -> None:
    import httptools

    data = "\r\n".join([first, "Host: here", *more, "", ""]).encode()
    seen = head_of(data)
    if seen is None:
        return

    class Reads:
        url, whole = b"", False

        def on_url(self, url: bytes) -> None:
            self.url += url

        def on_message_complete(self) -> None:
            self.whole = True

    read = Reads()
    parser = httptools.HttpRequestParser(read)
    try:
        parser.feed_data(data)
        for _ in range(seen.body):
            assert not read.whole
            parser.feed_data(b".")
    except httptools.HttpParserError:
        return  # it is none, and whoever sent it hears a no of another kind
    assert read.whole
    assert (read.url, seen.size, parser.should_keep_alive()) == (seen.url, len(data), seen.stays)


def test_the_time_that_a_request_has() -> None:
    for body, line, expected in (
        (b"{}", "A: b", None), (b"{}", "X-Timeout-Ms: 70", 0.07), (asked(0.25), "X-Timeout-Ms: 70", 0.25),
        (asked(0.25), "A: b", 0.25), (b'{"timeout": 0}', "A: b", None), (b'{"timeout":"20000"}', "A: b", 0.02),
    ):  # fmt: skip
        data = post(body, line)
        seen = head_of(data)
        assert seen is not None
        assert seen.seconds(data) == expected


@pytest.fixture(scope="module")
def pressed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A server that has seconds of work before it, for clients who have the time."""
    folder: Path = tmp_path_factory.mktemp("pressed")
    model = made.labours(folder / "slow.onnx", 12_000)
    with serving(model, "--max-batch-size", "1", "--max-body-mb", "8", folder=folder) as live, ExitStack() as held:
        for number in range(40):
            whole = post(asked(), "X-Timeout-Ms: 600000") if number % 2 else post(asked(600))
            held.enter_context(live.raw(whole))
        until = time.monotonic() + 30
        while live.metric("throughline_in_flight") < 20:
            assert time.monotonic() < until
        yield live
        assert '"event":"fault"' not in live.text


HEALTHY = head("GET", "/v2/health/live")
REFUSED = post(asked())


def statuses(live: Live, *parts: bytes) -> list[int]:
    """Send each part once what came before it was answered; the statuses of all answers, until the connection ends."""
    found = []
    with live.raw() as connection, connection.makefile("rb") as answers:
        for part in parts:
            connection.sendall(part)
            while line := answers.readline():
                found.append(int(line.split()[1]))
                length = 0
                while (line := answers.readline()) not in (b"\r\n", b""):
                    name, _, value = line.partition(b":")
                    length = int(value) if name.lower() == b"content-length" else length
                answers.read(length)
                if len(found) >= parts.index(part) + 1:
                    break
    return found


def test_who_is_refused_may_go_on_asking_on_the_same_connection(pressed: Live) -> None:
    at = REFUSED.index(b"{") + 5
    chunked = head("POST", INFER, CHUNKED) + b"%x\r\n%b\r\n0\r\n\r\n" % (len(asked()), asked())
    assert statuses(pressed, REFUSED, HEALTHY) == [503, 200]
    assert statuses(pressed, REFUSED[:at], REFUSED[at:] + HEALTHY) == [503, 200]  # before its body is there
    assert statuses(pressed, REFUSED[:at], REFUSED[at:] + REFUSED, HEALTHY) == [503, 503, 200]
    assert statuses(pressed, REFUSED + HEALTHY, b"") == [503, 200]
    assert statuses(pressed, chunked, HEALTHY) == [503, 200]
    assert statuses(pressed, HEALTHY, REFUSED, HEALTHY) == [200, 503, 200]
    assert statuses(pressed, post(asked(), "Connection: close"), b"") == [503]
    assert int(pressed.ask("POST", INFER, asked())[2]["retry-after"]) >= 1


def test_whoever_goes_before_others_is_heard_by_the_queue(pressed: Live) -> None:
    for body, said in ((asked(), "there is more to do"), (asked(priority=3), "an answer would take")):
        status, answer, _ = pressed.ask("POST", INFER, body)
        assert status == 503
        assert said in answer["error"]


def test_what_is_wrong_is_said_to_be_wrong_all_the_same(pressed: Live) -> None:
    assert pressed.ask("POST", "/v2/models/nobody/infer", asked())[0] == 404
    with pressed.raw(head("POST", INFER, f"Content-Length: {9 * MIB}")) as connection:
        assert connection.recv(12).endswith(b"413")
    assert pressed.ask("GET", "/v2/health/ready")[0] == 200


def test_a_refused_body_that_does_not_come_is_waited_for_no_longer_than_any(pressed: Live) -> None:
    began = time.monotonic()
    with pressed.raw(post(asked())[:-3]) as connection:
        assert connection.recv(12).endswith(b"503")
        while connection.recv(65536):
            pass
    assert time.monotonic() - began < 14
