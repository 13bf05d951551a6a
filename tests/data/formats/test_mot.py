from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from small_pictures import picture

from throughline.contracts.errors import InputError
from throughline.data.formats.mot import CHALLENGE
from throughline.data.reading import open_data
from throughline.testing.world import LABELS, World, write_mot

WORLD = World(3, 320, 192, fps=20)


def sequence(folder: Path, rows: str, frames: int = 2, seed: int = 0) -> Path:
    for number in range(1, frames + 1):
        picture(folder / "img1" / f"{number:06}.png", seed * 100 + number)
    (folder / "gt").mkdir()
    (folder / "gt" / "gt.txt").write_text(rows)
    return folder


def test_the_world_comes_back_as_it_was_written(tmp_path: Path) -> None:
    data = open_data(write_mot(WORLD, tmp_path / "street", 5))
    assert (data.name, data.format, data.task, data.labels) == ("street", "mot", "track", LABELS)
    assert [sample.name for sample in data] == [f"world-3/{number:06}.jpg" for number in range(1, 6)]
    assert {sample.group for sample in data} == {"world-3"}
    for number, sample in enumerate(data):
        truth, found = sample.truth, WORLD.frame(number)[1].detections
        assert truth is not None
        assert np.allclose(truth.xyxy, found.xyxy)
        assert np.array_equal(truth.class_id, found.class_id)
        assert truth.tracker_id is not None
        assert np.array_equal(truth.tracker_id, found.tracker_id)
        assert np.allclose(truth.data["visibility"], found.data["visibility"], atol=1e-4)
        assert not truth.data["crowd"].any()


def test_several_sequences_are_one_set_and_each_is_a_group(tmp_path: Path) -> None:
    for seed, name in enumerate(("MOT17-10", "MOT17-2")):
        sequence(tmp_path / "set" / "train" / name, "1,1,1,1,10,10,1,1,1\n", seed=seed)
    data = open_data(tmp_path / "set")
    assert (data.name, data.labels) == ("set (train)", CHALLENGE)
    assert [sample.name for sample in data] == [
        "MOT17-2/000001.png", "MOT17-2/000002.png", "MOT17-10/000001.png", "MOT17-10/000002.png",
    ]  # fmt: skip
    assert [sample.group for sample in data] == ["MOT17-2"] * 2 + ["MOT17-10"] * 2
    assert len(open_data(tmp_path / "set" / "train")) == 4


def test_what_is_not_to_be_judged_is_a_crowd(tmp_path: Path) -> None:
    truth = open_data(sequence(tmp_path / "one", "1,4,11,21,10,2,0,8,0.5\n1,5,-5,1,10,9,1,3,1\n")).samples[0].truth
    assert truth is not None
    assert truth.data["crowd"].tolist() == [True, False]
    assert truth.class_id.tolist() == [7, 2]
    assert truth.xyxy.tolist() == [[10, 20, 20, 22], [-6, 0, 4, 9]], "boxes may reach out of the frame there"


def test_the_first_years_lines_have_no_class(tmp_path: Path) -> None:
    truth = open_data(sequence(tmp_path / "one", "1,4,11,2,10,20,1,-1,-1,-1\n2,4,1,1,5,5,1\n")).samples[0].truth
    assert truth is not None
    assert truth.class_id.tolist() == [0]
    assert np.isnan(truth.data["visibility"]).all()


def test_frames_without_truth(tmp_path: Path) -> None:
    folder = sequence(tmp_path / "one", "")
    shutil.rmtree(folder / "gt")
    (folder / "seqinfo.ini").write_text("[Sequence]\nname=night\nseqLength=2\n")
    data = open_data(folder)
    assert (data.task, data.samples[0].truth, data.samples[0].group) == (None, None, "night")


@pytest.mark.parametrize("text", ["no section", "[Sequence]\nimDir=../../elsewhere\n"])
def test_a_sequence_that_leads_elsewhere_is_refused(tmp_path: Path, text: str) -> None:
    folder = sequence(tmp_path / "one", "")
    (folder / "seqinfo.ini").write_text(text)
    with pytest.raises(InputError, match=r"seqinfo\.ini"):
        open_data(folder)
