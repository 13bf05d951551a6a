from __future__ import annotations

import csv
import json
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as some

from throughline.contracts.detections import Detections
from throughline.contracts.errors import InputError
from throughline.contracts.frames import Frame
from throughline.contracts.streams import SourceInfo
from throughline.video.sinks import SINKS, in_one_part
from throughline.video.sinks._text import exact

INFO = SourceInfo('a "b"\udcff,\n摄.mp4', 96, 64, Fraction(25))
LABELS = ("cat", 'Hund/狗, "x"\n')
FOUND = Detections(
    np.array([[0.1, 2, 30.5, 40], [50, 10, 120, 80]], np.float32),
    np.array([0.9, 1 / 3], np.float32),
    np.array([1, 7]),
    tracker_id=np.array([5, 12345678901]),
    labels=LABELS,
)
UNTRACKED = Detections(FOUND.xyxy, FOUND.confidence, FOUND.class_id, labels=LABELS)


def write(name: str, folder: Path, *results: Detections) -> Path:
    gradient = np.dstack(
        [np.tile(np.arange(96), (64, 1)), np.tile(np.arange(64)[:, None], (1, 96)), np.zeros((64, 96))]
    )
    with in_one_part(SINKS.make(name, folder, info=INFO, labels=LABELS)) as sink:
        for index, found in enumerate(results):
            sink.write(Frame(3 * index, index * 0.12, gradient.astype(np.uint8), INFO.name), found)
    (path,) = (path for path in folder.iterdir() if not path.name.startswith("."))
    return path


def test_jsonl_has_a_line_for_every_frame(tmp_path: Path) -> None:
    path = write("jsonl", tmp_path, FOUND, Detections.empty(), UNTRACKED)
    first, empty, untracked = map(json.loads, path.read_text("utf-8").splitlines())
    assert first == {
        "index": 0,
        "seconds": 0.0,
        "source": INFO.name,
        "detections": [
            {"xyxy": [0.1, 2, 30.5, 40], "confidence": 0.9, "class_id": 1, "class_name": LABELS[1], "tracker_id": 5},
            {
                "xyxy": [50, 10, 120, 80], "confidence": 0.33333334, "class_id": 7, "class_name": "7",
                "tracker_id": 12345678901,
            },
        ],
    }  # fmt: skip
    assert empty == {"index": 3, "seconds": 0.12, "source": INFO.name, "detections": []}
    assert [one["tracker_id"] for one in untracked["detections"]] == [None, None]
    assert "狗" in path.read_text("utf-8")


def test_csv_has_a_row_for_every_detection(tmp_path: Path) -> None:
    with write("csv", tmp_path, FOUND, Detections.empty(), UNTRACKED).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["index"] for row in rows] == ["0", "0", "6", "6"]
    assert list(rows[1].values()) == [
        "0", "0.0", 'a "b"\\udcff,\n摄.mp4', "50.0", "10.0", "120.0", "80.0", "0.33333334", "7", "7", "12345678901",
    ]  # fmt: skip
    assert rows[0]["class_name"] == LABELS[1]
    assert rows[2]["tracker_id"] == ""


def test_mot_counts_from_one(tmp_path: Path) -> None:
    assert write("mot", tmp_path, Detections.empty(), FOUND, UNTRACKED).read_text().splitlines() == [
        "4,5,1.1,3.0,30.4,38.0,0.9,-1,-1,-1",
        "4,12345678901,51.0,11.0,70.0,70.0,0.33333334,-1,-1,-1",
        "7,-1,1.1,3.0,30.4,38.0,0.9,-1,-1,-1",
        "7,-1,51.0,11.0,70.0,70.0,0.33333334,-1,-1,-1",
    ]


def test_parquet_has_the_same_rows_with_types(tmp_path: Path) -> None:
    table = pq.read_table(write("parquet", tmp_path, FOUND, Detections.empty(), UNTRACKED))
    assert ",".join(table.column_names) == (
        "index,seconds,source,x1,y1,x2,y2,confidence,class_id,class_name,tracker_id,keypoints,mask"
    )
    assert table["mask"].null_count == table["keypoints"].null_count == 4
    assert table["tracker_id"].to_pylist() == [5, 12345678901, None, None]
    assert table["index"].to_pylist() == [0, 0, 6, 6]
    np.testing.assert_array_equal(table["x1"].to_numpy()[:2], FOUND.xyxy[:, 0])
    assert table["confidence"].type == "float"
    assert table["class_name"].to_pylist() == [LABELS[1], "7"] * 2


@pytest.mark.parametrize("part", [1, 3])
def test_parquet_groups_do_not_depend_on_the_parts(tmp_path: Path, part: int) -> None:
    many = Detections(np.zeros((50_000, 4), np.float32), np.ones(50_000, np.float32), np.arange(50_000), labels=LABELS)
    sink, folder = SINKS.make("parquet", tmp_path, info=INFO, labels=LABELS), tmp_path
    for index in range(3):
        sink.write(Frame(index, 0.0, np.zeros((1, 1, 3), np.uint8), "x"), many)
        if (index + 1) % part == 0:
            sink.commit(index // part)
    sink.finish(3 // part)
    file = pq.ParquetFile(folder / "detections.parquet")
    groups = [file.metadata.row_group(number).num_rows for number in range(file.metadata.num_row_groups)]
    assert groups == [65_536, 65_536, 18_928]
    assert file.read()["class_id"].to_pylist() == [*range(50_000)] * 3


def test_crops_are_the_boxes_cut_at_the_edge(tmp_path: Path) -> None:
    outside = Detections(
        np.array([[200, 200, 210, 210], [-5, -5, 0, 9]], np.float32), np.ones(2, np.float32), np.array([0, 0])
    )
    folder = write("crops", tmp_path, FOUND, outside, UNTRACKED)
    crops = {str(path.relative_to(folder)): cv2.imread(str(path))[:, :, ::-1] for path in folder.rglob("*.jpg")}
    assert set(crops) == {
        "1-Hund_狗_ _x__/5/00000000-000.jpg",
        "7-7/12345678901/00000000-001.jpg",
        "1-Hund_狗_ _x__/untracked/00000006-000.jpg",
        "7-7/untracked/00000006-001.jpg",
    }
    cut = crops["7-7/12345678901/00000000-001.jpg"]
    assert cut.shape == (54, 46, 3)
    assert abs(cut[10, 20].astype(int) - [70, 20, 0]).max() < 8, "column 50 + 20, row 10 + 10"


def test_no_label_leads_out_of_the_folder(tmp_path: Path) -> None:
    labels = ("../../etc", "..", ".", "", "a/b", "x" * 500, "\0", "CON ", "狗" * 200)
    found = Detections(
        np.tile(np.array([0, 0, 5, 5], np.float32), (9, 1)), np.ones(9, np.float32), np.arange(9), labels=labels
    )
    folder = write("crops", tmp_path / "run", found)
    assert len(list(folder.iterdir())) == 9
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_samples_are_few_and_spread(tmp_path: Path) -> None:
    sink = SINKS.make("samples", tmp_path, info=INFO, labels=LABELS)
    for part in range(20):
        for index in range(part * 5, part * 5 + 5):
            image = np.zeros((400, 2000, 3), np.uint8)
            sink.write(Frame(index, index / 25, image, "x"), FOUND if index % 5 == 3 else Detections.empty())
        sink.commit(part)
    (folder,) = sink.finish(20)
    assert [path.name for path in sorted(folder.iterdir())] == [
        f"{index:08}.jpg" for index in (3, 23, 43, 58, 78, 98)
    ]  # fmt: skip
    assert cv2.imread(str(folder / "00000003.jpg")).shape == (192, 960, 3)


def test_a_callback_hears_every_frame_in_order() -> None:
    heard: list[tuple[int, int]] = []
    sink = SINKS.make(
        "callback", Path("unused"), info=INFO, call=lambda frame, found: heard.append((frame.index, len(found)))
    )
    for index in range(3):
        sink.write(Frame(index, 0.0, np.zeros((1, 1, 3), np.uint8), "x"), FOUND)
    sink.commit(0)
    assert (sink.finish(1), heard) == ((), [(0, 2), (1, 2), (2, 2)])


@given(some.lists(some.floats(width=32, allow_nan=False, allow_infinity=False), max_size=20))
def test_numbers_read_back_as_what_they_were(numbers: list[float]) -> None:
    given_ = np.array(numbers, np.float32)
    text = json.dumps(exact(given_))
    np.testing.assert_array_equal(np.array(json.loads(text), np.float32), given_)
    assert all(len(json.dumps(one)) <= 17 for one in exact(given_) if 1e-4 < abs(one) < 1e6), (
        "no longer than it must be"
    )


@pytest.mark.parametrize("name", ["jsonl", "csv", "mot"])
def test_what_is_not_a_number_is_not_written(tmp_path: Path, name: str) -> None:
    broken = Detections(np.array([[0, 0, np.nan, 1]], np.float32), np.ones(1, np.float32), np.array([0]))
    with pytest.raises(InputError, match="not a finite number"):
        write(name, tmp_path, broken)
    assert list(tmp_path.iterdir()) == []
