from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some
from small_pictures import picture

from throughline.contracts.errors import InputError
from throughline.data.checks import check_data
from throughline.data.reading import open_data
from throughline.testing.world import LABELS, World, write_yolo

WORLD = World(3, 320, 192, fps=20)


def small(folder: Path, yaml: str, **labels: str) -> Path:
    """A folder with a picture for each label file."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "data.yaml").write_text(yaml)
    (folder / "labels").mkdir(exist_ok=True)
    for seed, (name, text) in enumerate(labels.items()):
        picture(folder / "images" / f"{name}.png", seed)
        (folder / "labels" / f"{name}.txt").write_text(text)
    return folder / "data.yaml"


def test_the_world_comes_back_as_it_was_written(tmp_path: Path) -> None:
    index = write_yolo(WORLD, tmp_path / "street", train=2, val=3)
    data = open_data(index)
    assert (data.name, data.format, data.task, data.labels) == ("street (val)", "yolo", "detect", LABELS)
    assert [sample.name for sample in data] == [f"images/val/{number:06}.png" for number in range(3)]
    street = World(4, 320, 192, fps=20)
    for number, sample in enumerate(data):
        frame, truth = street.frame(number * 20)
        assert np.array_equal(sample.read(), frame.image)
        assert sample.truth is not None
        assert np.allclose(sample.truth.xyxy, truth.detections.xyxy, atol=1e-3)
        assert sample.truth.class_id.tolist() == truth.detections.class_id.tolist()
    train = open_data(tmp_path / "street", "train")
    assert (train.name, len(train)) == ("street (train)", 2)
    with pytest.raises(InputError, match="no split 'vall'") as refused:
        open_data(index, "vall")
    assert "did you mean 'val'" in refused.value.fix


boxes = some.tuples(*[some.floats(0.05, 0.95)] * 2, *[some.floats(0.01, 0.1)] * 2)


@given(some.lists(some.tuples(some.integers(0, 2), boxes), max_size=6))
def test_any_boxes_come_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[int, tuple[float, ...]]]
) -> None:
    text = "".join(f"{kind} {' '.join(f'{one:.9f}' for one in box)}\n" for kind, box in rows)
    data = open_data(small(tmp_path_factory.mktemp("set"), "train: images\nnames: [a, b, c]\n", one=text))
    truth = data.samples[0].truth
    assert truth is not None
    assert truth.class_id.tolist() == [kind for kind, _ in rows]
    back = truth.xyxy / (40, 24, 40, 24)
    centred = np.hstack([(back[:, :2] + back[:, 2:]) / 2, back[:, 2:] - back[:, :2]])
    assert np.allclose(centred, np.array([box for _, box in rows]).reshape(-1, 4), atol=1e-6)


def test_outlines_make_it_a_set_for_segmentation(tmp_path: Path) -> None:
    text = "1 0.25 0.25 0.75 0.25 0.75 0.75 0.25 0.75\n0 0.5 0.5 0.2 0.2\n"
    data = open_data(small(tmp_path, "val: images\nnames: [a, b]\n", one=text, two="0 0.5 0.5 0.1 0.1\n"))
    assert data.task == "segment"
    truth = data.samples[0].truth
    assert truth is not None
    assert truth.xyxy[0].tolist() == [10, 6, 30, 18]
    assert truth.masks is not None
    assert truth.masks.full()[0, 6:18, 10:30].all()
    assert truth.masks.full()[0].sum() == 20 * 12
    assert truth.masks.crops[1] is None, "a box has no mask"


def test_keypoints_are_kept(tmp_path: Path) -> None:
    yaml = "val: images\nnames: [a]\nkpt_shape: [2, 3]\n"
    data = open_data(small(tmp_path, yaml, one="0 0.5 0.5 0.5 0.5 0.25 0.5 2 0.75 1 0\n", two=""))
    truth = data.samples[0].truth
    assert truth is not None
    assert truth.data["keypoints"].tolist() == [[[10, 12, 2], [30, 24, 0]]]


def test_no_label_file_is_a_picture_without_objects(tmp_path: Path) -> None:
    index = small(tmp_path, "val: images\nnames: [a]\n", one="0 0.5 0.5 0.1 0.1\n")
    picture(tmp_path / "images" / "two.png", 9)
    assert [len(sample.truth or ()) for sample in open_data(index)] == [1, 0]


def test_no_label_file_at_all_is_no_truth(tmp_path: Path) -> None:
    picture(tmp_path / "images" / "one.png")
    (tmp_path / "data.yaml").write_text("test: images\nnames: [a]\n")
    data = open_data(tmp_path)
    assert (data.task, data.samples[0].truth) == (None, None)


def test_names_are_words_even_where_yaml_takes_them_for_something_else(tmp_path: Path) -> None:
    index = small(tmp_path, "val: images\nnames:\n  1: no\n  0: 2024-01-01\n  2: 1e3\n", one="2 0.5 0.5 0.1 0.1\n")
    assert open_data(index).labels == ("2024-01-01", "no", "1e3")


@pytest.mark.parametrize("line", ["images/{}.png", "./images/{}.png", "{here}/images/{}.png"])
def test_lists_of_pictures(tmp_path: Path, line: str) -> None:
    index = small(tmp_path, "val: val.txt\nnames: [a]\n", one="0 0.5 0.5 0.1 0.1\n", two="", three="")
    text = "\n".join(line.format(name, here=tmp_path) for name in ("two", "one"))
    (tmp_path / "val.txt").write_text(text + "\n\n")
    data = open_data(index)
    assert [sample.name for sample in data] == ["images/two.png", "images/one.png"]
    assert len(data.samples[1].truth or ()) == 1


@pytest.mark.parametrize(
    "yaml",
    [
        "path: .\nval: images\nnames: [a]\n",
        "path: /somewhere/on/another/machine\nval: images\nnames: [a]\n",
        "path: ../datasets/set\nval: [images]\nnames: [a]\n",
        "train: []\nvalid: images\nnames: [a]\n",
        "val: ../images\nnames: {0: a}\nnc: 1\n",
        "train:\nval: images\ntest: ~\nnames:\n- a\n",
    ],
)
def test_the_ways_in_which_tools_write_their_paths(tmp_path: Path, yaml: str) -> None:
    data = open_data(small(tmp_path / "set", yaml, one="0 0.5 0.5 0.1 0.1\n"))
    assert (data.name, len(data)) == ("set (val)", 1)


def test_splits_may_be_lists_over_one_folder(tmp_path: Path) -> None:
    index = small(tmp_path, "train: a.txt\nval: b.txt\nnames: [a]\n", one="0 0.5 0.5 0.1 0.1\n", two="", three="")
    (tmp_path / "a.txt").write_text("images/one.png\nimages/three.png\n")
    (tmp_path / "b.txt").write_text("images/two.png\n")
    assert check_data(index) == ()


def test_links_are_followed_and_one_that_leads_back_is_not_followed_twice(tmp_path: Path) -> None:
    index = small(tmp_path / "set", "val: images\nnames: [a]\n", one="0 0.5 0.5 0.1 0.1\n")
    picture(tmp_path / "disk" / "far.png", 7)
    (tmp_path / "set" / "images" / "link").symlink_to(tmp_path / "disk")
    (tmp_path / "disk" / "back").symlink_to(tmp_path / "set" / "images")
    assert [sample.name for sample in open_data(index)] == ["images/link/far.png", "images/one.png"]


def test_a_path_names_a_folder_inside(tmp_path: Path) -> None:
    small(tmp_path / "set", "", one="0 0.5 0.5 0.1 0.1\n")
    (tmp_path / "all.yaml").write_text("path: set\ntrain: images\nnames: [a]\n")
    data = open_data(tmp_path)
    assert (data.name, data.samples[0].name) == ("all (train)", "images/one.png")
