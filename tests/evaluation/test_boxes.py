"""Average precision against pycocotools, on made-up frames and on what people get wrong."""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from throughline.contracts.detections import Detections
from throughline.contracts.errors import InputError
from throughline.evaluation.boxes import score_boxes

LABELS = ("person", "car", "dog")
Frames = list[Detections]


def boxes(chance: np.random.Generator, count: int, kinds: int, crowds: bool = False) -> Detections:
    corner = chance.uniform(0, 60, (count, 2))
    xyxy = np.hstack((corner, corner + chance.uniform(4, 60, (count, 2)))).round()
    close = chance.random(count) < 0.4  # some crowd together: what is found fits several, some of them equally well
    xyxy[close] = xyxy[chance.integers(0, count, close.sum())] + chance.integers(-1, 2, (close.sum(), 1)) * 2.0
    data = {"crowd": chance.random(count) < 0.2} if crowds else {}
    return Detections(
        xyxy.astype(np.float32),
        chance.random(count).astype(np.float32),
        chance.integers(0, kinds, count),
        data=data,
        labels=LABELS,
    )


def made_up(seed: int, frames: int, kinds: int, coarse: bool, crowded: int) -> tuple[Frames, Frames]:
    """Frames in which some boxes fit well, some badly, some are twice there and some of the wrong class."""
    chance = np.random.default_rng(seed)
    found, truth = [], []
    for _ in range(frames):
        real = boxes(chance, int(chance.integers(0, crowded)), kinds, crowds=bool(chance.random() < 0.5))
        again = real.xyxy[chance.integers(0, max(1, len(real)), int(chance.integers(0, crowded)) * (len(real) > 0))]
        near = again + chance.normal(0, chance.choice([0, 0.5, 3]), again.shape).astype(np.float32)
        near[:, 2:] = np.maximum(near[:, 2:], near[:, :2] + 1)
        seen = boxes(chance, len(near) + int(chance.integers(0, 2)), kinds)
        xyxy, kind = seen.xyxy.copy(), seen.class_id.copy()
        xyxy[: len(near)] = near
        if len(real):
            kind[: len(near)] = np.resize(real.class_id, len(near))
        score = seen.confidence.round(1) if coarse else seen.confidence
        if coarse:
            xyxy = xyxy.round()
        found.append(Detections(xyxy, score, kind, labels=LABELS))
        truth.append(real)
    return found, truth


def by_coco(
    found: Sequence[Detections], truth: Sequence[Detections], most: int
) -> tuple[float, float, dict[str, float]]:
    images, annotations, results = [], [], []
    for number, (seen, real) in enumerate(zip(found, truth, strict=True), 1):
        images.append({"id": number})
        crowd = real.data.get("crowd", np.zeros(len(real), bool))
        for side, into in ((real, annotations), (seen, results)):
            for row, (x1, y1, x2, y2) in enumerate(side.xyxy.astype(float).tolist()):
                about = {"image_id": number, "category_id": int(side.class_id[row]), "bbox": [x1, y1, x2 - x1, y2 - y1]}
                about |= {"area": (x2 - x1) * (y2 - y1), "id": len(into) + 1}
                if side is real:
                    about["iscrowd"] = int(crowd[row])
                else:
                    about["score"] = float(side.confidence[row])
                into.append(about)
    reference = COCO()
    categories = [{"id": number, "name": name} for number, name in enumerate(LABELS)]
    reference.dataset = {"info": {}, "images": images, "annotations": annotations, "categories": categories}
    with contextlib.redirect_stdout(io.StringIO()):
        reference.createIndex()
        results_ = COCO()
        results_.dataset = {**reference.dataset, "annotations": [{**one, "iscrowd": 0} for one in results]}
        results_.createIndex()
        judge = COCOeval(reference, results_, "bbox")
        judge.params.maxDets = [most]
        judge.params.areaRng, judge.params.areaRngLbl = [[0, 1e10]], ["all"]
        judge.evaluate()
        judge.accumulate()
    precision = judge.eval["precision"][:, :, :, 0, 0]
    known = [kind for kind in range(len(LABELS)) if precision[0, 0, kind] > -1]
    per_class = {LABELS[kind]: float(precision[:, :, kind].mean()) for kind in known}
    nothing = float("nan")
    if not known:
        return nothing, nothing, {}
    return float(precision[:, :, known].mean()), float(precision[0][:, known].mean()), per_class


@given(
    st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(1, 3), st.booleans(), st.sampled_from([2, 6, 14]),
    st.sampled_from([3, 100]),
)  # fmt: skip
@settings(max_examples=150)
def test_every_figure_is_that_of_pycocotools(
    seed: int, frames: int, kinds: int, coarse: bool, crowded: int, most: int
) -> None:
    found, truth = made_up(seed, frames, kinds, coarse, crowded)
    scores = score_boxes(found, truth, most=most)
    overall, at_half, per_class = by_coco(found, truth, most)
    assert scores.map50_95 == pytest.approx(overall, abs=1e-9, nan_ok=True)
    assert scores.map50 == pytest.approx(at_half, abs=1e-9, nan_ok=True)
    assert {name: score.ap50_95 for name, score in scores.classes.items()} == pytest.approx(per_class, abs=1e-9)
    assert scores.frames == frames


def one(*xyxy: float, confidence: float = 1.0, kind: int = 0) -> Detections:
    return Detections(np.float32([xyxy]), np.float32([confidence]), np.array([kind]), labels=LABELS)


def test_the_made_up_frames_hold_what_is_hard() -> None:
    """If the frames were all alike, agreeing on them would mean little."""
    scored = [score_boxes(*made_up(seed, 4, 2, True, 10)) for seed in range(40)]
    values = np.array([one.map50_95 for one in scored if one.objects])
    assert len(values) > 30
    assert values.min() < 0.1 < np.median(values) < 0.4 < values.max()
    crowds = [real.data["crowd"].any() for seed in range(40) for real in made_up(seed, 4, 2, True, 10)[1] if real.data]
    assert 0.2 < np.mean(crowds) < 0.95


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_of_two_true_boxes_that_fit_equally_well_the_later_is_taken(order: list[int]) -> None:
    """So it is with pycocotools; here it decides whether the second box found finds anything."""
    sides = np.float32([[0, 0, 10, 10], [4, 0, 14, 10]])[order]
    truth = Detections(sides, np.ones(2, np.float32), np.zeros(2, np.int64), labels=LABELS)
    found = Detections(
        np.float32([[2, 0, 12, 10], [5, 0, 15, 10]]), np.float32([0.9, 0.8]), np.zeros(2, np.int64), labels=LABELS
    )
    scores = score_boxes([found], [truth])
    assert scores.map50 == pytest.approx(by_coco([found], [truth], 100)[1], abs=1e-9)
    assert (scores.map50 > 0.9) == (order == [1, 0])


def test_a_perfect_result_scores_one_and_the_truth_may_be_anything_that_iterates() -> None:
    truth = [one(0, 0, 10, 10), one(5, 5, 20, 20, kind=1), Detections.empty(LABELS)]
    scores = score_boxes(iter(truth), iter(truth))
    assert (scores.map50_95, scores.map50, scores.frames, scores.objects) == (1.0, 1.0, 3, 2)
    assert list(scores.classes) == ["person", "car"]


def test_half_a_box_counts_at_the_lowest_threshold_only() -> None:
    scores = score_boxes([one(0, 0, 10, 5)], [one(0, 0, 10, 10)])
    assert (scores.map50_95, scores.map50) == (pytest.approx(0.1), 1.0)


def test_nothing_to_find_is_no_score_rather_than_a_good_or_a_bad_one() -> None:
    for found in (one(0, 0, 10, 10), Detections.empty()):
        scores = score_boxes([found], [Detections.empty()])
        assert math.isnan(scores.map50_95)
        assert math.isnan(scores.map50)
        assert scores.classes == {}
    assert score_boxes([], []).frames == 0
    missed = score_boxes([Detections.empty()], [one(0, 0, 10, 10)])
    assert (missed.map50_95, missed.map50) == (0.0, 0.0)


def test_a_box_that_ends_before_it_begins_is_a_false_alarm() -> None:
    inverted = one(10, 10, 0, 0)
    assert score_boxes([inverted], [one(0, 0, 10, 10)]).map50 == 0.0
    with pytest.raises(InputError, match="frame 0: a box of the truth ends before it begins"):
        score_boxes([one(0, 0, 10, 10)], [inverted])


def test_what_cannot_be_compared_is_refused() -> None:
    box = one(0, 0, 10, 10)
    with pytest.raises(InputError, match="frame 1 is in the truth and not in the results"):
        score_boxes([box], [box, box])
    with pytest.raises(InputError, match="frame 1 is in the results and not in the truth"):
        score_boxes([box, box], [box])
    with pytest.raises(InputError, match="frame 0: class numbers mean different things"):
        score_boxes([box], [Detections(box.xyxy, box.confidence, box.class_id, labels=("dog", "car"))])
    with pytest.raises(InputError, match="frame 0: a box or a confidence of the results is not a finite number"):
        score_boxes([one(0, 0, float("nan"), 1)], [box])
    with pytest.raises(InputError, match="most is 0"):
        score_boxes([box], [box], most=0)
    with pytest.raises(InputError, match="'crowd' is int64"):
        score_boxes([box], [Detections(box.xyxy, box.confidence, box.class_id, data={"crowd": np.array([1])})])


def test_what_is_said_of_the_whole_frame_is_no_box() -> None:
    box = one(0, 0, 10, 10, confidence=0.5)
    said = Detections(
        np.float32([[0, 0, 10, 10], [0, 0, 99, 99]]), np.float32([0.5, 0.9]), np.array([0, 0]),
        data={"of_frame": np.array([False, True])}, labels=LABELS,
    )  # fmt: skip
    assert score_boxes([said], [box]).map50_95 == 1.0
