"""What holds for data sets of every format: traits, overlap, slices of samples."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from small_pictures import picture

from throughline.contracts.errors import InputError
from throughline.data.overlap import shared_pictures
from throughline.data.reading import open_data
from throughline.testing.world import World, write_coco, write_yolo


def test_traits_come_from_the_table_beside_the_set(tmp_path: Path) -> None:
    index = write_yolo(World(3, 160, 96), tmp_path / "set", train=2, val=2)
    before = open_data(index)
    table = "file,light,hour,camera\nimages/val/000000.png,dusk,19.5,\nimages/val/000001.png,nan,7,north\n"
    (index.parent / "traits.csv").write_text(table)
    data = open_data(index)
    assert [dict(sample.traits) for sample in data] == [
        {"light": "dusk", "hour": 19.5},
        {"light": "nan", "hour": 7.0, "camera": "north"},
    ]
    assert data.sha256 == before.sha256, "they say how to slice the data, and are not the data"


def test_pictures_that_two_sets_share_are_found_by_their_bytes(tmp_path: Path) -> None:
    for seed in range(4):
        picture(tmp_path / "a" / f"{seed}.png", seed)
    picture(tmp_path / "b" / "other.png", 9)
    shutil.copy(tmp_path / "a" / "2.png", tmp_path / "b" / "renamed.png")
    shutil.copy(tmp_path / "a" / "0.png", tmp_path / "b" / "again.png")
    a, b = open_data(tmp_path / "a"), open_data(tmp_path / "b")
    assert shared_pictures(a, b) == ("0.png", "2.png")
    assert shared_pictures(b, a) == ("again.png", "renamed.png")
    assert shared_pictures(b, open_data(tmp_path / "b" / "other.png")) == ("other.png",)


def test_samples_are_a_sequence(tmp_path: Path) -> None:
    samples = open_data(write_coco(World(3, 160, 96), tmp_path / "set", 3)).samples
    assert [one.name for one in samples[1:]] == [samples[1].name, samples[-1].name]
    assert len(samples[::2]) == 2
    with pytest.raises(IndexError):
        samples[3]


def test_what_lies_there_decides_and_not_its_name(tmp_path: Path) -> None:
    index = write_coco(World(3, 160, 96), tmp_path / "set", 2)
    renamed = index.rename(index.with_name("labels.dat"))
    assert open_data(renamed).format == "coco"
    yaml = write_yolo(World(3, 160, 96), tmp_path / "two", train=1, val=1)
    assert open_data(yaml.rename(yaml.with_name("set.conf"))).format == "yolo"


def test_what_may_not_be_read_is_one_error(tmp_path: Path) -> None:
    index = write_yolo(World(3, 160, 96), tmp_path / "set", train=1, val=1)
    (index.parent / "images" / "val").chmod(0)
    was = os.geteuid()
    if was == 0:
        os.seteuid(65_534)  # root can read anything
    try:
        with pytest.raises(InputError, match="Permission denied"):
            open_data(index)
    finally:
        os.seteuid(was)
        (index.parent / "images" / "val").chmod(0o755)


def test_two_readings_are_no_reading(tmp_path: Path) -> None:
    yaml = write_yolo(World(3, 160, 96), tmp_path / "two", train=1, val=1)
    yaml.rename(yaml.with_name("street.yaml"))
    shutil.copy(write_coco(World(3, 160, 96), tmp_path / "set", 2), tmp_path / "two" / "annotations.json")
    with pytest.raises(InputError, match="coco and yolo at once"):
        open_data(tmp_path / "two")
