"""What several models, and models of other kinds than detectors, leave in each result."""

from __future__ import annotations

import csv
import json
import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest

from throughline.contracts.detections import Detections
from throughline.contracts.frames import Frame
from throughline.contracts.masks import Masks
from throughline.contracts.streams import SourceInfo
from throughline.video.sinks import SINKS, in_one_part

INFO = SourceInfo("street.mp4", 96, 64, Fraction(25))
NAMES = ("finder", "shaper", "poser", "namer")
MASK = np.zeros((1, 64, 96), bool)
MASK[0, 10:30, 5:40] = np.random.default_rng(0).random((20, 35)) < 0.7
POINTS = np.array([[[1.5, 2, 0.9], [1 / 3, 4, 0.1]]], np.float32)


def part(boxes: list[list[float]], labels: tuple[str, ...], **columns: Any) -> Detections:
    count = len(boxes)
    return Detections(
        np.array(boxes, np.float32).reshape(count, 4),
        np.full(count, 0.75, np.float32),
        np.zeros(count, np.int64),
        labels=labels,
        **columns,
    )


FINDER = part([[1, 2, 30, 40]], ("cat",), tracker_id=np.array([7]))
SHAPER = part([[5, 10, 40, 30]], ("dog",), masks=Masks.of(MASK))
POSER = part([[50, 10, 80, 60]], ("person",), data={"keypoints": POINTS})
NAMER = part([[0, 0, 96, 64]] * 2, ("day", "night"), data={"of_frame": np.ones(2, bool)})
ALL = Detections.together([FINDER, SHAPER, POSER, NAMER], NAMES)
NOTHING = Detections.together([FINDER[:0], SHAPER[:0], POSER[:0], NAMER[:0]], NAMES)


def write(name: str, folder: Path, *results: Detections, models: tuple[str, ...] = NAMES) -> Path:
    with in_one_part(SINKS.make(name, folder, info=INFO, labels=ALL.labels, models=models)) as sink:
        for index, found in enumerate(results):
            sink.write(Frame(index, index / 25, np.full((64, 96, 3), 90, np.uint8), INFO.name), found)
    (path,) = (path for path in folder.iterdir() if not path.name.startswith("."))
    return path


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_a_line_of_json_has_objects_and_classes_apart(tmp_path: Path) -> None:
    first, nothing = lines(write("jsonl", tmp_path, ALL, NOTHING))
    assert [(one["class_name"], one["model"], one["tracker_id"]) for one in first["detections"]] == [
        ("cat", "finder", 7), ("dog", "shaper", None), ("person", "poser", None),
    ]  # fmt: skip
    assert first["classes"] == [{"confidence": 0.75, "class_id": 3, "class_name": "day", "model": "namer"}] * 2
    assert (nothing["detections"], nothing["classes"]) == ([], [])


@pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"
)  # in pycocotools
def test_a_mask_and_keypoints_read_back_exactly(tmp_path: Path) -> None:
    from pycocotools import mask as coco

    (line,) = lines(write("jsonl", tmp_path, ALL))
    cat, dog, person = line["detections"]
    np.testing.assert_array_equal(coco.decode(dog["mask"]), MASK[0])
    assert [one.keys() & {"mask", "keypoints"} for one in (cat, dog, person)] == [set(), {"mask"}, {"keypoints"}]
    np.testing.assert_array_equal(np.array(person["keypoints"], np.float32), POINTS[0])


@pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"
)  # in pycocotools
def test_the_lines_in_the_documentation_are_such_lines(tmp_path: Path) -> None:
    from pycocotools import mask as coco

    text = Path(__file__).parents[3].joinpath("docs", "outputs.md").read_text("utf-8")
    shown = [json.loads(block) for block in re.findall(r"^```json\n(.*?)^```$", text, re.M | re.S)]
    one, several = (
        lines(write("jsonl", tmp_path / "one", FINDER, models=())),
        lines(write("jsonl", tmp_path / "all", ALL)),
    )
    for record, (written,) in zip(shown, (one, several), strict=True):
        assert record.keys() == written.keys()
        known = {key for each in written["detections"] for key in each}
        assert all(each.keys() <= known for each in record["detections"])
    assert shown[1]["classes"][0].keys() == several[0]["classes"][0].keys()
    (example,) = shown[1]["detections"]
    assert coco.toBbox(example["mask"]).tolist() == [1, 1, 2, 2]


def test_a_line_of_a_single_model_says_no_more_than_it_knows(tmp_path: Path) -> None:
    detector, classifier, unsure = lines(write("jsonl", tmp_path, FINDER, NAMER, NAMER[:0], models=()))
    assert detector.keys() == {"index", "seconds", "source", "detections"}
    assert detector["detections"][0].keys() == {"xyxy", "confidence", "class_id", "class_name", "tracker_id"}
    assert classifier["detections"] == unsure["detections"] == unsure["classes"] == []
    assert classifier["classes"] == [{"confidence": 0.75, "class_id": 0, "class_name": "day"}] * 2


def test_csv_has_a_column_for_the_model_where_there_are_several(tmp_path: Path) -> None:
    with write("csv", tmp_path / "all", ALL).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["model"] for row in rows] == ["finder", "shaper", "poser", "namer", "namer"]
    assert [row["x1"] for row in rows] == ["1.0", "5.0", "50.0", "", ""], "what is about the whole frame has no box"
    assert write("csv", tmp_path / "none", models=NAMES).read_text().strip().endswith(",tracker_id,model")
    assert write("csv", tmp_path / "one", models=NAMES[:1]).read_text().strip().endswith(",tracker_id")


def test_parquet_has_everything_with_its_type(tmp_path: Path) -> None:
    path = write("parquet", tmp_path / "all", ALL, NOTHING)
    rows = pq.read_table(path).to_pylist()
    assert [row["model"] for row in rows] == ["finder", "shaper", "poser", "namer", "namer"]
    assert [row["y2"] for row in rows] == [40, 30, 60, None, None]
    assert [row["tracker_id"] for row in rows] == [7, None, None, None, None]
    (line,) = lines(write("jsonl", tmp_path / "lines", ALL))
    assert [row["mask"] for row in rows] == [None, line["detections"][1]["mask"], None, None, None]
    np.testing.assert_array_equal(np.array(rows[2]["keypoints"], np.float32), POINTS[0])
    assert [row["keypoints"] is None for row in rows] == [True, True, False, True, True]
    schemas = [pq.read_schema(write("parquet", tmp_path / name, *some)) for name, some in (("a", [ALL]), ("b", []))]
    assert schemas[0].equals(schemas[1]), "the columns do not depend on what was found"


def test_mot_and_crops_know_objects_alone(tmp_path: Path) -> None:
    assert [line.split(",")[1] for line in write("mot", tmp_path / "mot", ALL).read_text().splitlines()] == [
        "7", "-1", "-1",
    ]  # fmt: skip
    folder = write("crops", tmp_path / "crops", ALL)
    assert {str(path.relative_to(folder)) for path in folder.rglob("*.jpg")} == {
        "0-cat/7/00000000-000.jpg", "1-dog/untracked/00000000-001.jpg", "2-person/untracked/00000000-002.jpg",
    }  # fmt: skip


def test_a_sample_is_of_the_frame_with_the_most_objects(tmp_path: Path) -> None:
    folder = write("samples", tmp_path, NAMER, FINDER, NAMER, models=())
    assert [path.name for path in folder.iterdir()] == ["00000001.jpg"]


def test_what_is_of_the_whole_frame_is_a_caption_and_no_box(tmp_path: Path) -> None:
    folder = write("samples", tmp_path, NAMER, models=())
    changed = np.abs(cv2.imread(str(folder / "00000000.jpg")).astype(int) - 90).max(axis=2) > 24
    assert changed[:26, :40].any()
    assert not changed[40:].any()
    assert not changed[:, 90:].any()
