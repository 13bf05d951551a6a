"""What two models say of the same picture, after decoding."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from throughline.contracts.detections import Detections
from throughline.contracts.masks import Masks
from throughline.evaluation.matched import AGREEMENTS, MatchedOutputs, Matching, overlaps

FULL = AGREEMENTS["float32"]
LABELS = ("cat", "dog", "cow")


def found(*rows: tuple[float, float, float, int], labels: tuple[str, ...] = LABELS) -> Detections:
    """Squares of 40 pixels: left, top, confidence and class of each."""
    xyxy = np.array([[x, y, x + 40, y + 40] for x, y, _, _ in rows], np.float32).reshape(-1, 4)
    return Detections(
        xyxy,
        np.array([row[2] for row in rows], np.float32),
        np.array([row[3] for row in rows], np.int64),
        labels=labels,
    )


def classes(*probabilities: float, labels: tuple[str, ...] = LABELS) -> Detections:
    order = np.argsort(-np.array(probabilities), kind="stable")
    return Detections(
        np.tile(np.array([0, 0, 9, 9], np.float32), (len(order), 1)),
        np.array(probabilities, np.float32)[order],
        order.astype(np.int64),
        data={"of_frame": np.ones(len(order), bool)},
        labels=labels,
    )


def matched(one: Detections, other: Detections, limit: str = "float32") -> tuple[MatchedOutputs, list[str]]:
    matching = Matching(0.25, AGREEMENTS[limit])
    matching.add(one, other)
    done = matching.done()
    return done, [check.name.partition(": ")[2] for check in done.checks(AGREEMENTS[limit]) if not check.passed]


THREE = found((0, 0, 0.9, 0), (100, 0, 0.8, 1), (200, 50, 0.5, 2))


def test_the_same_is_the_same() -> None:
    done, failed = matched(THREE, THREE)
    assert failed == []
    assert (done.pairs, done.unmatched, done.mean_iou, done.by_name, done.by_number) == (3, 0.0, 1.0, 1.0, 1.0)


@given(st.permutations(range(3)))
def test_the_order_of_objects_means_nothing(order: list[int]) -> None:
    assert matched(THREE, THREE[np.array(order)])[1] == []


def test_a_lost_object_and_one_too_many_are_both_seen() -> None:
    assert matched(THREE, THREE[:2])[1] == ["unmatched"]
    assert matched(THREE[:2], THREE)[1] == ["unmatched"]


def test_an_object_near_the_threshold_may_be_on_either_side_of_it() -> None:
    near = found((0, 0, 0.9, 0), (100, 0, 0.255, 1))
    assert matched(near, near[:1])[1] == []
    assert matched(near, replace(near, confidence=np.array([0.9, 0.245], np.float32)))[1] == []
    sure = replace(near, confidence=np.array([0.9, 0.6], np.float32))
    assert matched(sure, sure[:1])[1] == ["unmatched"]


def test_shuffled_labels_are_seen_by_name_and_shifted_classes_by_number() -> None:
    renamed = replace(THREE, labels=("dog", "cow", "cat"))
    assert matched(THREE, renamed)[1] == ["same class by name"]
    shifted = replace(THREE, class_id=(THREE.class_id + 1) % 3)
    assert set(matched(THREE, shifted)[1]) == {"same class by name", "same class by number"}


def test_without_names_numbers_have_to_do() -> None:
    bare = replace(THREE, labels=())
    done, failed = matched(bare, bare)
    assert failed == []
    assert done.by_name is None
    assert done.by_number == 1.0


def test_boxes_elsewhere_and_scores_that_differ_are_seen() -> None:
    moved = replace(THREE, xyxy=THREE.xyxy + np.float32(4))
    assert matched(THREE, moved)[1] == ["mean IoU"]
    assert matched(THREE, replace(THREE, confidence=THREE.confidence - np.float32(0.05)))[1] == ["score difference"]


def test_two_objects_in_one_place_are_told_apart_by_their_class() -> None:
    both = found((0, 0, 0.9, 0), (1, 0, 0.8, 1))
    assert matched(both, both[np.array([1, 0])])[1] == []


def test_masks_are_compared() -> None:
    full = np.zeros((3, 100, 260), bool)
    full[0, :40, :40] = full[1, :40, 100:140] = full[2, 50:90, 200:240] = True
    half = full.copy()
    half[:, :20] = False
    one, other = (replace(THREE, masks=Masks.of(masks)) for masks in (full, half))
    assert matched(one, one)[1] == []
    assert matched(one, other)[1] == ["mask IoU"]


def test_nothing_found_is_nothing_to_match() -> None:
    done, failed = matched(found(), found())
    assert failed == []
    assert done.checks(FULL) == []


def test_the_best_class_has_to_be_the_same_save_where_two_are_as_good() -> None:
    sure = classes(0.8, 0.15, 0.05)
    assert matched(sure, sure)[1] == []
    assert "same best class by name" in matched(sure, classes(0.15, 0.8, 0.05))[1]
    tie = classes(0.4001, 0.4, 0.1999)
    assert matched(tie, classes(0.4, 0.4001, 0.1999))[1] == []


def test_labels_shuffled_under_a_classifier_are_seen() -> None:
    done, failed = matched(classes(0.8, 0.15, 0.05), classes(0.8, 0.15, 0.05, labels=("dog", "cat", "cow")))
    assert done.top1_by_number == 1.0
    assert failed == ["same best class by name"]


def test_eight_bits_may_lose_one_object_of_few() -> None:
    assert matched(THREE, THREE[:2], "int8")[1] == []
    assert matched(THREE, THREE[:1], "int8")[1] == ["unmatched"]


def test_overlap_is_what_it_is_by_hand() -> None:
    one = np.array([[0, 0, 10, 10]], np.float32)
    assert overlaps(one, np.array([[5, 0, 15, 10]], np.float32))[0, 0] == pytest.approx(1 / 3)
    assert overlaps(one, np.array([[20, 0, 20, 0]], np.float32))[0, 0] == 0
