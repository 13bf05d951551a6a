"""Too much, too odd, or not what it says: refused before it costs anything, and the server goes on."""

from __future__ import annotations

import gzip
import json
import socket
import time
import zlib
from contextlib import suppress
from typing import Any

import psutil
import pytest
from live_server import Live, head, tensor

MIB = 2**20
INFER = "/v2/models/adds/infer"
SOUND: dict[str, Any] = {"inputs": [tensor("x", [1, 3], "FP32", [1, 2, 3])]}
BODY = json.dumps(SOUND).encode()
WHOLE = head("POST", INFER, f"Content-Length: {len(BODY)}") + BODY
CHUNKED = "Transfer-Encoding: chunked"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def talk(live: Live, data: bytes, answers: int = 1) -> list[tuple[int, bytes]]:
    """Send these bytes, and read so many answers; fewer where the connection ends before."""
    found = []
    with live.raw() as connection:
        with suppress(ConnectionError):  # it was cut off while it sent: what was said of that is read all the same
            connection.sendall(data)
        reader = connection.makefile("rb")
        try:
            while len(found) < answers and (line := reader.readline()):
                status, length = int(line.split()[1]), 0
                while (line := reader.readline()) not in (b"\r\n", b""):
                    name, _, value = line.partition(b":")
                    if name.lower() == b"content-length":
                        length = int(value)
                found.append((status, reader.read(length)))
        except ConnectionError:
            pass
    return found


@pytest.fixture(autouse=True)
def _goes_on(live: Live) -> Any:
    """After each of these, whoever asks properly is answered."""
    yield
    assert live.ask("POST", INFER, SOUND)[0] == 200


@pytest.mark.parametrize(
    "data",
    [
        head("POST", INFER, f"Content-Length: {9 * MIB}"),
        head("POST", INFER, "Content-Length: 999999999999999999"),
        head("POST", INFER, CHUNKED) + chunk(bytes(MIB)) * 9 + chunk(b""),
        head("POST", INFER, CHUNKED) + b"1\r\na\r\n" * 20_000,
        head("POST", "/predict?model=blobs", f"Content-Length: {9 * MIB}"),
    ],
)
def test_a_body_that_is_too_large_or_in_crumbs_is_refused(live: Live, data: bytes) -> None:
    assert [status for status, _ in talk(live, data)] == [413]


def test_a_body_in_a_thousand_pieces_is_taken(live: Live) -> None:
    padded = BODY + b" " * 1000
    pieces = b"".join(chunk(padded[at : at + 1]) for at in range(len(padded)))
    assert [status for status, _ in talk(live, head("POST", INFER, CHUNKED) + pieces + chunk(b""))] == [200]


@pytest.mark.parametrize("how", ["gzip", "deflate"])
def test_what_unpacks_to_too_much_costs_no_memory(live: Live, how: str) -> None:
    pack = gzip.compress if how == "gzip" else zlib.compress
    bomb = pack(bytes(200 * MIB))
    process = psutil.Process(live.process.pid)
    assert live.ask("POST", INFER, bomb, {"Content-Encoding": how})[0] == 413
    before = process.memory_info().rss
    for _ in range(5):
        assert live.ask("POST", INFER, bomb, {"Content-Encoding": how})[0] == 413
    assert process.memory_info().rss - before < 40 * MIB
    packed = pack(BODY)
    assert live.ask("POST", INFER, packed, {"Content-Encoding": how})[0] == 200
    assert live.ask("POST", INFER, packed[:-3], {"Content-Encoding": how})[0] == 400
    assert live.ask("POST", INFER, BODY, {"Content-Encoding": how})[0] == 400
    assert live.ask("POST", INFER, BODY, {"Content-Encoding": "br"})[0] == 415


@pytest.mark.parametrize(
    "data",
    [
        head("GET", "/" + "a" * 70_000),
        head("GET", "/", *[f"A-{at}: b" for at in range(200)]),
        head("GET", "/", "A: " + "b" * 70_000),
        head("POST", INFER, *[f"A-{at}: b" for at in range(200)], f"Content-Length: {len(BODY)}") + BODY,
    ],
)
def test_a_head_that_is_too_large_is_refused(live: Live, data: bytes) -> None:
    assert [status for status, _ in talk(live, data, 2)] == [431]


TWICE = head("POST", INFER, f"Content-Length: {len(BODY)}", "Content-Length: 3") + BODY


@pytest.mark.parametrize(
    "data",
    [
        TWICE,
        head("POST", INFER, f"Content-Length: {len(BODY)}", CHUNKED) + chunk(b"") + WHOLE,
        head("POST", INFER, CHUNKED, f"Content-Length: {len(BODY)}") + chunk(b"") + WHOLE,
        head("POST", INFER, "Transfer-Encoding: xchunked") + chunk(b"") + WHOLE,
        head("POST", INFER, "Transfer-Encoding: chunked, identity") + chunk(b"") + WHOLE,
        head("POST", INFER, "Content-Length: -1") + BODY,
        head("POST", INFER, "Content-Length: +5") + BODY,
        head("POST", INFER, "Content-Length: 0x10") + BODY,
        head("POST", INFER, "Content-Length: " + "9" * 40) + BODY,
        head("POST", INFER, CHUNKED) + b"g\r\n",
        head("POST", INFER, CHUNKED) + b"-1\r\n",
        head("POST", INFER, CHUNKED) + b"ffffffffffffffffff\r\n",
        b"GET / HTTP/1.1\r\nHost : x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n",
        b"GET / HTTP/1.1\nHost: x\n\n",
        b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"CONNECT here:80 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00" * 20,
        bytes(range(256)) * 20,
    ],
)
def test_what_two_readers_could_read_in_two_ways_is_no_request_and_nothing_behind_it_is_one(
    live: Live, data: bytes
) -> None:
    answers = [status for status, _ in talk(live, data, 3)]
    assert answers in ([400], [404, 400])  # what it said before the mistake may be an address that there is not


def test_requests_that_come_together_are_answered_in_order(live: Live) -> None:
    mixed = [WHOLE, head("GET", "/v2/health/live"), head("GET", "/nowhere"), WHOLE, head("GET", "/v2/models/adds")]
    assert [status for status, _ in talk(live, b"".join(mixed), 5)] == [200, 200, 404, 200, 200]
    answers = talk(live, WHOLE + b"\0nonsense\r\n\r\n" + WHOLE, 3)
    assert [status for status, _ in answers][:1] == [200]
    assert len(answers) <= 2


def test_the_old_and_the_rare_ways_to_ask(live: Live) -> None:
    old = WHOLE.replace(b"HTTP/1.1", b"HTTP/1.0")
    assert [status for status, _ in talk(live, old, 2)] == [200]  # and the connection ends
    assert [status for status, _ in talk(live, head("GET", "http://elsewhere/v2/health/live"))] == [200]
    expecting = head("POST", INFER, f"Content-Length: {len(BODY)}", "Expect: 100-continue") + BODY
    assert [status for status, _ in talk(live, expecting, 2)] == [100, 200]
    refused = head("POST", INFER, f"Content-Length: {9 * MIB}", "Expect: 100-continue")
    assert [status for status, _ in talk(live, refused)] == [413]  # without asking for the body first
    status, data, headers = live.ask("HEAD", "/v2/models/adds")
    assert (status, data) == (200, b"")
    assert int(headers["content-length"]) == len(
        json.dumps(live.ask("GET", "/v2/models/adds")[1], separators=(",", ":"))
    )


def test_a_protocol_that_is_not_spoken_is_not_spoken_and_the_request_is_answered(live: Live) -> None:
    wanted = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA")
    data = head("POST", INFER, f"Content-Length: {len(BODY)}", *wanted) + BODY
    assert [status for status, _ in talk(live, data + WHOLE, 2)] == [200, 200]
    socketed = head("GET", "/v2/health/live", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: x")
    assert [status for status, _ in talk(live, socketed + WHOLE, 2)] == [200, 200]


def test_what_comes_after_the_body_is_in_no_head(live: Live, tokens: dict[str, str]) -> None:
    trailer = f"0\r\nAuthorization: Bearer {tokens['admin']}\r\nContent-Encoding: gzip\r\n\r\n".encode()
    unload = head("POST", "/v2/repository/models/adds/unload", CHUNKED)
    assert [status for status, _ in talk(live, unload + chunk(b"{}") + trailer)] == [401]
    assert [status for status, _ in talk(live, head("POST", INFER, CHUNKED) + chunk(BODY) + trailer)] == [200]


@pytest.mark.parametrize(
    "name",
    [
        "%00",
        "%0a",
        "%0d%0aSet-Cookie:x",
        "..",
        "%2e%2e",
        "%ff",
        "%F0%9F%A6%8A",
        "a%2Fb",
        "adds%20",
        "%",
        "%zz",
        "a" * 9000,
    ],
)
def test_odd_names_are_names_of_nothing(live: Live, name: str) -> None:
    for path in (f"/v2/models/{name}/infer", f"/v2/models/adds/versions/{name}/infer", f"/predict?model={name}"):
        ((status, said),) = talk(live, head("POST", path, f"Content-Length: {len(BODY)}") + BODY)
        assert status in (400, 404)
        assert len(said) < 700
        assert json.loads(said)["error"]


X = tensor("x", [1, 3], "FP32", [1, 2, 3])
ODD: list[Any] = [
    None, [], 3, "text", {}, {"inputs": None}, {"inputs": {}}, {"inputs": []}, {"inputs": [1]}, {"inputs": [{}]},
    {"inputs": [X | {"shape": [-1, 3]}]}, {"inputs": [X | {"shape": [1, -3]}]}, {"inputs": [X | {"shape": []}]},
    {"inputs": [X | {"shape": [1, 3, 1]}]}, {"inputs": [X | {"shape": [2**40, 3]}]},
    {"inputs": [X | {"shape": [1.0, 3]}]},
    {"inputs": [X | {"shape": [True, 3]}]}, {"inputs": [X | {"shape": [0, 3], "data": []}]},
    {"inputs": [X | {"shape": [1, 3] * 20}]}, {"inputs": [X | {"data": [1, 2]}]}, {"inputs": [X | {"data": [1] * 999}]},
    {"inputs": [X | {"data": [1e400, 0, 0]}]}, {"inputs": [X | {"data": [1e39, 0, 0]}]},
    {"inputs": [X | {"data": [10**4000, 0, 0]}]}, {"inputs": [X | {"datatype": "FP99"}]},
    {"inputs": [X | {"parameters": {"binary_data_size": 12}}]}, {"inputs": [X | {"parameters": 3}]},
    {"inputs": [X | {"parameters": {"shared_memory_region": "a"}}]}, {"inputs": [X] * 2}, {"inputs": [X] * 1001},
    {"inputs": [X], "outputs": [{"name": "y", "parameters": {"classification": 1}}]},
    {"inputs": [X], "outputs": [{"name": "nothing"}]}, {"inputs": [X], "outputs": [3]},
    {"inputs": [X], "parameters": {"timeout": "soon"}}, {"inputs": [X], "parameters": {"priority": "--5"}},
    {"inputs": [X], "id": {"a": 1}},
]  # fmt: skip


def test_requests_that_are_none_are_refused(live: Live) -> None:
    for said in ODD:
        status, answer, _ = live.ask("POST", INFER, json.dumps(said).encode())
        assert status == 400, (said, answer)
        assert answer["error"]


@pytest.mark.parametrize("path", [INFER, "/predict?model=adds", "/v2/models/adds/feedback"])
def test_depth_does_no_harm(live: Live, path: str) -> None:
    for depth in (200, 950, 960, 970, 980, 990, 100_000):
        deep = b"[" * depth + b"]" * depth
        for body in (
            deep,
            b'{"inputs":' + deep + b"}",
            b'{"id":' + deep + b',"inputs":[]}',
            b'{"id":"a","score":' + deep + b"}",
        ):
            status, said, _ = live.ask("POST", path, body, {"Content-Type": "application/json"})
            assert status == 400, said


def test_lengths_that_lie_are_refused(live: Live) -> None:
    for length in ("-1", "1e3", str(len(BODY) + 1), "9" * 30, " ", "٣"):
        data = head(
            "POST",
            INFER,
            f"Inference-Header-Content-Length: {length}".encode().decode("latin-1"),
            f"Content-Length: {len(BODY)}",
        )
        assert [status for status, _ in talk(live, data + BODY)] == [400]


def test_too_many_questions_in_the_address_are_refused(live: Live) -> None:
    query = "&".join(f"a{at}=1" for at in range(500))
    assert live.ask("POST", f"/predict?{query}", BODY)[0] == 400


def test_memory_is_flat_and_so_are_threads_and_descriptors(live: Live, small_picture: bytes) -> None:
    process = psutil.Process(live.process.pid)

    def round_(times: int) -> None:
        for at in range(times):
            live.ask("POST", INFER, SOUND)
            live.ask("POST", INFER, b"\xff" * 1000)
            live.ask("POST", "/predict?model=blobs", small_picture)
            live.ask("POST", "/predict?model=blobs", small_picture[:-30])
            live.ask("GET", f"/nothing/{at}")
            live.raw(head("POST", INFER, "Content-Length: 100") + b"half").close()

    round_(40)
    memory, threads, files = process.memory_info().rss, process.num_threads(), process.num_fds()
    round_(150)
    assert process.memory_info().rss - memory < 16 * MIB
    assert process.num_threads() <= threads
    assert process.num_fds() <= files + 5


def test_somebody_who_leaves_in_the_middle_leaves_nothing_behind(live: Live) -> None:
    for cut in (1, 20, len(WHOLE) - len(BODY), len(WHOLE) - 1, len(WHOLE)):
        connection = live.raw(WHOLE[:cut])
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset, not a goodbye
        connection.close()
    assert live.ask("GET", "/v2/health/live")[0] == 200


def test_more_things_than_can_be_read_at_once_are_not_read(live: Live) -> None:
    from throughline.serving.json_bodies import MOST_NAMES, MOST_VALUES, parsed
    from throughline.serving.refusals import Refused

    for many in (
        b"[" + b"1," * MOST_VALUES + b"1]",
        b"{" + b'"a":1,' * MOST_NAMES + b'"a":1}',
        b"[" * (MOST_VALUES + 1),
    ):
        with pytest.raises(Refused) as refused:
            parsed(many)
        assert refused.value.status == 413
    assert len(parsed(b"[" + b"1," * (MOST_VALUES // 2) + b"1]")) == MOST_VALUES // 2 + 1
    names = b'{"inputs":{' + b'"a":1,' * (MOST_NAMES + 1) + b'"a":1}}'
    for path in (INFER, "/predict?model=adds"):
        assert live.ask("POST", path, names, {"Content-Type": "application/json"})[0] == 413
    part = b'--b\r\nContent-Disposition: form-data; name="other"\r\n\r\nx\r\n'
    form = {"Content-Type": "multipart/form-data; boundary=b"}
    assert live.ask("POST", "/predict?model=blobs", part * 100_000, form)[0] == 413


def test_how_long_a_client_takes_to_send_is_no_part_of_its_time(live: Live) -> None:
    asks = head("POST", INFER, f"Content-Length: {len(BODY)}", "X-Timeout-Ms: 400") + BODY
    with live.raw(asks[:-5]) as connection:
        time.sleep(0.8)  # longer than it gives the answer
        connection.sendall(asks[-5:])
        assert connection.recv(64).startswith(b"HTTP/1.1 200")
