"""Frames looked at side by side come out in order, and several models share them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from blobs import LABELS, SIDE, Blobs, job, picture

from throughline.contracts.frames import Frame
from throughline.models.session import Session, open_model
from throughline.video.looking import Looking, side_by_side
from throughline.vision.decoders.yolo import decode
from throughline.vision.detector import Detector


@pytest.fixture(scope="module")
def session(blob_model: Path) -> Iterator[Session]:
    with open_model(blob_model, threads=2, lanes=2) as opened:
        assert opened.lanes == 2
        yield opened


def test_what_is_done_side_by_side_comes_out_in_order_and_really_is_side_by_side() -> None:
    together = threading.Barrier(3)

    def call(number: int) -> int:
        together.wait(timeout=30)  # passes only when three are under way at once
        return number * number

    assert list(side_by_side(call, iter(range(12)), 3)) == [(number, number * number) for number in range(12)]
    assert list(side_by_side(lambda number: -number, iter(range(3)), 1)) == [(0, 0), (1, -1), (2, -2)]


@pytest.mark.parametrize("lanes", [1, 3])
def test_an_error_comes_in_its_place_and_nothing_goes_on(lanes: int) -> None:
    asked: list[int] = []

    def call(number: int) -> int:
        asked.append(number)
        return 1 // (number - 2)

    results = side_by_side(call, iter(range(1000)), lanes)
    assert [next(results)[0], next(results)[0]] == [0, 1]
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert len(asked) < 10
    assert not [thread for thread in threading.enumerate() if "look" in thread.name]


def test_leaving_early_leaves_no_thread() -> None:
    results = side_by_side(lambda number: number, iter(range(1000)), 4)
    assert next(results) == (0, 0)
    results.close()
    assert not [thread for thread in threading.enumerate() if "look" in thread.name]


def test_lanes_change_nothing_in_the_results(tmp_path: Path, session: Session) -> None:
    for lanes in (1, 2, 5):
        job(tmp_path / str(lanes), session, Blobs(75), batch=1, lanes=lanes).run()
    one = (tmp_path / "1" / "lines.jsonl").read_bytes()
    assert one == (tmp_path / "2" / "lines.jsonl").read_bytes() == (tmp_path / "5" / "lines.jsonl").read_bytes()


def test_several_models_say_something_of_every_frame(session: Session) -> None:
    keen, choosy = (Detector(session, decode, (SIDE, SIDE), LABELS, conf, 0.2) for conf in (0.5, 0.8))
    looking = Looking([keen, choosy], batch=4)
    frames = [Frame(index, index / 10, picture(index), "x") for index in range(3)]
    said = looking(frames)
    assert len(said) == 3
    assert all(len(first) >= len(second) for first, second in said)
    assert sum(len(first) for first, _ in said) > sum(len(second) for _, second in said)
    times = {stage.name: stage for stage in looking.times()}
    assert [*times] == ["letterbox", "model", "decode outputs"]
    assert all(stage.busy > 0 and stage.items == 3 for stage in times.values())
