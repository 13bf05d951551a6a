"""Models measured in processes of their own: in turn, every sample told, and an end that says why."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from throughline.contracts.errors import InputError, ThroughlineError, Unavailable
from throughline.testing.world import World, write_video
from throughline.video.measuring import measure_in_turn, names_apart
from throughline.video.measuring_worker import Setup


@pytest.fixture
def setup(blob_model: Path, tmp_path: Path) -> Setup:
    clip = write_video(World(3, 96, 64), tmp_path / "clip.mp4", 40)
    return Setup("engine", str(blob_model), "auto", "cpu", 1, None, None, "yolo", str(clip), False, "")


def test_each_takes_its_turn_in_every_round(setup: Setup) -> None:
    series = measure_in_turn({"a": setup, "b": dataclasses.replace(setup, batch=4)}, 2, seed=0)
    for one in series.values():
        assert len(one.rounds) == 2
        for each in one.rounds:
            assert each.turn.samples == one.held.batch * len(each.turn.calls)
            assert each.turn.wall == pytest.approx(sum(each.turn.calls))
            assert each.turn.peak_mb > 10
    assert series["b"].held.inputs == ("images float32[4, 3, 64, 64]",)
    assert series["a"].held.fed == "16 frames of 96x64 of clip.mp4"
    for first, second in zip(series["a"].rounds, series["b"].rounds, strict=True):
        assert {first.place, second.place} == {0, 1}


def test_a_whole_run_writes_every_frame_and_leaves_nothing(setup: Setup) -> None:
    [one] = measure_in_turn({"a": dataclasses.replace(setup, level="run")}, 2, seed=0).values()
    assert [each.turn.samples for each in one.rounds] == [40, 40]
    assert all(each.turn.calls == () for each in one.rounds)
    assert one.held.warm_up == "a run of 40 frames"


def test_what_is_wrong_in_the_other_process_is_told_here(setup: Setup, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"missing\.onnx"):
        measure_in_turn({"a": dataclasses.replace(setup, model=str(tmp_path / "missing.onnx"))}, 1, seed=0)
    with pytest.raises(Unavailable, match="cannot use gpu:7"):
        measure_in_turn({"a": dataclasses.replace(setup, device="gpu:7")}, 1, seed=0)


def test_a_process_that_dies_is_noticed_and_its_last_words_are_told(setup: Setup) -> None:
    with pytest.raises(ThroughlineError, match=r"ended with code 1: KeyError: 'nothing'"):
        measure_in_turn({"a": dataclasses.replace(setup, level="nothing")}, 1, seed=0)


def test_names_that_are_alike_are_told_apart() -> None:
    assert names_apart(["a", "b", "a", "a"]) == ["a", "b", "a (2)", "a (3)"]
