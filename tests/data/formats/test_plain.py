"""Class folders, and pictures of which nothing is known."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_pictures import picture

from throughline.contracts.errors import InputError
from throughline.data.reading import open_data


@pytest.mark.parametrize("valid", ["val", "valid", "Validation"])
def test_class_folders_with_splits(tmp_path: Path, valid: str) -> None:
    for seed, name in enumerate(
        ["train/dog/1", "train/cat/2", f"{valid}/dog/10", f"{valid}/dog/deep/9", "train/ant/3"]
    ):
        picture(tmp_path / "pets" / f"{name}.png", seed)
    data = open_data(tmp_path / "pets")
    assert (data.name, data.format, data.task) == ("pets (val)", "folders", "classify")
    assert data.labels == ("ant", "cat", "dog"), "of all splits, so that numbers mean the same in each"
    assert [sample.name for sample in data] == ["dog/10.png", "dog/deep/9.png"]
    truth = data.samples[0].truth
    assert truth is not None
    assert truth.of_frame.tolist() == [True]
    assert (truth.class_id.tolist(), truth.confidence.tolist(), truth.xyxy.tolist()) == ([2], [1], [[0, 0, 40, 24]])
    assert len(open_data(tmp_path / "pets", "train")) == 3


def test_class_folders_alone(tmp_path: Path) -> None:
    for seed, name in enumerate(["b/1", "a/2"]):
        picture(tmp_path / f"{name}.png", seed)
    data = open_data(tmp_path)
    assert (data.name, data.labels) == (tmp_path.name, ("a", "b"))
    assert [sample.name for sample in data] == ["a/2.png", "b/1.png"]
    with pytest.raises(InputError, match="no split 'val'") as refused:
        open_data(tmp_path, "val")
    assert refused.value.fix == "leave the split away: this set is not split"


def test_pictures_from_a_folder_a_pattern_a_list_and_one(tmp_path: Path) -> None:
    for seed, name in enumerate(["10", "9", "sub/1"]):
        picture(tmp_path / "all" / f"{name}.png", seed)
    (tmp_path / "list.txt").write_text(f"all/9.png\n\n{tmp_path}/all/sub/1.png\n")
    names = {
        spec: [sample.name for sample in open_data(tmp_path / spec)]
        for spec in ("all", "all/*.png", "all/**/*.png", "list.txt", "all/9.png")
    }
    assert names == {
        "all": ["9.png", "10.png"],
        "all/*.png": ["9.png", "10.png"],
        "all/**/*.png": ["9.png", "10.png", "sub/1.png"],
        "list.txt": ["all/9.png", "all/sub/1.png"],
        "all/9.png": ["9.png"],
    }
    data = open_data(tmp_path / "all")
    assert (data.format, data.task, data.labels, data.samples[0].truth) == ("pictures", None, (), None)
    assert data.sha256 == open_data(tmp_path / "all" / "*.png").sha256


def test_a_folder_of_nothing_is_no_data(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    with pytest.raises(InputError, match=r"no data\.yaml"):
        open_data(tmp_path)
    with pytest.raises(InputError, match="does not exist"):
        open_data(tmp_path / "absent")
    with pytest.raises(InputError, match="in any format known here"):
        open_data(tmp_path / "images")
