"""Pictures that are nearly the same are found among many, and different ones are not taken for such."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from throughline.data.checks import check_data
from throughline.data.near_duplicates import MOST_BITS, likeness_of, nearest_in
from throughline.data.reading import open_data
from throughline.testing.world import World, write_coco, write_mot, write_yolo

Image = npt.NDArray[np.uint8]


def encoded(ending: str, flag: int, quality: int) -> Callable[[Image], Image]:
    def again(image: Image) -> Image:
        data = cv2.imencode(ending, image, [flag, quality])[1]
        return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)

    return again


def scaled(width: int, height: int) -> Callable[[Image], Image]:
    return lambda image: np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def brightened(times: float) -> Callable[[Image], Image]:
    return lambda image: np.clip(image * times, 0, 255).astype(np.uint8)


def noisy(image: Image) -> Image:
    noise = np.random.default_rng(0).normal(0, 8, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


VARIANTS: dict[str, Callable[[Image], Image]] = {
    "JPEG 90": encoded(".jpg", cv2.IMWRITE_JPEG_QUALITY, 90),
    "JPEG 30": encoded(".jpg", cv2.IMWRITE_JPEG_QUALITY, 30),
    "WebP 60": encoded(".webp", cv2.IMWRITE_WEBP_QUALITY, 60),
    "half": scaled(160, 96),
    "another shape": scaled(240, 240),
    "darker": brightened(0.7),
    "brighter": brightened(1.15),
    "noisy": noisy,
}
STREETS = 30


@pytest.fixture(scope="module")
def streets() -> list[Image]:
    """Thirty streets, each another."""
    return [World(seed, 320, 192).frame(0)[0].image for seed in range(STREETS)]


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_variant_of_a_picture_is_found_and_is_its_own(streets: list[Image], variant: str) -> None:
    known = [likeness_of(one) for one in streets]
    found = nearest_in([likeness_of(VARIANTS[variant](one)) for one in streets], known)
    assert [(one.a, one.b) for one in found] == [(number, number) for number in range(STREETS)]


def test_different_streets_and_moments_of_one_street_are_no_duplicates(streets: list[Image]) -> None:
    known = [likeness_of(one) for one in streets]
    for number, one in enumerate(known):
        assert nearest_in([one], known[:number] + known[number + 1 :]) == []
    world = World(3, 320, 192)
    moments = [likeness_of(world.frame(second * world.fps)[0].image) for second in range(20)]
    for number, one in enumerate(moments):
        assert nearest_in([one], moments[:number] + moments[number + 1 :]) == [], "a second lies between them"


def test_the_next_frame_of_a_video_is_one() -> None:
    first, second = (likeness_of(World(3, 320, 192).frame(index)[0].image) for index in range(2))
    assert [(one.a, one.b) for one in nearest_in([first], [second])] == [(0, 0)]


def test_what_shows_nothing_is_like_nothing() -> None:
    black, white = (likeness_of(np.full((40, 40, 3), level, np.uint8)) for level in (0, 255))
    assert nearest_in([black, white], [black, white]) == []


def test_a_blot_on_a_page_is_not_another_blot() -> None:
    def page(x: int, y: int) -> Image:
        sheet = np.full((300, 400, 3), 255, np.uint8)
        sheet[y : y + 60, x : x + 80] = 20
        return likeness_of(sheet)

    pages = [page(x, y) for x in (20, 180, 300) for y in (20, 140, 220)]
    assert [(one.a, one.b) for one in nearest_in(pages, pages)] == [(number, number) for number in range(9)]


def test_the_search_finds_what_holding_each_against_each_finds() -> None:
    random = np.random.default_rng(5)
    coarse = random.integers(0, 256, (400, 5, 5), np.uint8)
    known = [np.asarray(cv2.resize(one, (17, 16), interpolation=cv2.INTER_CUBIC), np.uint8) for one in coarse]
    asked = [np.clip(one + random.normal(0, spread, one.shape), 0, 255).astype(np.uint8)
             for one, spread in zip(known[:200], np.linspace(0, 12, 200), strict=True)]  # fmt: skip

    def bits(one: Image) -> Image:
        return np.asarray(one[:, 1:] > one[:, :-1])

    differ = np.array([[np.count_nonzero(bits(one) != bits(other)) for other in known] for one in asked])
    close = {(a, int(row.argmin())) for a, row in enumerate(differ) if row.min() <= MOST_BITS}
    found = {(one.a, one.b): one.bits for one in nearest_in(asked, known)}
    assert 20 < len(close) < 200, "some are near, and some are not"
    assert found.keys() == close
    assert all(differ[pair] == bits for pair, bits in found.items())


def test_inspecting_names_both_pictures_and_how_far_they_are_apart(tmp_path: Path) -> None:
    data = write_yolo(World(3, 320, 192), tmp_path / "street", train=3, val=2)
    assert {problem.kind for problem in check_data(data)} <= {"class without objects"}
    leaked = cv2.imread(str(tmp_path / "street/images/train/000001.png"))
    path = tmp_path / "street/images/val/000001.jpg"
    path.with_suffix(".png").unlink()
    assert cv2.imwrite(str(path), leaked, [cv2.IMWRITE_JPEG_QUALITY, 70])
    (problem,) = (one for one in check_data(data) if one.kind != "class without objects")
    assert (problem.kind, problem.file, problem.severe) == ("near duplicate in two splits", str(path), False)
    assert problem.says.startswith("images/val/000001.jpg (val) is nearly images/train/000001.png (train): ")
    assert problem.says.endswith(" of 256 bits differ")


def test_a_video_in_two_splits_is_told(tmp_path: Path) -> None:
    for split, frames in (("train", 3), ("val", 2)):
        write_mot(World(3, 160, 96), tmp_path / "mot" / split / "crossing", frames)
    found = [problem for problem in check_data(tmp_path / "mot") if problem.kind == "group in two splits"]
    assert ["3 in train, 2 in val" in problem.says for problem in found] == [True]


def test_groups_may_be_told_beside_the_data_and_by_coco(tmp_path: Path) -> None:
    data = write_yolo(World(3, 160, 96), tmp_path / "street", train=2, val=1)
    rows = ("images/train/000000.png,7", "images/train/000001.png,north", "images/val/000000.png,7")
    (tmp_path / "street" / "traits.csv").write_text("\n".join(("file,group", *rows)) + "\n")
    assert [(sample.group, dict(sample.traits)) for sample in open_data(data, "train")] == [("7", {}), ("north", {})]
    found = [problem.says for problem in check_data(data) if problem.kind == "group in two splits"]
    assert found == ["pictures of '7' are in several splits: 1 in train, 1 in val"]
    coco = write_coco(World(3, 160, 96), tmp_path / "coco", 2)
    told = json.loads(coco.read_text())
    for image in told["images"]:
        image["video_id"] = 4
    coco.write_text(json.dumps(told))
    assert {sample.group for sample in open_data(coco)} == {"4"}
