"""Versions that take each other's place while everybody asks: nobody is refused for it, and nobody gets a mixture."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import served_models as made
from live_server import HOST, Live, head, serving, tensor

SWAPS = 6
QUESTION = json.dumps({"inputs": [tensor("x", [1, 3], "FP32", [0, 0, 0])]}).encode()
INFER = "/v2/models/adds/infer"
LOAD = "/v2/repository/models/adds/load"


@contextmanager
def asking(live: Live) -> Iterator[tuple[list[int], list[Any]]]:
    """Clients of both kinds that ask all the time: what they got, and what went wrong."""
    triton = pytest.importorskip("tritonclient.grpc")
    over, got, wrong = threading.Event(), list[int](), list[Any]()

    def over_http() -> None:
        client = http.client.HTTPConnection(HOST, live.port, timeout=30)
        while not over.is_set():
            client.request("POST", INFER, QUESTION)
            answer = client.getresponse()
            said = json.loads(answer.read())
            if answer.status != 200 or len(set(said["outputs"][0]["data"])) != 1:
                wrong.append((answer.status, said))
            else:
                got.append(int(said["outputs"][0]["data"][0]))
        client.close()

    def over_grpc() -> None:
        asked = triton.InferInput("x", [1, 3], "FP32")
        asked.set_data_from_numpy(np.zeros((1, 3), np.float32))
        with triton.InferenceServerClient(f"{HOST}:{live.grpc}") as client:
            while not over.is_set():
                try:
                    got.append(int(client.infer("adds", [asked]).as_numpy("y")[0, 0]))
                except triton.InferenceServerException as error:
                    wrong.append(error)

    threads = [threading.Thread(target=ask) for ask in (over_http, over_http, over_grpc)]
    for thread in threads:
        thread.start()
    try:
        yield got, wrong
    finally:
        over.set()
        for thread in threads:
            thread.join()


def more(got: list[int], wrong: list[Any], count: int) -> None:
    """Wait until so many more were answered."""
    wanted, until = len(got) + count, time.monotonic() + 60
    while len(got) < wanted and not wrong:
        assert time.monotonic() < until


@pytest.fixture(scope="module")
def changing(tmp_path_factory: pytest.TempPathFactory, tokens: dict[str, str]) -> Iterator[tuple[Live, Path]]:
    folder = tmp_path_factory.mktemp("changing")
    path = made.adds(folder / "adds.onnx", 0)
    options = ("--keys", tokens["file"], "--timeout-ms", "20000", "--threads", "1")
    with serving(path, *options, folder=folder) as live:
        yield live, path
        assert '"event":"fault"' not in live.text


def test_hundreds_of_requests_while_versions_are_swapped_and_none_fails(
    changing: tuple[Live, Path], admin: dict[str, str]
) -> None:
    live, path = changing
    with asking(live) as (got, wrong):
        more(got, wrong, 50)
        for number in range(1, SWAPS + 1):
            made.adds(path, number)
            assert live.ask("POST", LOAD, {}, admin)[0] == 200
            before = len(got)
            more(got, wrong, 40)
            assert set(got[before + 8 :]) == {number}, "the old one still answers"
    assert not wrong
    assert len(got) > 40 * SWAPS
    assert set(got) == set(range(SWAPS + 1))
    said = live.ask("GET", "/v2/models/adds")[1]
    assert len(said["versions"]) == 1
    assert live.metric('throughline_queue_rows{model="adds",version="1"}') == 0


def test_versions_that_do_not_do_are_refused_while_the_old_one_serves_on(
    changing: tuple[Live, Path], admin: dict[str, str]
) -> None:
    live, path = changing
    made.adds(path, 500)
    assert live.ask("POST", LOAD, {}, admin)[0] == 200
    bad = (
        lambda: path.write_bytes(b"no model"), lambda: made.none_numbers(path), lambda: made.adds(path, 1, width=4),
        lambda: made.adds(path, 1, name="other"), lambda: made.looks_up(path), path.unlink,
    )  # fmt: skip
    with asking(live) as (got, wrong):
        more(got, wrong, 20)
        begun = len(got)
        for make in bad:
            make()
            status, said, _ = live.ask("POST", LOAD, {}, admin)
            assert 400 <= status < 500, said
            assert said["error"]
        more(got, wrong, 20)
    assert not wrong
    assert set(got[begun:]) == {500}
    assert live.ask("GET", "/v2/health/ready")[0] == 200
    made.adds(path, 501)
    assert live.ask("POST", LOAD, {}, admin)[0] == 200


def test_a_body_that_is_still_on_its_way_is_answered(changing: tuple[Live, Path], admin: dict[str, str]) -> None:
    live, path = changing
    made.adds(path, 600)
    assert live.ask("POST", LOAD, {}, admin)[0] == 200
    for number in (601, 602):
        with live.raw(head("POST", INFER, f"Content-Length: {len(QUESTION)}", "Connection: close")) as slow:
            slow.sendall(QUESTION[:10])
            assert live.ask("GET", "/v2/models/adds")[0] == 200  # by now its head was read
            made.adds(path, number)
            assert live.ask("POST", LOAD, {}, admin)[0] == 200
            slow.sendall(QUESTION[10:])
            answer = slow.makefile("rb").read()
            assert answer.startswith(b"HTTP/1.1 200 ")
            assert f"{number - 1}.0".encode() in answer


def test_admins_name_no_files(changing: tuple[Live, Path], admin: dict[str, str]) -> None:
    live, path = changing
    for model in (str(path), "../adds.onnx", "file:///etc/passwd", "http://127.0.0.1/x", 3, [], "models:"):
        for body in ({"model": model}, {"parameters": {"model": model}}):
            for place in (LOAD, LOAD.replace("load", "stage"), LOAD.replace("adds", "other")):
                status, said, _ = live.ask("POST", place, body, admin)
                assert status in (400, 404), said


def test_what_a_load_cannot_do_is_refused_and_not_passed_over(
    changing: tuple[Live, Path], admin: dict[str, str]
) -> None:
    live, _ = changing
    before = live.ask("GET", "/v2/models/adds")[1]
    for body in (
        {"parameters": {"config": "{}"}},
        {"parameters": {"file:1/model.onnx": "AA=="}},
        {"parameters": 3},
        [],
        3,
        "a",
    ):
        for place in (LOAD, LOAD.replace("load", "stage")):
            assert live.ask("POST", place, json.dumps(body).encode(), admin)[0] == 400, body
    assert live.ask("POST", LOAD.replace("load", "stage"), {}, admin)[0] == 400
    assert live.ask("GET", "/v2/models/adds")[1] == before


def test_registered_versions_share_requests_and_are_compared(
    project: Path, tokens: dict[str, str], admin: dict[str, str]
) -> None:
    pytest.importorskip("mlflow")
    from throughline.cli import main

    for number in (1, 2, 3):
        assert main(["register", str(made.adds(project / f"{number}.onnx", number)), "adds"]) == 0
    options = ("--keys", tokens["file"], "--timeout-ms", "20000")
    with serving("models:/adds/1", *options, folder=project) as live:
        place = "/v2/repository/models/adds"

        def asked(name: str) -> tuple[int, str]:
            body = {"id": name, "inputs": [tensor("x", [1, 3], "FP32", [0, 0, 0])]}
            status, said, _ = live.ask("POST", INFER, body)
            assert status == 200, said
            return int(said["outputs"][0]["data"][0]), said["model_version"]

        for number in (2, 3):
            status, said, _ = live.ask("POST", f"{place}/stage", {"model": f"models:/adds/{number}"}, admin)
            assert (status, said) == (200, {"name": "adds", "version": str(number)})
        assert {asked("") for _ in range(20)} == {(1, "1")}
        assert live.ask("POST", "/v2/models/adds/versions/2/infer", QUESTION)[1]["model_version"] == "2"
        for wrong in ({"weights": {"9": 1}}, {"weights": {"1": -1}}, {"weights": {}}, {"weights": {"1": "x"}}, {}, []):
            assert live.ask("POST", f"{place}/traffic", wrong, admin)[0] in (400, 404)
        status, said, _ = live.ask("POST", f"{place}/traffic", {"weights": {"1": 1, "2": 1}, "shadow": "3"}, admin)
        assert (status, said["weights"]) == (200, {"1": 0.5, "2": 0.5})
        seen = [asked(f"request {at}") for at in range(120)]
        assert set(seen) == {(1, "1"), (2, "2")}
        for at, (number, _) in enumerate(seen):
            feedback = {"id": f"request {at}", "score": float(number)}
            assert live.ask("POST", "/v2/models/adds/feedback", feedback)[1] == {"known": True}
        assert live.ask("POST", "/v2/models/adds/feedback", {"id": "request 0", "score": 1})[1] == {"known": False}
        compared = live.ask("GET", "/v2/models/adds/comparison")[1]
        assert {name: one["mean"] for name, one in compared["votes"]["versions"].items()} == {"1": 1.0, "2": 2.0}
        assert compared["shadow"]["version"] == "3"
        assert compared["shadow"]["asked"] + compared["shadow"]["left_out"] == 120
        assert compared["shadow"]["asked"] > 10
        assert compared["shadow"]["failed"] == 0
        assert main(["promote", "adds", "2"]) == 0
        assert live.ask("POST", f"{place}/load", {"model": "models:/adds@champion"}, admin)[0] == 200
        assert {asked("") for _ in range(20)} == {(2, "2")}
        assert '"event":"fault"' not in live.text


def test_a_shadow_follows_pictures_too(
    project: Path, tokens: dict[str, str], admin: dict[str, str], small_picture: bytes, blob_model: Path
) -> None:
    pytest.importorskip("mlflow")
    import onnx

    from throughline.cli import main

    other = onnx.load(blob_model)
    other.doc_string = "the same in other bytes"
    onnx.save(other, project / "other.onnx")
    for path in (blob_model, project / "other.onnx"):
        assert main(["register", str(path), "blobs"]) == 0
    with serving("models:/blobs/1", "--keys", tokens["file"], "--timeout-ms", "20000", folder=project) as live:
        place, until = "/v2/repository/models/blobs", time.monotonic() + 30
        assert live.ask("POST", f"{place}/stage", {"model": "models:/blobs/2"}, admin)[0] == 200
        assert live.ask("POST", f"{place}/traffic", {"weights": {"1": 1}, "shadow": "2"}, admin)[0] == 200
        shadow: dict[str, Any] = {}
        while shadow.get("asked", 0) < 2 and time.monotonic() < until:
            assert live.ask("POST", "/predict", small_picture)[0] == 200
            shadow = live.ask("GET", "/v2/models/blobs/comparison")[1]["shadow"]
        assert (shadow["failed"], shadow["apart_most"]) == (0, 0.0)
