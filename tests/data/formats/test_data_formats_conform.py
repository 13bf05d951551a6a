from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np

from throughline.data.formats import FORMATS
from throughline.testing.data_formats import DataFormatConformance
from throughline.testing.world import World, write_coco, write_mot, write_yolo

WORLD = World(3, 160, 96)


def save(path: Path, shade: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    dice = np.random.default_rng(shade)
    cv2.imwrite(str(path), dice.integers(0, 256, (12, 20, 3), np.uint8))


class TestYolo(DataFormatConformance):
    format = "yolo"

    def write(self, folder: Path) -> Path:
        return write_yolo(WORLD, folder, train=2, val=2)

    def add_label(self, spec: Path) -> None:
        with (spec.parent / "labels" / "val" / "000000.txt").open("a") as file:
            file.write("2 0.5 0.5 0.25 0.25\n")


class TestCoco(DataFormatConformance):
    format = "coco"

    def write(self, folder: Path) -> Path:
        return write_coco(WORLD, folder, 2)

    def add_label(self, spec: Path) -> None:
        whole = json.loads(spec.read_text())
        whole["annotations"].append({"id": 999, "image_id": 1, "category_id": 2, "bbox": [1, 2, 3, 4], "iscrowd": 0})
        spec.write_text(json.dumps(whole))


class TestMot(DataFormatConformance):
    format = "mot"

    def write(self, folder: Path) -> Path:
        return write_mot(WORLD, folder, 3)

    def add_label(self, spec: Path) -> None:
        with (spec / "gt" / "gt.txt").open("a") as file:
            file.write("1,999,5,5,10,10,1,1,1.0\n")


class TestFolders(DataFormatConformance):
    format = "folders"

    def write(self, folder: Path) -> Path:
        for number, name in enumerate(["train/cat/1", "train/dog/1", "val/cat/7", "val/dog/8", "val/dog/10"]):
            save(folder / f"{name}.png", number)
        return folder

    def add_label(self, spec: Path) -> None:
        save(spec / "val" / "ant" / "2.png", 77)


class TestPictures(DataFormatConformance):
    format, labelled = "pictures", False

    def write(self, folder: Path) -> Path:
        for number, name in enumerate(["10.png", "9.png", "a.bmp.png"]):
            save(folder / name, number)
        return folder


def test_every_format_is_here() -> None:
    assert {suite.format for suite in DataFormatConformance.__subclasses__()} == set(FORMATS.names())
