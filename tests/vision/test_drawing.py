from __future__ import annotations

import numpy as np

from throughline.contracts.detections import Detections
from throughline.contracts.masks import Masks
from throughline.vision.drawing import annotate


def found(boxes: list[list[float]], **columns: object) -> Detections:
    count = len(boxes)
    return Detections(
        np.array(boxes, np.float32).reshape(count, 4),
        np.linspace(0.9, 0.3, count, dtype=np.float32),
        np.zeros(count, np.int64),
        labels=("person",),
        **columns,  # type: ignore[arg-type]
    )


def test_the_picture_given_is_left_alone_and_the_box_is_where_it_should_be() -> None:
    image = np.full((200, 300, 3), 90, np.uint8)
    drawn = annotate(image, found([[100, 80, 180, 150]]))
    assert (image == 90).all()
    changed = (drawn != 90).any(axis=2)
    assert changed[80:151, 100].all()
    assert changed[150, 100:181].all()
    assert not changed[90:140, 110:170].any(), "what is inside a box stays visible"
    assert changed[60:80, 100:140].any(), "the label stands on the box"


def test_labels_make_way_for_each_other_and_stay_in_the_picture() -> None:
    image = np.full((120, 200, 3), 90, np.uint8)
    twice = annotate(image, found([[50, 40, 150, 80], [52, 40, 148, 80]]))
    changed = (twice != 90).any(axis=2)
    assert changed[20:40].any()
    assert changed[83:100].any(), "the second label hangs below"
    annotate(image, found([[-50, -40, 400, 300], [0, 0, 1, 1], [190, 110, 200, 120]]))


def test_a_tracked_object_keeps_its_colour_whatever_else_is_there() -> None:
    image = np.full((200, 300, 3), 90, np.uint8)
    alone = annotate(image, found([[100, 80, 180, 150]], tracker_id=np.array([5])))
    among = annotate(image, found([[100, 80, 180, 150], [10, 80, 40, 150]], tracker_id=np.array([5, 6])))
    np.testing.assert_array_equal(alone[149:151, 110:170], among[149:151, 110:170])


def test_nothing_found_is_the_same_picture() -> None:
    image = np.random.default_rng(0).integers(0, 256, (50, 60, 3), np.uint8)
    np.testing.assert_array_equal(annotate(image, Detections.empty()), image)


def test_a_mask_tints_its_object_and_nothing_else() -> None:
    image = np.full((200, 300, 3), 90, np.uint8)
    mask = np.zeros((1, 200, 300), bool)
    mask[0, 100:130, 120:160] = True
    drawn = annotate(image, found([[100, 80, 180, 150]], masks=Masks.of(mask)))
    plain = annotate(image, found([[100, 80, 180, 150]]))
    changed = (drawn != plain).any(axis=2)
    np.testing.assert_array_equal(changed, mask[0])
    # Four tenths of the first colour on six tenths of what was there.
    assert drawn[110, 140].tolist() == [round(0.6 * 90 + 0.4 * part) for part in (86, 180, 233)]
    beyond = annotate(image, found([[-20, -20, 400, 400]], masks=Masks.of(np.ones((1, 200, 300), bool))))
    assert (beyond != 90).any(axis=2).mean() > 0.99
