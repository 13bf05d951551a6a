"""What to label first: doubt and novelty, no two alike; as files that a data set is made of once labels are written."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from streams import remembered, street

from throughline.contracts.errors import InputError
from throughline.contracts.observations import Observation
from throughline.data.reading import open_data
from throughline.monitoring.labelling import Pick, Picker, doubt_of
from throughline.monitoring.labelling_folder import write_labelling
from throughline.monitoring.novelty import Novelty
from throughline.monitoring.profile import profile_of
from throughline.testing.world import Look, World


def best(every: list[Observation], count: int) -> list[Pick]:
    picker = Picker(profile_of(remembered(300)), count)
    for one in every:
        picker.take(one)
    return picker.best()


def test_a_score_of_a_half_is_all_doubt() -> None:
    assert [doubt_of(score) for score in (0.0, 0.25, 0.5, 0.75, 1.0, float("nan"))] == [0, 0.5, 1, 0.5, 0, 0]


def test_what_is_unlike_the_reference_is_novel_and_says_by_what() -> None:
    novelty = Novelty(profile_of(remembered(300)))
    usual = [novelty(one) for one in remembered(100, 5)]
    strange = [novelty(one) for one in remembered(100, 5, shift=6.0)]
    assert 0.5 < np.median(usual) < 1.5
    assert min(strange) > max(usual)
    parts = novelty.parts(next(remembered(1, 5, shift=6.0)))
    assert set(sorted(parts, key=lambda name: -parts[name])[:2]) == {"look", "number 0"}


def test_doubtful_and_strange_frames_come_first_and_each_says_why() -> None:
    every = list(remembered(300, 5))
    every[40] = replace(every[40], score=0.5)
    every[80] = replace(every[80], numbers=dict.fromkeys(every[80].numbers, 9.0), vector=np.full(4, 9, np.float32))
    first, second = best(every, 2)
    assert {first.observation.request, second.observation.request} == {"40", "80"}
    assert {one.observation.request: one.why for one in (first, second)} == {
        "40": "the model is unsure", "80": "unlike the reference",
    }  # fmt: skip


def test_of_frames_that_are_alike_one_is_enough() -> None:
    same = replace(next(remembered(1, 5)), score=0.5)
    every = [replace(same, request=f"same {at}") for at in range(50)]
    every += [replace(one, score=0.6) for one in remembered(50, 6)]
    picked = [one.observation.request for one in best(every, 10)]
    assert sum(name.startswith("same") for name in picked) == 1


@given(st.integers(1, 30), st.integers(1, 60))
def test_so_many_are_picked_as_were_asked_for_and_none_twice(count: int, given_: int) -> None:
    picker = Picker(profile_of(remembered(60)), count)
    for one in remembered(given_, 3):
        picker.take(one)
    picked = [one.observation.request for one in picker.best()]
    assert len(picked) == len(set(picked)) == min(count, given_)


def test_the_pool_is_bounded_and_keeps_the_best(monkeypatch: pytest.MonkeyPatch) -> None:
    import throughline.monitoring.labelling as module

    monkeypatch.setattr(module, "_LEAST_POOL", 5)
    monkeypatch.setattr(module, "_POOL", 1)
    every = [replace(one, score=0.5 if at == 7 else 1.0) for at, one in enumerate(remembered(500, 2))]
    picker = Picker(profile_of(remembered(60)), 3)
    for one in every:
        picker.take(one)
    assert len(picker._pool) == 5
    assert "7" in {one.observation.request for one in picker.best()}


def test_of_nothing_nothing_is_picked_and_a_list_of_nothing_is_refused() -> None:
    assert best([], 3) == []
    with pytest.raises(InputError, match="0 frames"):
        Picker(profile_of(remembered(60)), 0)


def pictured(folder: Path, count: int) -> list[Pick]:
    world, picks = World(7, 96, 64, look=Look(light=0.5)), []
    folder.mkdir()
    for number, one in enumerate(street(world, 0, count)):
        path = folder / f"{number}.png"
        cv2.imwrite(str(path), world.frame(number * 15)[0].image[..., ::-1])
        picks.append(Pick(replace(one, picture=str(path)), 0.5, 0.25))
    return picks


def test_the_list_is_a_data_set_once_labels_are_written(tmp_path: Path) -> None:
    picks = pictured(tmp_path / "kept", 6)
    done = write_labelling(tmp_path / "out", picks, ("car", "it's: odd"))
    assert (done.rows, done.pictures) == (6, 6)
    rows = list(csv.DictReader(done.table.read_text("utf-8").splitlines()))
    assert [row["rank"] for row in rows] == ["1", "2", "3", "4", "5", "6"]
    assert rows[0]["picture"] == "images/train/00001.png"
    assert rows[4]["picture"] == "images/val/00005.png"
    assert json.loads((tmp_path / "out" / "label-first.json").read_text())[0]["why"] == "the model is unsure"
    assert done.data is not None
    unlabelled = open_data(done.data, "train")
    assert all(sample.truth is None for sample in unlabelled)  # nobody has said that there is nothing
    (tmp_path / "out" / "labels" / "train" / "00001.txt").write_text("1 0.5 0.5 0.2 0.2\n")
    labelled = open_data(done.data, "train")
    assert labelled.labels == ("car", "it's: odd")
    assert len(labelled.samples[0].truth or ()) == 1


def test_pictures_that_are_no_files_are_asked_for(tmp_path: Path) -> None:
    picks = [Pick(one, 0.1, 0.2) for one in remembered(3)]
    packed = cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))[1].tobytes()
    done = write_labelling(tmp_path / "out", picks, (), lambda request: None if request == "1" else packed)
    assert (done.rows, done.pictures) == (3, 2)
    assert len(open_data(done.data or "", "train")) == 2
    none = write_labelling(tmp_path / "none", picks, ())
    assert (none.data, none.pictures) == (None, 0)
    assert sorted(path.name for path in (tmp_path / "none").iterdir()) == ["label-first.csv", "label-first.json"]


def test_a_list_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    picks = [Pick(one, 0.1, 0.2) for one in remembered(3)]

    def fails(request: str) -> bytes:
        raise RuntimeError("the camera is gone")

    with pytest.raises(RuntimeError, match="camera"):
        write_labelling(tmp_path / "out", picks, (), fails)
    assert not list(tmp_path.iterdir())
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="not an empty folder"):
        write_labelling(tmp_path / "full", picks, ())
    assert (tmp_path / "full" / "mine.txt").read_text() == "mine"
