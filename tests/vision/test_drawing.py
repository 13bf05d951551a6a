from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from throughline.contracts.detections import Detections
from throughline.contracts.masks import Crop, Masks
from throughline.vision import drawing
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


def test_what_is_of_the_whole_frame_stands_in_its_corner_without_a_box() -> None:
    image = np.full((200, 300, 3), 90, np.uint8)
    drawn = annotate(image, found([[0, 0, 300, 200]] * 9, data={"of_frame": np.ones(9, bool)}))
    changed = (drawn != 90).any(axis=2)
    assert changed[:60, :40].any()
    assert not changed[100:].any(), "five captions, not nine"
    assert not changed[:, 200:].any()
    both = found([[0, 0, 300, 200], [0, 0, 120, 150]], data={"of_frame": np.array([True, False])})
    label = (annotate(image, both) != annotate(image, both[:1])).any(axis=2)
    assert not label[2:13, 2:40].any(), "no label on a caption"


@pytest.mark.parametrize("size", [(20, 30), (64, 40), (540, 960)])
def test_labels_never_leave_the_picture(size: tuple[int, int]) -> None:
    height, width = size
    boxes = [
        [0, 0, width, height], [width - 1, height - 1, width, height], [0, height - 1, 1, height],
        [-90, -90, -80, -80], [width + 50, height + 50, width + 60, height + 60], [0, 0, 1, 1],
    ]  # fmt: skip
    long = replace(found(boxes), labels=("a very long label of a class " * 9,))
    tags = drawing._Tags(np.zeros((*size, 3), np.uint8))
    for (x1, y1, _, y2), one in zip(boxes, long, strict=True):
        tags.label(one.class_name, (x1, y1, y2), (9, 9, 9))
    for left, top, right, bottom in tags.taken:
        assert 0 <= left < right <= max(width, 20)
        assert 0 <= top < bottom <= height
    annotate(np.zeros((*size, 3), np.uint8), long)


def test_lines_and_letters_grow_with_the_picture() -> None:
    def thick(height: int) -> tuple[int, int]:
        image = np.full((height, height * 16 // 9, 3), 90, np.uint8)
        drawn = annotate(image, found([[height / 4, height / 4, height, height / 2]]))
        middle = (drawn[height * 3 // 8 :, height * 7 // 8] == (86, 180, 233)).all(axis=1)
        return int(middle.sum()), int((drawn[: height // 4, height // 4 + 2] != 90).any(axis=1).sum())

    (line, tag), (line4, tag4) = thick(540), thick(2160)
    assert line4 >= 2 * line
    assert tag4 >= 3 * tag


def test_keypoints_are_dots_and_a_persons_are_joined() -> None:
    image = np.full((400, 600, 3), 90, np.uint8)
    points = np.zeros((1, 17, 3), np.float32)
    points[0, 5], points[0, 6], points[0, 7] = (200, 100, 0.9), (300, 100, 0.9), (200, 300, 0.2)
    box = [[150, 50, 350, 350]]
    plain, drawn = annotate(image, found(box)), annotate(image, found(box, data={"keypoints": points}))
    changed = (drawn != plain).any(axis=2)
    assert changed[100, 200:301].all(), "from shoulder to shoulder"
    assert not changed[110:].any(), "what the model does not see is not drawn"
    hand = annotate(image, found(box, data={"keypoints": points[:, :9]}))
    assert not (hand != plain).any(axis=2)[100, 220:280].any(), "other skeletons are dots alone"
    beside = np.full((1, 21, 3), np.nan, np.float32)
    beside[:, :17] = points
    np.testing.assert_array_equal(annotate(image, found(box, data={"keypoints": beside})), drawn)
    missing = np.full((1, 17, 3), np.nan, np.float32)
    np.testing.assert_array_equal(annotate(image, found(box, data={"keypoints": missing})), plain)


def test_without_an_identity_the_class_gives_colour_and_text() -> None:
    image = np.full((200, 300, 3), 90, np.uint8)
    box = [[100, 80, 180, 150]]
    np.testing.assert_array_equal(annotate(image, found(box)), annotate(image, found(box, tracker_id=np.array([-1]))))


def test_a_mask_at_the_edge_and_one_without_pixels() -> None:
    image = np.full((50, 60, 3), 90, np.uint8)
    crops = (Crop(40, 50, np.ones((10, 10), bool)), Crop(0, 0, np.zeros((0, 0), bool)), None)
    boxes = [[50, 40, 60, 50]] * 3
    drawn = annotate(image, found(boxes, masks=Masks((50, 60), crops)))
    assert (drawn[45:49, 55:59] != 90).all()


@pytest.mark.parametrize("models", [1, 2, 3, 4, 8])
def test_objects_are_told_apart_when_several_models_share_the_numbers(models: int) -> None:
    image = np.full((40, 60, 3), 90, np.uint8)
    first = [1 + nth * models for nth in range(8)]
    drawn = [annotate(image, found([[10, 30, 50, 39]], tracker_id=np.array([one])))[39, 30] for one in first]
    assert len({tuple(colour.tolist()) for colour in drawn}) >= 7


def test_a_label_is_one_line() -> None:
    image = np.full((200, 300, 3), 90, np.uint8)
    one, two = (replace(found([[50, 80, 180, 150]]), labels=(label,)) for label in ("a dog", " a\n\tdog\n"))
    np.testing.assert_array_equal(annotate(image, one), annotate(image, two))
