from __future__ import annotations

import contextlib
import gc
import http.client
import json
import re
import select
import socket
import threading
import time
import weakref
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import cv2
import numpy as np
import pytest
from blobs import picture
from browser import Browser

from throughline.contracts.detections import Detections
from throughline.contracts.frames import Frame
from throughline.contracts.masks import Masks
from throughline.contracts.runs import Accounting, Gap
from throughline.video.live_page import LivePage
from throughline.video.moments import EVERY, Moment, Moments
from throughline.video.pipeline import StageTimes

EVIL = '<script>document.title="taken"</script>&\'$style'


def boxes(*rows: tuple[float, float, float, float], labels: tuple[str, ...] = ("blob",), **more: Any) -> Detections:
    classes = more.pop("classes", [0] * len(rows))
    xyxy = np.array(rows, np.float32).reshape(-1, 4)
    return Detections(xyxy, np.full(len(rows), 0.9, np.float32), np.array(classes, np.int64), labels=labels, **more)


def moment(index: int, source: str = "blobs", found: Detections | None = None, **changes: Any) -> Moment:
    """What a job tells after frame ``index``, whose model works four fifths of the time."""
    stages = (
        StageTimes("decode", index * 0.02, 0.0, index * 0.08, index, 8, 5),
        StageTimes("model", index * 0.08, index * 0.02, 0.0, index // 4, 1, 1),
        StageTimes("write", index * 0.01, 0.0, 0.0, index, 0, 0),
    )
    found = boxes((8, 8, 40, 40)) if found is None else found
    frame = Frame(index, index / 10, picture(index), source)
    told = Moment(source, Accounting(index, index, declared=1000), index * 3, stages, frame, found)
    return replace(told, **changes)


@pytest.fixture
def page() -> Iterator[LivePage]:
    with LivePage(f"run {EVIL}") as page:
        yield page


def ask(page: LivePage, path: str = "", method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    """One request as any program could make it; ``path`` lies under the page's own unless it begins with a slash."""
    where = urlsplit(page.address)
    connection = http.client.HTTPConnection(where.netloc, timeout=20)
    connection.request(method, path if path.startswith("/") else where.path + path, headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, dict(answer.getheaders()), body


def listen(page: LivePage, source: int = 0) -> Iterator[dict[str, Any]]:
    """What the page hears, one thing after the other, until it hears no more."""
    where = urlsplit(page.address)
    connection = http.client.HTTPConnection(where.netloc, timeout=20)
    connection.request("GET", f"{where.path}moments?source={source}")
    answer = connection.getresponse()
    assert answer.headers["Content-Type"] == "text/event-stream"
    for line in answer:
        if line.startswith(b"data: "):
            yield json.loads(line.removeprefix(b"data: "))
    connection.close()


def test_it_is_served_to_this_machine_under_a_path_that_nobody_can_guess(page: LivePage) -> None:
    where = urlsplit(page.address)
    assert where.hostname == "127.0.0.1"
    assert len(where.path) > 16
    with LivePage() as another:
        assert urlsplit(another.address).path != where.path
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", where.port or 0), timeout=5)


def test_the_page_asks_nothing_of_anybody_else(page: LivePage) -> None:
    status, headers, body = ask(page)
    text = body.decode()
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    policy = dict(part.strip().partition(" ")[::2] for part in headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["form-action"] == "'none'"
    assert policy["connect-src"] == "'self'"
    assert "unsafe" not in headers["Content-Security-Policy"]
    (nonce,) = set(re.findall(r'nonce="([^"]+)"', text))
    assert policy["script-src"] == f"'nonce-{nonce}'"
    assert nonce not in ask(page)[2].decode(), "a nonce is used once"
    assert not re.findall(r"(?:https?:)?//[a-z]", text.replace("http://www.w3.org/2000/svg", ""))
    assert "<title>run &lt;script&gt;document.title" in text
    assert EVIL not in text


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "localhost:8080", "127.0.0.1:1"])
def test_a_forwarded_port_may_have_another_number(page: LivePage, host: str) -> None:
    assert ask(page, Host=host)[0] == 200


@pytest.mark.parametrize(
    "host", ["", "evil.example", "127.0.0.1.evil.example", "evil.example:80", "127.0.0.1@evil", "["]
)
def test_a_name_that_only_leads_here_is_refused(page: LivePage, host: str) -> None:
    page.show(moment(1))
    for path in ("", "moments", "picture/0"):
        status, _, body = ask(page, path, Host=host)
        assert status in (400, 403)
        assert b"blobs" not in body
        assert b"JFIF" not in body


@pytest.mark.parametrize(
    "path",
    ["/", "/picture/0", "/moments", "/etc/passwd", "live_page.html", "..", "../", "%2e%2e/", "picture/", "picture/../0",
     "picture/-1", "picture/1e3", "picture/٣", "picture/99999999999", "picture/0/0", "moments/0", "moments?source=-1",
     "moments?source=x", "//etc/passwd", "page.css", "/[", "//["],
)  # fmt: skip
def test_there_is_nothing_else_and_no_file(page: LivePage, path: str) -> None:
    page.show(moment(1))
    status, headers, body = ask(page, path.replace("٣", "%D9%A3"))
    assert status == 404
    assert headers["Content-Type"].startswith("text/plain")
    assert len(body) < 100


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "BREW"])
def test_it_can_only_be_read(page: LivePage, method: str) -> None:
    assert ask(page, "", method)[0] in (405, 501)


def test_the_picture_is_the_latest_frame_with_what_was_found(page: LivePage) -> None:
    assert ask(page, "picture/0")[0] == 204, "nothing was shown yet"
    page.show(moment(6))
    page.show(moment(7))
    status, headers, body = ask(page, "picture/0")
    assert (status, headers["Content-Type"], headers["Frame-Index"]) == (200, "image/jpeg", "7")
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    drawn = cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_COLOR_RGB).astype(int)
    plain = picture(7).astype(int)
    assert drawn.shape == plain.shape
    assert np.abs(drawn - plain)[20:30, 7:10].max() > 60, "the box's left side"
    assert np.abs(drawn - plain)[44:, 44:].max() < 40
    assert ask(page, "picture/0?after=7")[0] == 204, "nothing newer"
    page.show(moment(8))
    assert ask(page, "picture/0?after=7")[1]["Frame-Index"] == "8"
    assert ask(page, "picture/1")[0] == 204


class Large:
    """A picture of 8K that must not be converted whole."""

    size = (4320, 7680)

    def rgb(self) -> np.ndarray:
        raise AssertionError("the whole picture was converted")

    def scaled(self, size: tuple[int, int]) -> np.ndarray:
        return np.full((*size, 3), 2**15, np.uint16)

    def colours(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        raise AssertionError


def test_a_large_frame_is_made_small_before_anything_is_drawn(page: LivePage) -> None:
    mask = np.zeros((1, 4320, 7680), np.bool_)
    mask[0, 800:1600, 1600:3200] = True
    points = np.array([[[1600, 800, 1], [3200, 1600, 1]]], np.float32)
    found = boxes((1600, 800, 3200, 1600), masks=Masks.of(mask), data={"keypoints": points})
    page.show(moment(1, found=found, frame=Frame(1, 0.1, Large(), "large")))  # type: ignore[arg-type]
    drawn = cv2.imdecode(np.frombuffer(ask(page, "picture/0")[2], np.uint8), cv2.IMREAD_COLOR_RGB).astype(int)
    assert drawn.shape == (540, 960, 3)
    assert np.abs(drawn[300:, 500:] - 128).max() < 4, "0x8000 of 0xffff is middle grey"
    tinted = np.abs(drawn - 128).max(axis=2) > 20
    assert tinted[105:195, 205:395].mean() > 0.95, "the mask, an eighth as large"
    assert tinted.sum() < 1.35 * 100 * 200, "and little else: the box, the label and the points"


def test_a_frame_that_cannot_be_drawn_is_the_pages_trouble_alone(
    page: LivePage, capfd: pytest.CaptureFixture[str]
) -> None:
    page.show(moment(1, frame=Frame(1, 0.1, np.zeros((0, 0, 3), np.uint8), "empty")))
    status, _, body = ask(page, "picture/0")
    assert status == 500
    assert b"cannot be drawn" in body
    page.show(moment(2))
    assert ask(page, "picture/0")[1]["Frame-Index"] == "2"
    assert capfd.readouterr() == ("", "")


def test_a_frame_is_let_go_when_it_was_drawn_and_when_the_next_one_comes(page: LivePage) -> None:
    def held(told: Moment) -> weakref.ref[Frame]:
        page.show(told)
        return weakref.ref(told.frame)

    first = held(moment(1))
    second = held(moment(2))
    gc.collect()
    assert first() is None
    assert second() is not None
    assert ask(page, "picture/0")[0] == 200
    gc.collect()
    assert second() is None
    assert ask(page, "picture/0")[0] == 200, "the picture is kept, the frame is not"


def test_a_frame_that_nobody_looks_at_is_not_kept_for_long() -> None:
    moments = Moments()
    moments.take(moment(1, "a"))
    moments.take(moment(1, "b"))
    moments.sample(10.0)
    assert moments.waiting(11.0, longest=2.0) == []
    moments.take(moment(2, "b"))
    moments.sample(12.5)
    assert moments.waiting(13.0, longest=2.0) == [0]
    moments.end("b", "COMPLETE")
    assert moments.waiting(13.0, longest=2.0) == [0, 1]
    assert moments.picture(0) is not None
    assert moments.waiting(13.0, longest=2.0) == [1]
    assert moments.told(13.0, 0)["sources"][0]["frame"] == 1, "its number stays"


def test_what_is_told_is_what_the_job_said(page: LivePage) -> None:
    gap = Gap(1.5, 2.0, f"corrupt {EVIL}")
    page.show(moment(10, EVIL, accounting=Accounting(10, 6, {"stride": 4}, 40, (gap,))))
    page.show(moment(3, "other", found=boxes((1, 1, 9, 9), (2, 2, 9, 9), labels=("car", "dog"), classes=[1, 1])))
    told = next(listen(page, source=1))
    assert told["name"] == f"run {EVIL}"
    assert not told["ended"]
    first, second = told["sources"]
    assert (first["name"], first["decoded"], first["inferred"], first["declared"]) == (EVIL, 10, 6, 40)
    assert (first["dropped"], first["gaps"]) == ({"stride": 4}, {"count": 1, "last": [[1.5, 2.0, f"corrupt {EVIL}"]]})
    assert (second["name"], second["frame"], second["at"], second["detections"]) == ("other", 3, 0.3, 9)
    (line,) = told["chosen"]["counts"]
    assert (line["name"], line["values"][-1]) == ("dog", 2)
    assert told["memory"][-1] > 2**20


def test_the_numbers_move_while_the_job_does(page: LivePage) -> None:
    page.show(moment(1))
    hears = listen(page)
    before = next(hears)
    page.show(moment(400))
    after = next(one for one in hears if one["sources"][0]["decoded"] == 400)
    assert after["sources"][0]["rate"] > before["sources"][0]["rate"] == 0
    assert after["sources"][0]["left"] > 0
    assert after["seconds"] > before["seconds"]
    assert len(after["memory"]) > len(before["memory"])


def test_rates_and_shares_are_those_of_the_last_seconds() -> None:
    moments = Moments()
    for second in range(101):
        moments.take(moment(10 * min(second, 50) + 20 * max(0, second - 50)))
        moments.sample(1000.0 + second)
    (source,), full = (moments.told(1100.0, 0)[name] for name in ("sources", "chosen"))
    assert source["rate"] == pytest.approx(20)
    assert source["left"] == 0
    assert full["rates"][:1] + full["rates"][20:50] == pytest.approx([0.0] + [10.0] * 30)
    model = next(stage for stage in full["stages"] if stage["name"] == "model")
    assert model["ms"] == pytest.approx(80)
    assert model["busy"] == pytest.approx(0.8)
    assert model["starved"] == pytest.approx(0.2)
    assert (model["waiting"], model["deepest"]) == (1, 1)


def test_the_rate_of_the_run_is_that_of_what_is_at_work_and_in_the_end_of_all() -> None:
    moments = Moments()
    for second in range(11):
        moments.take(moment(10 * second, "first"))
        moments.sample(100.0 + second)
    moments.end("first", "COMPLETE")
    assert moments.told(110.0, 0)["rate"] == pytest.approx(10)
    for second in range(6):
        moments.take(moment(20 * second, "second"))
        moments.sample(115.0 + second)
    assert moments.told(120.0, 0)["rate"] == pytest.approx(20)
    moments.end("second", "GAPS")
    told = moments.told(999.0, 0)
    assert told["rate"] == pytest.approx(200 / 20), "the pause between them counts"
    assert [source["rate"] for source in told["sources"]] == pytest.approx([10, 20])


def test_a_resumed_run_is_not_credited_with_what_was_done_before() -> None:
    moments = Moments()
    for second in range(3):
        moments.take(moment(800 + 10 * second))
        moments.sample(float(second))
    (source,) = moments.told(2.0, 0)["sources"]
    assert (source["rate"], source["left"]) == (pytest.approx(10), pytest.approx(18))


def test_the_memory_of_a_long_run_is_that_of_two_minutes() -> None:
    moments = Moments()
    for number in range(2000):
        moments.take(moment(number))
        moments.sample(number * EVERY)
    told = moments.told(1000.0, 0)
    assert len(told["memory"]) == len(told["chosen"]["rates"]) == len(told["chosen"]["counts"][0]["values"]) == 240


def test_many_classes_are_seven_and_the_rest_and_keep_their_places() -> None:
    moments = Moments()
    labels = tuple(f"kind {number}" for number in range(12))
    for second, classes in enumerate(([3], [3, 5, 5], list(range(12)))):
        found = boxes(*[(0, 0, 9, 9)] * len(classes), labels=labels, classes=classes)
        moments.take(moment(second + 1, found=found))
        moments.sample(float(second))
    counts = moments.told(2.0, 0)["chosen"]["counts"]
    assert [line["name"] for line in counts[:2]] == ["kind 3", "kind 5"]
    assert (len(counts), counts[-1]["name"]) == (8, "5 other classes")
    assert counts[0]["values"] == [1, 1, 1]
    assert counts[1]["values"] == [0, 2, 1]
    assert counts[-1]["values"] == [0, 0, 5]


def test_several_models_are_named_and_what_is_said_of_the_frame_is_no_object() -> None:
    moments = Moments()
    found = boxes(
        (0, 0, 64, 48), (1, 1, 9, 9), (1, 1, 9, 9), (2, 2, 9, 9), labels=("car", "sunny"), classes=[1, 0, 0, 0],
        data={"model": np.array(["weather", "fast", "sure", "sure"]), "of_frame": np.array([1, 0, 0, 0], np.bool_)},
    )  # fmt: skip
    moments.take(moment(1, found=found))
    moments.sample(1.0)
    told = moments.told(1.0, 0)
    assert [(line["name"], line["values"]) for line in told["chosen"]["counts"]] == [
        ("car (fast)", [1]),
        ("car (sure)", [2]),
    ]
    assert told["sources"][0]["whole"] == ["sunny 0.90"]


def test_showing_costs_microseconds_and_any_thread_may(page: LivePage) -> None:
    told = [moment(number, f"source {number % 4}") for number in range(8)]
    spent: list[float] = []

    def job(number: int) -> None:
        began = time.thread_time()
        for _ in range(5000):
            page.show(told[number])
        spent.append(time.thread_time() - began)

    threads = [threading.Thread(target=job, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(spent) / 5000 < 50e-6
    assert {one["name"] for one in next(listen(page))["sources"]} == {f"source {number}" for number in range(4)}


def test_however_many_ask_no_more_than_ten_pictures_a_second_are_drawn(page: LivePage) -> None:
    had: list[str] = []
    end = time.monotonic() + 1.5

    def watch() -> None:
        while time.monotonic() < end:
            had.append(ask(page, "picture/0")[1].get("Frame-Index", ""))

    page.show(moment(0))
    watchers = [threading.Thread(target=watch) for _ in range(4)]
    for watcher in watchers:
        watcher.start()
    number = 0
    while any(watcher.is_alive() for watcher in watchers):
        number += 1
        page.show(moment(number))
        time.sleep(0.002)  # a job's pace, not a wait for anything
    assert 2 <= len(set(had)) <= 18
    assert len(had) > 2 * len(set(had)), "what is drawn for one is given to all who asked"


def ours() -> set[threading.Thread]:
    return {one for one in threading.enumerate() if "throughline" in one.name or "process_request" in one.name}


def test_the_end_is_told_and_nothing_stays() -> None:
    before = ours()
    with LivePage() as page:
        page.show(moment(1))
        hears = listen(page)
        assert not next(hears)["ended"]
        page.show(moment(2))
        page.ended("blobs", "COMPLETE")
        where = urlsplit(page.address)
        idle = [socket.create_connection((where.hostname, where.port), timeout=20) for _ in range(3)]
        deaf = socket.create_connection((where.hostname, where.port), timeout=20)
        deaf.sendall(f"GET {where.path}moments HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert ask(page)[0] == 200
        assert not page.closed
        began = time.monotonic()
    took = time.monotonic() - began
    last = list(hears)[-1]
    assert page.closed
    assert last["ended"]
    assert last["sources"][0]["decoded"] == 2
    assert last["sources"][0]["ending"] == "COMPLETE"
    assert took < 0.5
    assert ours() <= before
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((where.hostname, where.port), timeout=5)
    for connection in (*idle, deaf):
        connection.close()


def test_a_browser_that_does_not_read_cannot_hold_up_the_end() -> None:
    with LivePage("x" * 2**23) as page:
        where = urlsplit(page.address)
        deaf = socket.socket()
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect((where.hostname, where.port))
        deaf.sendall(f"GET {where.path}moments HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        hears = listen(page)
        for _ in range(3):  # far more than the sockets of both sides hold
            next(hears)
        began = time.monotonic()
    assert time.monotonic() - began < 0.5
    deaf.close()


def test_a_crowd_is_let_in_only_so_far(page: LivePage) -> None:
    where = urlsplit(page.address)
    crowd = [socket.create_connection((where.hostname, where.port), timeout=20) for _ in range(60)]
    turned_away: list[socket.socket] = []
    soon = time.monotonic() + 6  # long before anyone who says nothing is shown out
    while len(turned_away) < 20 and time.monotonic() < soon:
        turned_away, _, _ = select.select(crowd, [], [], 1)
    assert len(turned_away) >= 20
    assert {connection.recv(1) for connection in turned_away} == {b""}
    for connection in crowd:
        connection.close()


@pytest.mark.browser
def test_in_a_browser_it_opens_moves_and_says_when_the_run_ends(tmp_path: Path, chromium: str) -> None:
    sources = [EVIL, "second.mp4"]
    with Browser(chromium, tmp_path / "profile", width=390) as tab:
        with LivePage(f"run {EVIL}") as page, at_work(page, sources):
            tab.open(page.address)
            tab.until("document.getElementById('picture').naturalWidth == 64")
            assert tab.value("document.querySelector('h1').textContent") == f"run {EVIL}"
            assert tab.value("document.title") == f"run {EVIL}, live"
            assert tab.value("document.getElementById('name').textContent") == EVIL
            before = tab.until("document.getElementById('frame').textContent")
            tab.until(f"document.getElementById('frame').textContent != {json.dumps(before)}")
            tab.until("Number(document.getElementById('rate').textContent) > 1")
            tab.until("document.querySelectorAll('#objects path').length == 1")
            tab.until("document.querySelectorAll('#stages tr').length == 3")
            tab.until("[...document.querySelectorAll('#sources img')].every(one => one.naturalWidth == 64)")
            page.ended(EVIL, "COMPLETE")
            tab.until("document.getElementById('name').textContent == 'second.mp4'")
            tab.value("document.querySelectorAll('#sources button')[0].click()")
            tab.until(f"document.getElementById('name').textContent == {json.dumps(EVIL)}")
            assert tab.value("document.documentElement.scrollWidth") <= 390, "nothing sticks out on a phone"
            assert tab.complaints == []
            page.ended("second.mp4", "GAPS")
        tab.until("document.getElementById('state').textContent == 'GAPS'")
        assert "The run has ended" in tab.value("document.getElementById('says').textContent")
        assert tab.value("document.getElementById('picture').naturalWidth") == 64, "the last picture stays"
        assert [one for one in tab.complaints if "net::ERR_" not in one] == [], "it may just have asked for a picture"
        here = urlsplit(page.address)
        assert {urlsplit(address.removeprefix("blob:")).netloc for address in tab.requests} == {here.netloc}


@contextlib.contextmanager
def at_work(page: LivePage, sources: list[str]) -> Iterator[None]:
    """A job for each source, as long as the block lasts."""
    stop = threading.Event()

    def job(name: str) -> None:
        number = 0
        while not stop.wait(0.01):
            number += 1
            page.show(moment(number, name, accounting=Accounting(number, number)))

    for name in sources:  # the page lists them in the order in which they come
        page.show(moment(0, name))
    jobs = [threading.Thread(target=job, args=(name,)) for name in sources]
    try:
        for one in jobs:
            one.start()
        yield
    finally:
        stop.set()
        for one in jobs:
            one.join()
