from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_pictures import picture

from throughline.contracts.masks import Masks
from throughline.data.reading import open_data
from throughline.testing.world import LABELS, World, write_coco

WORLD = World(3, 320, 192, fps=20)
KNOWN = {"hour": 7, "light": "dusk", "wet": True, "tags": []}


def small(folder: Path, told: list[dict[str, Any]], **more: Any) -> Path:
    picture(folder / "images" / "a.png", 1)
    picture(folder / "images" / "b.png", 2)
    named = [{"image_id": 10, "category_id": 7, "id": at, **one} for at, one in enumerate(told)]
    whole = {
        "images": [
            {"id": 20, "file_name": "b.png", "width": 40, "height": 24, **KNOWN},
            {"id": 10, "file_name": "a.png", "width": 40, "height": 24},
        ],
        "categories": [{"id": 90, "name": "zebra"}, {"id": 7, "name": "ant"}],
        "annotations": named,
        **more,
    }
    (folder / "set.json").write_text(json.dumps(whole))
    return folder / "set.json"


def test_the_world_comes_back_as_it_was_written(tmp_path: Path) -> None:
    index = write_coco(WORLD, tmp_path / "street", 3)
    data = open_data(index)
    assert (data.name, data.format, data.task, data.labels) == ("annotations.json", "coco", "segment", LABELS)
    assert open_data(tmp_path / "street").sha256 == data.sha256
    for number, sample in enumerate(data):
        frame, known = WORLD.frame(number * 20)
        truth, found = sample.truth, known.detections
        assert truth is not None
        assert np.array_equal(sample.read(), frame.image)
        assert np.array_equal(truth.xyxy, found.xyxy)
        assert np.array_equal(truth.class_id, found.class_id)
        assert truth.tracker_id is not None
        assert np.array_equal(truth.tracker_id, found.tracker_id)
        assert truth.mask is not None
        assert np.array_equal(truth.mask, found.mask)
        assert truth.data["area"].tolist() == truth.mask.sum((1, 2)).tolist()
        assert not truth.data["crowd"].any()


def test_pictures_keep_the_order_of_the_file_and_classes_that_of_their_ids(tmp_path: Path) -> None:
    data = open_data(
        small(tmp_path, [{"bbox": [1, 2, 30, 4]}, {"bbox": [0, 0, 5, 5], "category_id": 90, "iscrowd": 1}])
    )
    assert (data.task, data.labels) == ("detect", ("ant", "zebra"))
    assert [sample.name for sample in data] == ["b.png", "a.png"]
    truth = data.samples[1].truth
    assert truth is not None
    assert truth.xyxy.tolist() == [[1, 2, 31, 6], [0, 0, 5, 5]]
    assert truth.class_id.tolist() == [0, 1]
    assert truth.data["crowd"].tolist() == [False, True]
    assert truth.data["area"].tolist() == [120, 25]
    assert len(data.samples[0].truth or ()) == 0


def test_what_else_is_said_of_a_picture_is_a_trait(tmp_path: Path) -> None:
    data = open_data(small(tmp_path, []))
    assert data.samples[0].traits == {"hour": 7, "light": "dusk", "wet": "true"}
    assert data.samples[1].traits == {}


def test_every_way_to_write_an_outline(tmp_path: Path) -> None:
    square = np.zeros((24, 40), np.bool_)
    square[5:10, 8:20] = True
    packed = Masks.of(square[None]).rle(0)
    runs = {"size": [24, 40], "counts": [197, *[5, 19] * 11, 5, 494]}
    polygon = [[8, 5, 20, 5, 20, 10, 8, 10]]
    two = [[8, 5, 12, 5, 12, 10, 8, 10], [12, 5, 20, 5, 20, 10, 12, 10]]
    outlines = [{"segmentation": one} for one in (packed, runs, polygon, two)]
    data = open_data(small(tmp_path, [*outlines, {"bbox": [1, 1, 2, 2], "segmentation": []}]))
    truth = data.samples[1].truth
    assert truth is not None
    assert truth.mask is not None
    assert all(np.array_equal(mask, square) for mask in truth.mask[:4])
    assert truth.xyxy[:4].tolist() == [[8, 5, 20, 10]] * 4, "a box that is not written is the outline's"
    assert not truth.mask[4].any()


@pytest.mark.parametrize("place", ["val2017", "images/val2017", "images", "."])
def test_the_folders_in_which_coco_itself_comes(tmp_path: Path, place: str) -> None:
    index = small(tmp_path / "made", [{"bbox": [1, 2, 30, 4]}])
    (tmp_path / "coco" / "annotations").mkdir(parents=True)
    for split in ("train2017", "val2017"):
        (tmp_path / "coco" / "annotations" / f"instances_{split}.json").write_bytes(index.read_bytes())
    (tmp_path / "coco" / "annotations" / "captions_val2017.json").write_text('{"images": [], "annotations": []}')
    folder = tmp_path / "coco" / place
    for name in ("a", "b"):
        picture(folder / f"{name}.png", ord(name))
    data = open_data(tmp_path / "coco")
    assert (data.name, len(data)) == ("coco (val)", 2)


def test_pictures_without_annotations_have_no_truth(tmp_path: Path) -> None:
    data = open_data(small(tmp_path, [], annotations=None))
    assert (data.task, data.samples[0].truth) == (None, None)
