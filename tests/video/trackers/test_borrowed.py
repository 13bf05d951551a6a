"""The trackers of Roboflow's library, through our contract."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from throughline.contracts.detections import Detections
from throughline.contracts.errors import Unavailable
from throughline.contracts.frames import Frame
from throughline.contracts.streams import Tracker
from throughline.video.trackers import TRACKERS

IMAGE = np.zeros((240, 320, 3), np.uint8)


def test_these_are_the_trackers() -> None:
    assert TRACKERS.names() == ("bytetrack", "hybrid", "ocsort")


@pytest.fixture(params=["bytetrack", "ocsort"])
def tracker(request: pytest.FixtureRequest) -> Tracker:
    for package in ("supervision", "scipy", "trackers"):
        pytest.importorskip(package)
    return TRACKERS.make(request.param)


@pytest.mark.parametrize("name", ["bytetrack", "ocsort"])
def test_without_the_library_it_is_said_how_to_get_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "trackers", None)
    with pytest.raises(Unavailable, match=r"--no-deps trackers|throughline\[track\]"):
        TRACKERS.make(name)


def crossing(frame: int) -> tuple[Detections, Frame]:
    seconds = frame / 30
    rows = [(10 + 60 * seconds, 20, 40 + 60 * seconds, 80), (260 - 60 * seconds, 120, 290 - 60 * seconds, 180)]
    found = Detections(
        np.array([*rows, (np.nan, 0, 1, 1)], np.float32),
        np.full(3, 0.9, np.float32),
        np.array([0, 2, 1]),
        data={"nth": np.arange(3)},
        labels=("a", "b", "c"),
    )
    return found, Frame(frame, seconds, IMAGE, "scene")


def test_identities_hold_and_columns_stay(tracker: Tracker) -> None:
    for frame in range(60):
        followed = tracker.update(*crossing(frame))
        assert followed.tracker_id is not None
        if frame >= 5:
            assert dict(zip(followed.data["nth"].tolist(), followed.tracker_id.tolist(), strict=True)) == {0: 1, 1: 2}
            assert followed.labels == ("a", "b", "c")
            assert set(followed.data) == {"nth"}


def test_frames_in_which_nothing_is_found(tracker: Tracker) -> None:
    for frame in range(5):
        followed = tracker.update(Detections.empty(), Frame(frame, frame / 30, IMAGE, "scene"))
        assert followed.tracker_id is not None
        assert len(followed) == 0


def test_numbers_are_not_given_out_twice_after_a_reset(tracker: Tracker) -> None:
    for frame in range(10):
        tracker.update(*crossing(frame))
    tracker.reset()
    for frame in range(10, 20):
        followed = tracker.update(*crossing(frame))
    assert followed.tracker_id is not None
    assert sorted(followed.tracker_id.tolist()) == [3, 4]


def test_they_cannot_be_taken_up_again_and_say_so(tracker: Tracker) -> None:
    with pytest.raises(Unavailable, match="hybrid"):
        tracker.state()
    with pytest.raises(Unavailable, match="hybrid"):
        tracker.restore({})
