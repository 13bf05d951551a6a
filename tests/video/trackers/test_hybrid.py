"""The tracker on scenes made by hand, where who is who is beyond doubt."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from throughline.contracts.detections import Detection, Detections
from throughline.contracts.errors import InputError
from throughline.contracts.frames import Frame
from throughline.contracts.masks import Masks
from throughline.testing.world import World, write_video
from throughline.video.sources import open_sources
from throughline.video.trackers import TRACKERS
from throughline.video.trackers._appearance import difference, looks_of
from throughline.video.trackers._motion import centred
from throughline.video.trackers.hybrid import HybridTracker

WHITE, RED, BLUE = (255, 255, 255), (220, 20, 20), (20, 20, 220)
GREY = np.full((240, 320, 3), 128, np.uint8)


def boxes(rows: Sequence[Sequence[float]], confidence: float = 0.9, class_id: int = 0) -> Detections:
    count = len(rows)
    return Detections(
        np.array(rows, np.float32).reshape(-1, 4),
        np.full(count, confidence, np.float32),
        np.full(count, class_id, np.int64),
    )


def at(seconds: float, image: np.ndarray = GREY) -> Frame:
    return Frame(round(seconds * 30), seconds, image, "scene")


def painted(rows: Sequence[Sequence[float]], colours: Iterable[tuple[int, int, int]]) -> np.ndarray:
    image = GREY.copy()
    for (x1, y1, x2, y2), colour in zip(rows, colours, strict=False):
        image[max(0, round(y1)) : round(y2), max(0, round(x1)) : round(x2)] = colour
    return image


def walker(x: float, y: float = 100.0) -> tuple[float, float, float, float]:
    return x, y, x + 20, y + 50


def ids(found: Detections) -> list[int]:
    assert found.tracker_id is not None
    return found.tracker_id.tolist()


@pytest.mark.parametrize("stride", [1, 2, 4, 8])
@pytest.mark.parametrize("speed", [0.0, 30.0, -90.0])
def test_one_object_is_one_identity_at_any_stride(stride: int, speed: float) -> None:
    tracker = HybridTracker()
    for frame in range(0, 90, stride):
        seconds = frame / 30
        found = tracker.update(boxes([walker(150 + speed * seconds)]), at(seconds))
        assert ids(found) == [1]


def test_the_stride_may_change_on_the_way() -> None:
    tracker = HybridTracker()
    times = [*np.arange(0, 1, 1 / 30), *np.arange(1, 3, 8 / 30), *np.arange(3, 4, 1 / 30)]
    for seconds in times:
        assert ids(tracker.update(boxes([walker(10 + 70 * seconds), walker(300 - 70 * seconds, 20)]), at(seconds))) == [
            1,
            2,
        ]


@pytest.mark.parametrize("step", [1 / 30, 4 / 30, 8 / 30])
def test_two_that_cross_keep_their_identities(step: float) -> None:
    tracker = HybridTracker()
    for seconds in np.arange(0, 4, step):
        places = [walker(40 + 60 * seconds), walker(280 - 60 * seconds, 104)]
        assert ids(tracker.update(boxes(places), at(seconds, painted(places, (RED, BLUE))))) == [1, 2]


def test_one_that_was_hidden_comes_back_as_itself() -> None:
    tracker = HybridTracker()
    for frame in range(90):
        seconds = frame / 30
        place = walker(20 + 80 * seconds)
        hidden = 1.0 < seconds < 1.9
        found = tracker.update(boxes([] if hidden else [place]), at(seconds, painted([place], [RED])))
        assert ids(found) == ([] if hidden else [1])


def test_looks_tell_apart_who_returns_when_places_cannot() -> None:
    tracker = HybridTracker()
    start = [walker(100), walker(128)]
    for frame in range(30):
        tracker.update(boxes(start), at(frame / 30, painted(start, (RED, BLUE))))
    swapped = [walker(128), walker(100)]  # a second later each stands where the other stood
    found = tracker.update(boxes(swapped), at(2.0, painted(swapped, (RED, BLUE))))
    assert ids(found) == [1, 2]


def test_after_a_jump_in_time_nobody_is_taken_for_somebody_else() -> None:
    tracker = HybridTracker(memory=2.0)
    for frame in range(30):
        tracker.update(boxes([walker(100), walker(200)]), at(frame / 30))
    assert ids(tracker.update(boxes([walker(100), walker(200)]), at(2.0))) == [1, 2]
    assert ids(tracker.update(boxes([walker(100), walker(200)]), at(9.0))) == [3, 4]


def test_a_class_never_becomes_another() -> None:
    tracker = HybridTracker()
    assert ids(tracker.update(boxes([walker(100)], class_id=0), at(0.0))) == [1]
    assert ids(tracker.update(boxes([walker(100)], class_id=5), at(1 / 30))) == [2]
    assert ids(tracker.update(boxes([walker(100)], class_id=0), at(2 / 30))) == [1]


def test_doubtful_boxes_continue_a_track_and_never_begin_one() -> None:
    tracker = HybridTracker()
    for frame in range(5):
        assert ids(tracker.update(boxes([walker(100)], confidence=0.2), at(frame / 30))) == []
    assert ids(tracker.update(boxes([walker(100)]), at(5 / 30))) == [1]
    assert ids(tracker.update(boxes([walker(100)], confidence=0.2), at(6 / 30))) == [1]


def test_what_is_half_certain_must_be_seen_twice() -> None:
    tracker = HybridTracker()
    assert ids(tracker.update(boxes([walker(100)], confidence=0.6), at(0.0))) == []
    assert ids(tracker.update(boxes([walker(100)], confidence=0.6), at(1 / 30))) == [1]


def test_only_what_is_followed_comes_back_with_all_its_columns() -> None:
    tracker = HybridTracker()
    given = Detections(
        np.array([walker(10), walker(100), walker(200)], np.float32),
        np.array([0.9, 0.1, 0.95], np.float32),
        np.array([0, 1, 2]),
        masks=Masks.of(np.zeros((3, 4, 4), bool)),
        data={"nth": np.arange(3)},
        labels=("a", "b", "c"),
    )
    found = tracker.update(given, at(0.0))
    assert found.data["nth"].tolist() == [0, 2]
    assert found.labels == given.labels
    assert found.mask is not None
    assert found.mask.shape == (2, 4, 4)


def test_frames_in_which_nothing_is_found() -> None:
    tracker = HybridTracker()
    assert ids(tracker.update(Detections.empty(), at(0.0))) == []
    assert ids(tracker.update(boxes([walker(100)]), at(1 / 30))) == [1]
    for frame in range(2, 20):
        assert ids(tracker.update(Detections.empty(), at(frame / 30))) == []
    assert ids(tracker.update(boxes([walker(100)]), at(20 / 30))) == [1]


def test_boxes_that_are_none_are_left_out() -> None:
    tracker = HybridTracker()
    bad = [(np.nan, 0, 10, 10), (0, 0, np.inf, 10), (-np.inf, 0, np.inf, 10), (50, 50, 50, 80), (80, 80, 60, 60)]
    for frame in range(5):
        found = tracker.update(boxes([*bad, walker(100)]), at(frame / 30))
        assert ids(found) == [1]
        assert found.xyxy.tolist() == [list(walker(100))]


def test_boxes_wholly_outside_the_picture_are_survived() -> None:
    tracker = HybridTracker()
    for frame in range(3):
        assert ids(tracker.update(boxes([walker(-500), walker(9000), (-3e38, -3e38, 3e38, 3e38)]), at(frame / 30))) == [
            1,
            2,
            3,
        ]


def test_numbers_are_not_given_out_twice_after_a_reset() -> None:
    tracker = HybridTracker()
    tracker.update(boxes([walker(100)]), at(0.0))
    tracker.reset()
    assert ids(tracker.update(boxes([walker(100)]), at(1 / 30))) == [2]


def test_a_clock_that_stands_still_or_goes_back_breaks_nothing() -> None:
    tracker = HybridTracker()
    for seconds in (100.0, 100.0, 0.5, 0.5, 1.0, 1.1):
        assert ids(tracker.update(boxes([walker(100)]), at(seconds))) == [1]
    tracker.update(Detections.empty(), at(20.0))
    assert ids(tracker.update(boxes([walker(100)]), at(20.1))) == [2]


def test_it_works_without_frames() -> None:
    tracker = HybridTracker()
    for frame in range(30):
        assert ids(tracker.update(boxes([walker(100 + frame), walker(200 - frame)]))) == [1, 2]


def test_a_plain_list_of_detections_is_followed_as_columns_are() -> None:
    one, other = HybridTracker(), HybridTracker()
    for found, frame in scene(3, 20):
        given = replace(found, labels=("cat", "dog"))
        expected, got = one.update(given, frame), other.update(list(given), frame)
        assert ids(got) == ids(expected)
        assert list(got) == list(expected)
    assert other.state() == one.state()
    assert ids(other.update([], at(99.0))) == []
    (got,) = HybridTracker().update([Detection((0, 0, 9, 9), 0.9, 2, "fox")])
    assert got == Detection((0, 0, 9, 9), np.float32(0.9), 2, "fox")


def test_looks_are_the_same_from_a_picture_that_was_not_converted(tmp_path: Path) -> None:
    write_video(World(5, 160, 96), path := tmp_path / "street.mp4", 2)
    (source,) = open_sources([str(path)])
    for frame in source.frames():
        converted = Frame(frame.index, frame.seconds, frame.image, frame.source)
        places = centred(np.array([(10, 10, 60, 90), (100, 0, 170, 50)], np.float32))
        near = difference(looks_of(frame, places), looks_of(converted, places))
        assert near.max() < 0.35, "looks of one and the same picture"


def scene(seed: int, frames: int) -> list[tuple[Detections, Frame]]:
    """A crowd in a small place, seen badly and unevenly."""
    chance = np.random.default_rng(seed)
    start, speed = chance.uniform(0, 280, (12, 2)), chance.normal(0, 40, (12, 2))
    seconds, shots = 0.0, []
    for _ in range(frames):
        seconds += float(chance.choice((1, 1, 2, 5))) / 30
        corner = start + speed * seconds + chance.normal(0, 1, (12, 2))
        seen = chance.random(12) < 0.8
        xyxy = np.hstack((corner, corner + np.array((20, 40))))[seen].astype(np.float32)
        confidence = chance.uniform(0.2, 1, int(seen.sum())).astype(np.float32)
        image = chance.integers(0, 256, (60, 80, 3), np.uint8).repeat(4, 0).repeat(4, 1)
        shots.append((Detections(xyxy, confidence, np.arange(12)[seen] % 2), at(seconds, image)))
    return shots


@given(st.integers(0, 2**32 - 1), st.integers(0, 29))
@settings(max_examples=25, deadline=None)
def test_taken_up_again_anywhere_it_goes_on_exactly(seed: int, cut: int) -> None:
    shots = scene(seed, 30)
    whole, first, second = HybridTracker(), HybridTracker(), HybridTracker()
    expected = [ids(whole.update(*shot)) for shot in shots]
    got = [ids(first.update(*shot)) for shot in shots[:cut]]
    second.restore(json.loads(json.dumps(first.state(), allow_nan=False)))
    got += [ids(second.update(*shot)) for shot in shots[cut:]]
    assert got == expected
    assert second.state() == whole.state()


def test_five_hundred_objects_are_followed_in_time() -> None:
    chance = np.random.default_rng(5)
    corner = chance.uniform(0, (1900, 1000), (500, 2))
    tracker, image = HybridTracker(), np.zeros((1080, 1920, 3), np.uint8)
    began = time.process_time()
    for frame in range(5):
        found = tracker.update(boxes(np.hstack((corner + frame, corner + frame + (20, 40)))), at(frame / 30, image))
    assert time.process_time() - began < 10
    assert ids(found) == list(range(1, 501))


@pytest.mark.parametrize("options", [{"confidence": 1.5}, {"memory": -1}, {"memory": float("nan")}, {"reach": 0}])
def test_options_that_make_no_sense_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(InputError, match=next(iter(options))):
        TRACKERS.make("hybrid", **options)
