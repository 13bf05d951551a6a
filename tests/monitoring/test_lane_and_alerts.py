"""A queue that never makes anybody wait, and what is told through it: to the log, to an address, as gauges."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from streams import MODEL, remembered

from throughline.contracts.errors import InputError
from throughline.monitoring.alerts import ALERTS, news_of
from throughline.monitoring.lane import Lane
from throughline.monitoring.observers import OBSERVERS
from throughline.monitoring.profile import profile_of
from throughline.monitoring.windows import Watch, Window


class Listener:
    """An address that keeps what it is sent; it answers as it is told, and may be held up."""

    def __init__(self, *codes: int) -> None:
        self.heard: list[tuple[str, dict[str, Any]]] = []
        self.codes, self.go = list(codes), threading.Event()
        self.go.set()
        listener = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                listener.heard.append((self.path, body))
                listener.go.wait()
                code = listener.codes.pop(0) if listener.codes else 200
                self.send_response(code)
                if code == 302:
                    self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/drift"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def close(self) -> None:
        self.go.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def listener() -> Iterator[Listener]:
    one = Listener()
    yield one
    one.close()


@pytest.fixture(scope="module")
def windows() -> list[Window]:
    """Nothing, nothing, news, an alarm, an alarm, nothing, and the alarm goes off."""
    watch = Watch(profile_of(remembered(1000, 3)), window=50)
    return watch.over([*remembered(100, 4), *remembered(150, 5, shift=3.0), *remembered(100, 6)])


def test_what_is_put_in_comes_out_in_order_and_what_finds_no_room_is_counted() -> None:
    go, began, heard = threading.Event(), threading.Event(), list[int]()

    def work(some: Sequence[int]) -> None:
        began.set()
        go.wait()
        heard.extend(some)

    lane = Lane(work, name="test", room=10, at_once=1)
    assert lane.put(0)
    assert began.wait(10)
    assert [lane.put(number) for number in range(1, 15)] == [True] * 10 + [False] * 4
    assert not lane.settled(0.0)
    go.set()
    assert lane.settled()
    assert (heard, lane.dropped, lane.failed) == (list(range(11)), 4, 0)
    assert lane.close()
    assert not lane.put(1)


def test_work_that_fails_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    heard: list[int] = []

    def work(some: Sequence[int]) -> None:
        if 1 in some or 2 in some:
            raise ValueError("the disk is full")
        heard.extend(some)

    lane = Lane(work, name="test", at_once=1)
    with caplog.at_level(logging.WARNING, "throughline"):
        for number in range(4):
            lane.put(number)
        assert lane.close()
    assert (heard, lane.failed) == ([0, 3], 2)
    assert [one.getMessage() for one in caplog.records] == ["test: the disk is full (said once; the rest is counted)"]


def test_a_lane_that_is_stuck_is_left_behind() -> None:
    go = threading.Event()
    lane = Lane(lambda some: bool(go.wait()), name="test", at_once=1)  # type: ignore[arg-type,return-value]
    for number in range(3):
        lane.put(number)
    assert not lane.close(0.05)
    assert lane.dropped >= 2
    go.set()
    assert lane.close()


def test_only_changes_are_news(windows: list[Window]) -> None:
    told = [news_of(window, MODEL) for window in windows]
    assert [None if one is None else one["state"] for one in told] == [None, None, None, "on", None, None, "off"]
    on = told[3]
    assert on is not None
    assert "number 0" in on["raised"]
    assert on["model"] == {"name": "street.onnx", "version": "3", "sha256": "a" * 64}
    assert on["features"]["number 0"]["statistic"] > on["features"]["number 0"]["threshold"]
    json.dumps(on, allow_nan=False)


def test_the_log_says_what_changed(windows: list[Window], caplog: pytest.LogCaptureFixture) -> None:
    alert = ALERTS.make("log")
    with caplog.at_level(logging.INFO, "throughline"):
        for window in windows:
            alert.tell(window, MODEL)
    alert.close()
    said = [one.getMessage() for one in caplog.records]
    assert any(line.startswith("drift of street.onnx: number 0 is not what it was (wasserstein ") for line in said)
    assert "drift of street.onnx: number 0 is as usual again, window 6" in said


def test_an_address_is_told_once_for_each_change(windows: list[Window], listener: Listener) -> None:
    alert = ALERTS.make("webhook", url=listener.url)
    for window in windows:
        alert.tell(window, MODEL)
    alert.close()
    assert [(path, body["state"], body["window"]) for path, body in listener.heard] == [
        ("/drift", "on", 3), ("/drift", "off", 6),
    ]  # fmt: skip
    assert (alert.sent, alert.lost) == (2, 0)


def test_an_address_that_stumbles_is_tried_again_and_one_that_refuses_is_not(
    windows: list[Window], listener: Listener
) -> None:
    listener.codes = [503, 200, 400]
    alert = ALERTS.make("webhook", url=listener.url, pause=0.001)
    for window in windows:
        alert.tell(window, MODEL)
    assert alert.settled()
    alert.close()
    assert [body["state"] for _, body in listener.heard] == ["on", "on", "off"]
    assert (alert.sent, alert.lost) == (1, 1)


def test_nobody_else_says_where_to_send(windows: list[Window], listener: Listener) -> None:
    listener.codes = [302]
    alert = ALERTS.make("webhook", url=listener.url, pause=0.001)
    alert.tell(windows[3], MODEL)
    alert.close()
    assert [path for path, _ in listener.heard] == ["/drift"]
    assert alert.lost == 1


def test_an_address_that_never_answers_holds_nobody_up(windows: list[Window], listener: Listener) -> None:
    listener.go.clear()
    alert = ALERTS.make("webhook", url=listener.url, room=2, timeout=30)
    for _ in range(20):
        alert.tell(windows[3], MODEL)  # returns at once, or this test would never end
    assert alert.lost >= 17
    listener.go.set()
    alert.close()
    assert alert.sent + alert.lost == 20


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://host/x", "host/path", "http://", ""])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(InputError, match="address") as caught:
        ALERTS.make("webhook", url=url)
    assert "https://host/path" in caught.value.fix


def test_gauges_show_the_last_window_as_plain_numbers(windows: list[Window]) -> None:
    gauges = ALERTS.make("prometheus")
    assert gauges.values() == {}
    for window in windows[:5]:
        gauges.tell(window, MODEL)
    values = {(name, dict(labels).get("feature"), dict(labels).get("detector")): value
              for (name, labels), value in gauges.values().items()}  # fmt: skip
    assert values["throughline_drift_alarm", "number 0", None] == 1.0
    assert values["throughline_drift_alarm", "number 1", None] == 0.0
    assert values["throughline_drift_window", None, None] == 4.0
    assert values["throughline_drift_alarms_raised", None, None] >= 1.0
    statistic = values["throughline_drift_statistic", "number 0", "wasserstein"]
    assert statistic > values["throughline_drift_threshold", "number 0", "wasserstein"]
    assert all(isinstance(value, float) and value == value for value in values.values())


def test_observations_that_many_threads_bring_are_judged_on_one_of_its_own(windows: list[Window]) -> None:
    gauges = ALERTS.make("prometheus")
    observer = OBSERVERS.make("drift", profile_of(remembered(1000, 3)), alerts=[gauges], window=50)
    later = list(remembered(200, 5, shift=3.0))
    threads = [
        threading.Thread(target=lambda part=part: [observer.take(one) for one in part])
        for part in (later[::2], later[1::2])
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert observer.settled()
    assert observer.last is not None
    assert "number 0" in observer.last.alarms
    observer.close()
    assert observer.dropped == 0
    assert gauges.values()
    assert not observer.take(later[0])
