"""Identities over several models: every model's objects on their own, no number twice, whole frames left alone."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from blobs import Nearest

from throughline.contracts.detections import Detections
from throughline.contracts.errors import Unavailable
from throughline.contracts.frames import Frame
from throughline.video.following import Following

IMAGE = np.zeros((48, 64, 3), np.uint8)


def boxes(*lefts: float) -> Detections:
    xyxy = np.array([[left, 4, left + 8, 12] for left in lefts], np.float32).reshape(-1, 4)
    return Detections(xyxy, np.full(len(lefts), 0.9, np.float32), np.zeros(len(lefts), np.int64), labels=("blob",))


def street() -> Detections:
    whole = np.array([[0, 0, 64, 48]], np.float32)
    return Detections(
        whole,
        np.array([0.7], np.float32),
        np.zeros(1, np.int64),
        data={"of_frame": np.ones(1, bool)},
        labels=("street",),
    )


def frame(index: int) -> Frame:
    return Frame(index, index / 10, IMAGE, "x")


def test_one_model_is_followed_as_its_tracker_does() -> None:
    following = Following(("a",), Nearest)
    found = following.update([boxes(1, 30)], frame(0))
    assert found.tracker_id is not None
    assert found.tracker_id.tolist() == [1, 2]
    assert "model" not in found.data


def test_no_two_models_share_a_number_and_each_keeps_its_own() -> None:
    following = Following(("a", "b", "c"), Nearest)
    first = following.update([boxes(1, 30), boxes(1), street()], frame(0))
    second = following.update([boxes(2, 31), boxes(2, 50), street()], frame(1))
    assert first.tracker_id is not None
    assert second.tracker_id is not None
    assert first.tracker_id.tolist() == [1, 4, 2, -1]
    assert second.tracker_id.tolist() == [1, 4, 2, 5, -1]
    assert second.data["model"].tolist() == ["a", "a", "b", "b", "c"]
    assert second.labels == ("blob", "blob", "street")


def test_it_goes_on_from_its_state_as_if_nothing_had_happened() -> None:
    whole, before = Following(("a", "b"), Nearest), Following(("a", "b"), Nearest)
    for following in (whole, before):
        following.update([boxes(1, 30), boxes(50)], frame(0))
    after = Following(("a", "b"), Nearest)
    after.restore(json.loads(json.dumps(before.state())))
    expected = whole.update([boxes(2, 31), boxes(51, 9)], frame(1))
    found = after.update([boxes(2, 31), boxes(51, 9)], frame(1))
    np.testing.assert_array_equal(found.tracker_id, expected.tracker_id)


def test_what_cannot_tell_its_state_cannot_go_on() -> None:
    class Forgetful(Nearest):
        def state(self) -> dict[str, Any]:
            raise Unavailable("this tracker cannot be saved", "take another")

    assert Following(("a",), Forgetful).state() is None
    with pytest.raises(Unavailable, match="cannot be put back"):
        Following(("a",), Forgetful).restore(None)


def test_without_a_tracker_nothing_is_followed() -> None:
    following = Following(("a", "b"), None)
    assert following.update([boxes(1), boxes(2)], frame(0)).tracker_id is None
    assert following.state() == []
