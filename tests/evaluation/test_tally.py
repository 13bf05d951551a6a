"""A metric of pictures that count several times is the metric of a list in which they stand several times."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from throughline.contracts.detections import Detections
from throughline.contracts.errors import InputError
from throughline.contracts.masks import Masks
from throughline.evaluation.boxes import score_boxes
from throughline.evaluation.masks import regions
from throughline.evaluation.non_inferiority import compare_tallies
from throughline.evaluation.tally import tally

LABELS = ("person", "car", "dog")
Frames = list[Detections]


def made_up(seed: int, frames: int, steps: int, crowded: int) -> tuple[Frames, Frames]:
    """Boxes that fit well, badly, twice or not at all; confidences in few steps, so that many are equal."""
    chance = np.random.default_rng(seed)
    found, truth = [], []
    for _ in range(frames):
        count = int(chance.integers(0, crowded))
        corner = chance.integers(0, 40, (count, 2))
        real = np.hstack([corner, corner + chance.integers(4, 110, (count, 2))]).astype(np.float32)
        kinds = chance.integers(0, 3, count)
        again = chance.integers(0, count, int(chance.integers(0, 2 * crowded))) if count else np.empty(0, np.int64)
        near = real[again] + chance.choice([0, 0, 1, 3], (len(again), 4)).astype(np.float32)
        near[:, 2:] = np.maximum(near[:, 2:], near[:, :2] + 1)
        wrong = chance.random(len(again)) < 0.1
        sure = (chance.integers(0, steps, len(again)) / steps).astype(np.float32)
        found.append(Detections(near, sure, np.where(wrong, 2, kinds[again]), labels=LABELS))
        crowd = {"crowd": chance.random(count) < 0.15}
        truth.append(Detections(real, np.ones(count, np.float32), kinds, data=crowd, labels=LABELS))
    return found, truth


def several(frames: Frames, counts: np.ndarray) -> Frames:
    return [frame for frame, count in zip(frames, counts.tolist(), strict=True) for _ in range(count)]


@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.sampled_from([2, 4, 1000]), st.sampled_from([2, 8]))
@settings(max_examples=150)
def test_boxes_counted_again_are_boxes_scored_again(seed: int, frames: int, steps: int, crowded: int) -> None:
    found, truth = made_up(seed, frames, steps, crowded)
    counts = np.random.default_rng(seed).integers(0, 5, frames)
    counted = tally("detect", found, truth)
    assert counted.metric == "mAP50-95"
    assert len(counted) == frames
    assert counted.value() == pytest.approx(score_boxes(found, truth).map50_95, abs=1e-12, nan_ok=True)
    again = score_boxes(several(found, counts), several(truth, counts)).map50_95
    assert counted.value(counts) == pytest.approx(again, abs=1e-12, nan_ok=True)


def test_many_draws_at_once_are_the_draws_one_by_one() -> None:
    counted = tally("detect", *made_up(5, 12, 4, 8))
    counts = np.random.default_rng(0).integers(0, 4, (12, 150))
    one_by_one = [counted.value(counts[:, draw]) for draw in range(150)]
    assert counted.values(counts) == pytest.approx(np.array(one_by_one), abs=1e-12, nan_ok=True)


def pictures(kinds: list[int], sure: float = 1.0) -> Frames:
    whole = np.float32([[0, 0, 8, 8]])
    return [
        Detections(whole, np.float32([sure]), np.array([kind]), data={"of_frame": np.array([True])}, labels=LABELS)
        for kind in kinds
    ]


def test_accuracy_counts_the_most_probable_class_and_silence_as_wrong() -> None:
    said = pictures([0, 1, 2])
    two = Detections(
        np.tile(np.float32([0, 0, 8, 8]), (2, 1)), np.float32([0.3, 0.7]), np.array([0, 1]),
        data={"of_frame": np.array([True, True])}, labels=LABELS,
    )  # fmt: skip
    counted = tally("classify", [*said, two, Detections.empty(LABELS)], pictures([0, 1, 1, 1, 0]))
    assert counted.metric == "accuracy"
    assert counted.value() == pytest.approx(3 / 5)
    assert counted.value(np.array([1, 0, 2, 0, 1])) == pytest.approx(1 / 4)
    assert np.isnan(counted.value(np.zeros(5, np.int64)))


def masked(chance: np.random.Generator, count: int) -> Detections:
    full = np.zeros((count, 20, 30), np.bool_)
    for one in full:
        top, left = chance.integers(0, 12), chance.integers(0, 20)
        one[top : top + chance.integers(1, 9), left : left + chance.integers(1, 11)] = True
    sure = chance.random(count).astype(np.float32)
    boxes = np.tile(np.float32([0, 0, 30, 20]), (count, 1))
    return Detections(boxes, sure, chance.integers(0, 3, count), Masks.of(full), labels=LABELS)


@given(st.integers(0, 2**32 - 1), st.integers(1, 5))
@settings(max_examples=50)
def test_regions_counted_again_are_regions_measured_again(seed: int, frames: int) -> None:
    chance = np.random.default_rng(seed)
    found, truth = ([masked(chance, int(chance.integers(0, 4))) for _ in range(frames)] for _ in range(2))
    truth = [Detections(real.xyxy, np.ones(len(real), np.float32), real.class_id, real.masks) for real in truth]
    counts = chance.integers(0, 4, frames)
    by_hand = {}
    for kind in range(3):
        common = whole = 0
        for ours, theirs, times in zip(found, truth, counts.tolist(), strict=True):
            a = ours.mask[(ours.class_id == kind) & (ours.confidence >= 0.25)].any(axis=0)
            b = theirs.mask[theirs.class_id == kind].any(axis=0)
            common, whole = common + times * (a & b).sum(), whole + times * (a | b).sum()
        if whole:
            by_hand[kind] = common / whole
    mean = np.mean(list(by_hand.values())) if by_hand else float("nan")
    assert tally("segment", found, truth).value(counts) == pytest.approx(mean, nan_ok=True)
    again = regions(several(found, counts), several(truth, counts)).by_class()
    assert again == pytest.approx({LABELS[kind]: share for kind, share in by_hand.items()})


def test_what_cannot_be_counted_is_refused() -> None:
    with pytest.raises(InputError, match="no metric for the task 'clasify'"):
        tally("clasify", [], [])
    with pytest.raises(InputError, match="no pictures"):
        tally("detect", [], [])
    with pytest.raises(InputError, match="picture 0: the truth names 0 classes"):
        tally("classify", pictures([0]), [Detections.empty()])
    box = Detections(np.float32([[0, 0, 4, 4]]), np.float32([1]), np.array([0]), labels=LABELS)
    with pytest.raises(InputError, match="1 objects of the truth have no mask"):
        tally("segment", [Detections.empty()], [box])
    with pytest.raises(InputError, match=r"counts has shape \(2,\); there are 1 pictures"):
        tally("detect", [box], [box]).value(np.array([1, 2]))


def right_so_often(pattern: list[int]) -> list[int]:
    return [0 if right else 1 for right in pattern]


def compared(reference: list[int], candidate: list[int], margin: str):  # type: ignore[no-untyped-def]
    truth = pictures([0] * len(reference))
    both = [tally("classify", pictures(right_so_often(one)), truth) for one in (reference, candidate)]
    return compare_tallies(*both, margin)


def test_the_same_answers_pass_and_much_worse_ones_fail() -> None:
    same = compared([1] * 80 + [0] * 20, [1] * 80 + [0] * 20, "1%")
    assert (same.decision, same.difference, same.low, same.high, same.more_samples) == ("passed", 0.0, 0.0, 0.0, 0)
    assert same.margin == pytest.approx(0.008)
    worse = compared([1] * 80 + [0] * 20, [1] * 40 + [0] * 60, "0.1")
    assert (worse.decision, worse.more_samples) == ("failed", None)
    assert worse.difference == pytest.approx(-0.4)
    assert worse.low < -0.4 < worse.high < -0.25
    assert worse.margin == 0.1


def test_too_few_pictures_leave_it_open_and_say_how_many_more() -> None:
    reference = [1] * 80 + [0] * 20
    candidate = [1] * 77 + [0] * 3 + [1] * 3 + [0] * 17
    held = compared(reference, candidate, "3%")
    assert held.decision == "undecided"
    assert held.difference == 0.0
    assert held.more_samples is not None
    # Six pictures of a hundred differ: the standard error is 0.0245 and must come down to 0.024 / 1.96.
    assert 250 < held.more_samples < 380
    assert f"{held.more_samples:,} more pictures would decide it" in str(held)
    decided = compared(reference * 5, candidate * 5, "3%")
    assert decided.decision == "passed"
    assert compared(reference, [1] * 77 + [0] * 23, "2%").more_samples is None  # what is seen is too bad already


def test_boxes_are_compared_on_the_same_draws() -> None:
    found, truth = made_up(11, 60, 1000, 6)
    reference = tally("detect", found, truth)
    same = compare_tallies(reference, tally("detect", found, truth), "0.001")
    assert (same.decision, same.low, same.high) == ("passed", 0.0, 0.0)
    shifted = [Detections(one.xyxy + 2, one.confidence, one.class_id, labels=LABELS) for one in found]
    held = compare_tallies(reference, tally("detect", shifted, truth), "0.01", resamples=200)
    assert held.decision == "failed"
    assert held == compare_tallies(reference, tally("detect", shifted, truth), "0.01", resamples=200)


def test_frames_that_hang_together_are_drawn_together_and_say_less() -> None:
    reference = [1] * 100
    candidate = ([1] * 10 + [0] * 10) * 5
    truth = pictures([0] * 100)
    both = [tally("classify", pictures(right_so_often(one)), truth) for one in (reference, candidate)]
    alone = compare_tallies(*both, "1%")
    together = compare_tallies(*both, "1%", groups=[f"video {at // 10}" for at in range(100)])
    assert together.difference == alone.difference
    assert together.high - together.low > 2 * (alone.high - alone.low)


def test_margins_and_pairs_that_mean_nothing_are_refused() -> None:
    for margin in ("-1%", "101%", "2", "much", "nan", ""):
        with pytest.raises(InputError, match="the margin is"):
            compared([1, 0], [1, 0], margin)
    truth = pictures([0, 0])
    with pytest.raises(InputError, match="accuracy on 2 pictures cannot be compared with accuracy on 1"):
        compare_tallies(tally("classify", truth, truth), tally("classify", truth[:1], truth[:1]), "1%")
    empty = tally("detect", [Detections.empty()], [Detections.empty()])
    with pytest.raises(InputError, match="nothing to measure mAP50-95 on"):
        compare_tallies(empty, empty, "1%")
