"""The world's promises: the same pixels everywhere, and truth that is exact."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import sys

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from throughline.contracts.errors import InputError
from throughline.testing.world import LABELS, Look, World

GOLDEN = {
    "as it comes": (World(), 0, "caea25ed3b274cc90fc7a232"),
    "another street": (World(1), 100, "621c5ccf3ae8aedc4619fd95"),
    "night, noise and tremble": (World(3, look=Look(light=0.3, noise=6, shake=5)), 41, "44d80203d45065dd20afe626"),
    "soft, crowded and strange": (
        World(8, 320, 192, look=Look(blur=1.5, density=2, appearance=0.7)),
        3,
        "366373cb4e6645983d7aa15e",
    ),
    "large and bright": (World(2, 1000, 600, fps=25, look=Look(light=1.4)), 9, "2219801d87a7c53b29c1aa4b"),
}
PLAIN_PROCESSOR = {
    "NPY_DISABLE_CPU_FEATURES": " ".join(np.show_config("dicts")["SIMD Extensions"].get("found", [])),
    "OPENCV_CPU_DISABLE": "SSE4.1,SSE4.2,AVX,FP16,AVX2,AVX512-SKX",
}


def fingerprint(world: World, index: int) -> str:
    """Everything that a frame says, pixels and truth."""
    frame, truth = world.frame(index)
    found, digest = truth.detections, hashlib.sha256(frame.image.tobytes())
    for column in (found.xyxy, found.class_id, found.tracker_id, found.mask, found.data["visibility"]):
        digest.update(np.ascontiguousarray(column).tobytes())
    return digest.hexdigest()[:24]


@pytest.mark.parametrize("name", GOLDEN)
def test_pixels_and_truth_are_the_pinned_ones(name: str) -> None:
    world, index, expected = GOLDEN[name]
    assert fingerprint(world, index) == expected


@pytest.mark.parametrize("features", [{}, PLAIN_PROCESSOR], ids=["own features", "plain processor"])
def test_a_fresh_process_gives_the_same_pixels(features: dict[str, str]) -> None:
    script = (
        "import cv2, numpy, test_world\n"
        "for world, index, _ in test_world.GOLDEN.values():\n"
        "    print(test_world.fingerprint(world, index))\n"
        "print(cv2.checkHardwareSupport(10), numpy.show_config('dicts')['SIMD Extensions'].get('found', []))\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.path.dirname(__file__), **features}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    *prints, used = done.stdout.splitlines()
    assert prints == [expected for _, _, expected in GOLDEN.values()]
    if features and platform.machine() == "x86_64":
        assert used == "False []", "the processor's features were to be off"


def test_frames_come_in_any_order() -> None:
    world = World(5, 320, 192, look=Look(noise=4, shake=3))
    in_order = [fingerprint(world, index) for index in range(6)]
    fresh = World(5, 320, 192, look=Look(noise=4, shake=3))
    assert [fingerprint(fresh, index) for index in (5, 0, 3)] == [in_order[index] for index in (5, 0, 3)]
    for index, (frame, truth) in enumerate(World(5, 320, 192, look=Look(noise=4, shake=3)).frames(3)):
        again, same = world.frame(index)
        assert np.array_equal(frame.image, again.image)
        assert np.array_equal(truth.detections.xyxy, same.detections.xyxy)
        assert (frame.index, frame.seconds, frame.source) == (index, index / 30, "world-5")


def test_frames_are_rgb_and_each_seed_is_another_street() -> None:
    pictures = [World(seed, 320, 192).frame(0)[0].image for seed in range(4)]
    assert all(picture.shape == (192, 320, 3) and picture.dtype == np.uint8 for picture in pictures)
    empty = [World(seed, 320, 192, look=Look(density=0)).frame(0)[0].image for seed in range(4)]
    for one in range(4):
        for other in range(one):
            assert np.abs(empty[one].astype(int) - empty[other]).mean() > 10


@settings(max_examples=25)
@given(
    seed=st.integers(0, 2**40),
    index=st.integers(0, 5000),
    density=st.sampled_from([0.0, 0.5, 1.0, 3.0]),
    shake=st.sampled_from([0.0, 7.5]),
    size=st.sampled_from([(320, 192), (160, 160), (401, 243)]),
)
def test_truth_is_exact(seed: int, index: int, density: float, shake: float, size: tuple[int, int]) -> None:
    frame, truth = World(seed, *size, look=Look(density=density, shake=shake)).frame(index)
    found, (height, width) = truth.detections, frame.image.shape[:2]
    assert found.mask is not None
    assert found.tracker_id is not None
    assert found.labels == LABELS
    assert found.xyxy.dtype == np.float32
    assert found.mask.shape == (len(found), height, width)
    assert (found.mask.sum(axis=0) <= 1).all(), "no pixel belongs to two objects"
    assert len(set(found.tracker_id.tolist())) == len(found)
    assert ((found.class_id >= 0) & (found.class_id < len(LABELS))).all()
    assert (found.confidence == 1).all()
    for (x1, y1, x2, y2), mask, seen in zip(found.xyxy.tolist(), found.mask, found.data["visibility"], strict=True):
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        assert (x1, y1, x2, y2) == (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1), "the box is tight"
        assert 0 <= x1 < x2 <= width
        assert 0 <= y1 < y2 <= height
        assert min(x2 - x1, y2 - y1) >= 4
        assert mask.sum() >= 24
        assert 0.15 <= seen <= 1


def test_masks_are_where_the_objects_are() -> None:
    """Outside masks, shadows and what is too hidden to be named, the street looks as it does when it is empty."""
    crowded, empty = World(4), World(4, look=Look(density=0))
    for index in (0, 60):
        frame, truth = crowded.frame(index)
        assert truth.detections.mask is not None
        changed = (np.abs(frame.image.astype(int) - empty.frame(index)[0].image) > 40).any(axis=2)
        named = truth.detections.mask.any(axis=0)
        beside = cv2.dilate(named.view(np.uint8), np.ones((5, 5), np.uint8)).astype(bool)
        assert changed[named].mean() > 0.75
        assert changed[~beside].mean() < 0.01


def test_an_identity_is_one_object_for_all_time() -> None:
    world = World(12)
    kinds: dict[int, int] = {}
    places: dict[int, tuple[int, float]] = {}
    steps = 0
    for index in range(0, 240, 4):
        found = world.frame(index)[1].detections
        assert found.tracker_id is not None
        for identity, kind, box, seen in zip(
            found.tracker_id.tolist(), found.class_id.tolist(), found.xyxy, found.data["visibility"], strict=True
        ):
            assert kinds.setdefault(identity, kind) == kind
            inside = box[0] > 0 and box[2] < world.width
            if seen < 0.99 or not inside:
                continue
            centre = float(box[0] + box[2]) / 2
            before, was = places.get(identity, (index, centre))
            if index - before == 4:
                steps += 1
                assert abs(centre - was) < 60, "nobody jumps"
            places[identity] = (index, centre)
    assert set(kinds.values()) == set(range(len(LABELS))), "every kind was on the street"
    assert steps > 200


def test_objects_pass_in_front_of_each_other() -> None:
    hidden = [World(seed, 320, 192).frame(40)[1].detections.data["visibility"].min() for seed in range(6)]
    assert min(hidden) < 0.6
    assert max(hidden) <= 1


@pytest.mark.parametrize(
    ("look", "holds"),
    [
        (Look(light=0.3), lambda usual, now: now.mean() < 0.6 * usual.mean()),
        (Look(light=1.4), lambda usual, now: now.mean() > 1.1 * usual.mean()),
        (Look(noise=12), lambda usual, now: 9 < (now - usual)[80:].std() < 13),
        (
            Look(blur=3),
            lambda usual, now: np.abs(np.diff(now, axis=1)).mean() < 0.7 * np.abs(np.diff(usual, axis=1)).mean(),
        ),
        (Look(appearance=1), lambda usual, now: 0.002 < (np.abs(now - usual).max(axis=2) > 30).mean() < 0.5),
    ],
    ids=["dark", "bright", "noisy", "soft", "strange"],
)
def test_a_look_changes_what_it_says(look: Look, holds: object) -> None:
    usual, now = (World(1, 320, 192, look=each).frame(100)[0].image.astype(int) for each in (Look(), look))
    assert callable(holds)
    assert holds(usual, now)


def test_light_and_tremble_leave_the_street_itself_as_it_is() -> None:
    """A drift experiment compares one street with itself: only what the knob is about may differ."""
    outlines = []
    for look in (Look(density=0), Look(density=0, light=0.6), Look(density=0, light=1.3)):
        picture = World(2, look=look).frame(0)[0].image.astype(int).sum(axis=2)
        ranks = picture - cv2.blur(picture.astype(np.float32), (41, 41))
        outlines.append(ranks[200:] / ranks[200:].std())
    assert all((outlines[0] * other).mean() > 0.9 for other in outlines[1:])
    still, shaken = (World(2, look=Look(density=0, shake=shake)).frame(0)[0].image for shake in (0, 4))
    apart = cv2.matchTemplate(shaken, still[20:-20, 20:-20], cv2.TM_SQDIFF).min() / (344 * 600 * 3)
    assert apart < 2, "the same picture, moved"


def test_density_fills_the_street() -> None:
    counts = [len(World(6, look=Look(density=density)).frame(90)[1].detections) for density in (0, 0.5, 1, 3)]
    assert counts[0] == 0
    assert counts == sorted(counts)
    assert counts[3] > 2 * counts[1]


def test_the_camera_trembles_within_its_reach_and_everything_moves_with_it() -> None:
    still, shaken = World(9, 320, 192, look=Look(density=0)), World(9, 320, 192, look=Look(density=0, shake=6))
    reference, moves = still.frame(0)[0].image, set()
    for index in range(0, 40, 3):
        picture = shaken.frame(index)[0].image
        strip = cv2.matchTemplate(picture, reference[60:130, 100:220], cv2.TM_SQDIFF)
        _, _, (x, y), _ = cv2.minMaxLoc(strip)
        moves.add((x - 100, y - 60))
    assert len(moves) > 5
    assert all(max(abs(x), abs(y)) <= 6 for x, y in moves)


@pytest.mark.parametrize(
    "make",
    [
        lambda: World(-1), lambda: World(width=8), lambda: World(height=100_000), lambda: World(fps=0),
        lambda: Look(light=0), lambda: Look(density=-1), lambda: Look(appearance=2), lambda: Look(noise=float("nan")),
        lambda: World(0, 64, 64).frame(-1),
    ],
)  # fmt: skip
def test_impossible_worlds_are_refused(make: object) -> None:
    assert callable(make)
    with pytest.raises(InputError) as refused:
        make()
    assert refused.value.fix
