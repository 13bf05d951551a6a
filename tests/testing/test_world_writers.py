"""What the world writes, read back by the readers that people use, and held against the truth."""

from __future__ import annotations

import configparser
import contextlib
import io
import os
import re
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from throughline.contracts.errors import InputError
from throughline.testing.world import LABELS, Look, World, write_coco, write_mot, write_video, write_yolo
from throughline.testing.world.coco import run_lengths

WORLD = World(3, 320, 192, fps=20)


def picture(path: Path) -> np.ndarray:
    return cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)


def test_yolo_folder_says_the_truth(tmp_path: Path) -> None:
    index = write_yolo(WORLD, tmp_path / "street", train=3, val=2)
    text = index.read_text()
    assert index == tmp_path / "street" / "data.yaml"
    assert re.findall(r"^  (\d+): (\w+)$", text, re.M) == [(str(i), name) for i, name in enumerate(LABELS)]
    assert re.findall(r"^(train|val): (.*)$", text, re.M) == [("train", "images/train"), ("val", "images/val")]
    for split, count, street in (("train", 3, WORLD), ("val", 2, World(4, 320, 192, fps=20))):
        images = sorted((index.parent / "images" / split).iterdir())
        labels = sorted((index.parent / "labels" / split).iterdir())
        assert [path.stem for path in images] == [path.stem for path in labels] == [f"{i:06}" for i in range(count)]
        for number, (image, label) in enumerate(zip(images, labels, strict=True)):
            frame, truth = street.frame(number * 20)
            assert np.array_equal(picture(image), frame.image)
            rows = np.array([line.split() for line in label.read_text().splitlines()], np.float64).reshape(-1, 5)
            centre, size = rows[:, 1:3] * (320, 192), rows[:, 3:] * (320, 192)
            assert rows[:, 0].tolist() == truth.detections.class_id.tolist()
            assert np.allclose(np.hstack((centre - size / 2, centre + size / 2)), truth.detections.xyxy, atol=1e-3)


@pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"
)  # in pycocotools
def test_coco_reads_back_with_pycocotools(tmp_path: Path) -> None:
    from pycocotools.coco import COCO

    index = write_coco(WORLD, tmp_path / "street", 3)
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(index))
    assert [category["name"] for category in coco.loadCats(sorted(coco.getCatIds()))] == list(LABELS)
    assert len(coco.getImgIds()) == 3
    for number, image in enumerate(coco.loadImgs(sorted(coco.getImgIds()))):
        frame, truth = WORLD.frame(number * 20)
        found = truth.detections
        masks = found.mask
        assert masks is not None
        assert found.tracker_id is not None
        assert (image["width"], image["height"]) == (320, 192)
        assert np.array_equal(picture(index.parent / "images" / image["file_name"]), frame.image)
        annotations = coco.loadAnns(coco.getAnnIds(imgIds=image["id"]))
        assert len(annotations) == len(found) > 0
        for row, annotation in enumerate(annotations):
            x, y, width, height = annotation["bbox"]
            assert (x, y, x + width, y + height) == tuple(found.xyxy[row].tolist())
            assert annotation["category_id"] == found.class_id[row] + 1
            assert annotation["track_id"] == found.tracker_id[row]
            assert annotation["visibility"] == pytest.approx(found.data["visibility"][row], abs=1e-4)
            mask = coco.annToMask(annotation).astype(bool)
            assert np.array_equal(mask, masks[row])
            assert annotation["area"] == mask.sum()


@pytest.mark.parametrize("fill", [0, 1])
def test_run_lengths_begin_with_what_is_not_the_object(fill: int) -> None:
    assert run_lengths(np.full((3, 2), bool(fill))) == {"size": [3, 2], "counts": [0, 6] if fill else [6]}


def test_mot_sequence_follows_every_object(tmp_path: Path) -> None:
    folder = write_mot(WORLD, tmp_path / "street", 6)
    about = configparser.ConfigParser()
    about.optionxform = str  # type: ignore[assignment, method-assign]
    about.read(folder / "seqinfo.ini")
    sequence = dict(about["Sequence"])
    assert sequence == {
        "name": "world-3", "imDir": "img1", "frameRate": "20", "seqLength": "6",
        "imWidth": "320", "imHeight": "192", "imExt": ".jpg",
    }  # fmt: skip
    assert (folder / "gt" / "labels.txt").read_text().split() == list(LABELS)
    rows = np.loadtxt(folder / "gt" / "gt.txt", delimiter=",", ndmin=2)
    assert set(rows[:, 0]) == {1, 2, 3, 4, 5, 6}
    assert (rows[:, 6] == 1).all()
    for number in range(1, 7):
        frame, truth = WORLD.frame(number - 1)
        found, mine = truth.detections, rows[rows[:, 0] == number]
        assert found.tracker_id is not None
        assert mine[:, 1].tolist() == found.tracker_id.tolist()
        assert np.allclose(np.hstack((mine[:, 2:4] - 1, mine[:, 2:4] - 1 + mine[:, 4:6])), found.xyxy)
        assert mine[:, 7].tolist() == (found.class_id + 1).tolist()
        assert np.allclose(mine[:, 8], found.data["visibility"], atol=1e-4)
        assert np.abs(picture(folder / "img1" / f"{number:06}.jpg").astype(int) - frame.image).mean() < 4


@pytest.mark.parametrize(("name", "fps"), [("street.mp4", 30), ("street.mkv", 25)])
def test_video_has_every_frame_at_its_time(tmp_path: Path, name: str, fps: int) -> None:
    world = World(3, 320, 192, fps=fps)
    path = write_video(world, tmp_path / name, 40)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert (stream.width, stream.height) == (320, 192)
        assert stream.average_rate == fps
        frames = list(container.decode(stream))
    assert len(frames) == 40
    for index, frame in enumerate(frames):
        assert frame.pts is not None
        assert abs(frame.pts * Fraction(frame.time_base) - Fraction(index, fps)) <= Fraction(1, 1000)
        if index % 13 == 0:
            decoded = frame.to_ndarray(format="rgb24").astype(int)
            apart = [np.abs(decoded - world.frame(at)[0].image).mean() for at in (index, index + 1)]
            assert apart[0] < min(7, apart[1])


def test_a_video_of_an_odd_size_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="321x192"):
        write_video(World(3, 321, 192), tmp_path / "street.mp4", 2)
    assert not list(tmp_path.iterdir())


WRITERS: dict[str, Callable[[Path], object]] = {
    "yolo": lambda path: write_yolo(WORLD, path, train=2, val=2),
    "coco": lambda path: write_coco(WORLD, path, 3),
    "mot": lambda path: write_mot(WORLD, path, 3),
    "video.mp4": lambda path: write_video(WORLD, path, 60),
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_disk_that_fills_up_leaves_nothing_behind(tmp_path: Path, name: str) -> None:
    script = (
        "import resource, sys, pathlib, test_world_writers\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))\n"
        f"test_world_writers.WRITERS[{name!r}](pathlib.Path(sys.argv[1]))\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.path.dirname(__file__)}
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / name)], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "File too large" in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["yolo", "coco", "mot"])
def test_what_is_there_is_not_written_over(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    WRITERS[name](tmp_path / name)
    before = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*"))
    with pytest.raises(InputError, match="there already"):
        WRITERS[name](tmp_path / name)
    assert sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*")) == before


def test_an_empty_street_is_written_too(tmp_path: Path) -> None:
    world = World(3, 320, 192, look=Look(density=0))
    write_yolo(world, tmp_path / "yolo", train=1, val=1)
    write_mot(world, tmp_path / "mot", 2)
    assert (tmp_path / "yolo" / "labels" / "train" / "000000.txt").read_text() == ""
    assert (tmp_path / "mot" / "gt" / "gt.txt").read_text() == ""


@pytest.mark.parametrize("write", [write_coco, write_mot, write_video])
def test_no_frames_are_refused(tmp_path: Path, write: Callable[..., object]) -> None:
    with pytest.raises(InputError, match="count is 0"):
        write(WORLD, tmp_path / "street.mp4", 0)
    assert not list(tmp_path.iterdir())
