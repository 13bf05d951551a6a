"""What several models say of one frame, in one record."""

from __future__ import annotations

import numpy as np
import pytest

from throughline.contracts.detections import UNNAMED, Detections
from throughline.contracts.errors import InputError
from throughline.contracts.masks import Masks

SIZE = (6, 8)


def part(classes: list[int], labels: tuple[str, ...] = (), **columns: object) -> Detections:
    count = len(classes)
    boxes = np.tile(np.array([0, 0, 8, 6], np.float32), (count, 1))
    return Detections(boxes, np.full(count, 0.5, np.float32), np.array(classes, np.int64), labels=labels, **columns)  # type: ignore[arg-type]


def boxes() -> Detections:
    return part([0, 1], ("cat", "dog"), tracker_id=np.array([4, 9]))


def masked() -> Detections:
    full = np.zeros((1, *SIZE), bool)
    full[0, 2:4, 1:5] = True
    return part([0], ("person",), masks=Masks.of(full), data={"area": np.array([8.0], np.float32)})


def classes(of: list[int]) -> Detections:
    return part(of, ("day", "night"), data={"of_frame": np.ones(len(of), bool)})


def test_every_row_keeps_its_name_and_says_who_spoke() -> None:
    whole = Detections.together([boxes(), masked(), classes([1])], ["det", "segmenter", "time"])
    assert whole.labels == ("cat", "dog", "person", "day", "night")
    assert [one.class_name for one in whole] == ["cat", "dog", "person", "night"]
    assert whole.class_id.tolist() == [0, 1, 2, 4]
    assert whole.data["model"].tolist() == ["det", "det", "segmenter", "time"]
    assert whole.of_frame.tolist() == [False, False, False, True]
    assert whole.tracker_id is not None
    assert whole.tracker_id.tolist() == [4, 9, -1, -1]
    np.testing.assert_array_equal(whole.data["area"], np.array([np.nan, np.nan, 8, np.nan], np.float32))
    assert whole.data["area"].dtype == np.float32
    assert whole.mask is not None
    assert whole.mask.sum(axis=(1, 2)).tolist() == [0, 0, 8, 0]
    assert whole.masks is not None
    assert [crop is None for crop in whole.masks.crops] == [True, True, False, True]


def test_a_number_means_the_same_in_every_frame_whatever_was_found() -> None:
    one = Detections.together([boxes(), classes([0])], ["a", "b"])
    other = Detections.together([boxes()[:0], classes([0])], ["a", "b"])
    assert one.class_id[-1] == other.class_id[-1] == 2
    nothing = Detections.together([Detections.empty(("cat",)), Detections.empty(("dog",))], ["a", "b"])
    assert (len(nothing), nothing.labels, nothing.tracker_id, nothing.masks) == (0, ("cat", "dog"), None, None)
    assert nothing.data["model"].dtype == one.data["model"].dtype


def test_a_model_without_labels_keeps_its_numbers_as_names() -> None:
    whole = Detections.together([part([7]), part([0], ("cat",)), part([3])], ["a", "b", "c"])
    assert [one.class_name for one in whole] == ["7", "cat", "3"]
    assert whole.class_id.tolist() == [7, UNNAMED, UNNAMED + 4]


@pytest.mark.parametrize("wrong", [2, -1])
def test_a_class_that_nobody_named_is_not_given_anothers_name(wrong: int) -> None:
    with pytest.raises(InputError, match=f"model 'a' found class {wrong} and has names for 2 classes"):
        Detections.together([part([wrong], ("cat", "dog")), classes([0])], ["a", "b"])


def test_keypoints_of_different_numbers_are_filled_up_with_none() -> None:
    few, many = np.ones((1, 2, 3), np.float32), np.ones((2, 5, 3), np.float32)
    parts = [part([0], data={"keypoints": few}), boxes(), part([0, 0], data={"keypoints": many})]
    whole = Detections.together(parts, ["a", "b", "c"])
    points = whole.data["keypoints"]
    assert points.shape == (5, 5, 3)
    assert np.isfinite(points).all(axis=2).sum(axis=1).tolist() == [2, 0, 0, 5, 5]
    assert [None if one is None else len(one) for one in whole.keypoints] == [2, None, None, 5, 5]
    assert whole.identities == [None, 4, 9, None, None]
    assert (whole.models, boxes().models) == (["a", "b", "b", "c", "c"], ["", ""])
    with pytest.raises(InputError, match="do not go together"):
        Detections.together([part([0], data={"x": few}), part([0], data={"x": few[0, :1]})], ["a", "b"])


def test_masks_of_two_sizes_are_not_of_one_frame() -> None:
    other = part([0], ("x",), masks=Masks.of(np.ones((1, 3, 3), bool)))
    with pytest.raises(InputError, match="different sizes"):
        Detections.together([masked(), other], ["a", "b"])


def test_there_is_one_name_a_part() -> None:
    with pytest.raises(ValueError, match="shorter"):
        Detections.together([boxes(), boxes()], ["a"])


def test_supervision_takes_it_as_it_is() -> None:
    supervision = pytest.importorskip("supervision")
    given = Detections.together([boxes(), masked(), classes([1])], ["a", "b", "c"])
    taken = given.to_supervision()
    assert isinstance(taken, supervision.Detections)
    np.testing.assert_array_equal(taken.mask, given.mask)
    assert taken.xyxy is given.xyxy
    assert taken[taken.class_id == 2].data["model"].tolist() == ["b"]
