"""The smallest set of layers to keep in higher precision."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.append(str(Path(__file__).parents[1] / "faults"))

import architectures
from edits import set_weights

from throughline.contracts.errors import InputError
from throughline.models.artifact import read_artifact
from throughline.models.repair import links_for, ranked_by_damage, smallest_keep


@given(st.sets(st.integers(0, 19), max_size=4))
def test_what_is_kept_is_enough_and_none_of_it_can_go(needed: set[int]) -> None:
    ranked = [(f"layer{number}",) for number in range(20)]
    wanted = {f"layer{number}" for number in needed}
    kept = smallest_keep(ranked, lambda keep: wanted <= set(keep), tries=99)
    assert kept is not None
    assert set(kept) == wanted


def test_nothing_is_kept_where_making_it_anew_is_enough() -> None:
    assert smallest_keep([("a",), ("b",)], lambda keep: True) == ()


def test_layers_that_were_merged_are_kept_together() -> None:
    assert smallest_keep([("relu", "conv"), ("add",)], lambda keep: "conv" in keep) == ("relu", "conv")


def test_where_no_set_is_enough_there_is_none_and_no_more_than_so_many_are_tried() -> None:
    asked: list[tuple[str, ...]] = []

    def passes(keep: tuple[str, ...]) -> bool:
        asked.append(keep)
        return False

    assert smallest_keep([(f"layer{number}",) for number in range(500)], passes, tries=8) is None
    assert len(asked) <= 10
    assert smallest_keep([], passes) is None


def test_the_layer_that_does_the_damage_comes_first(tmp_path: Path) -> None:
    reference = architectures.segmenter(tmp_path)
    model = onnx.load(reference.path)
    set_weights(model, "join1.weight", lambda w: w + np.random.default_rng(0).normal(0, 0.3, w.shape))
    onnx.save(model, tmp_path / "wrong.onnx")
    feed = {"images": np.random.default_rng(0).random((1, 3, 64, 64), np.float32)}
    assert "join1" in ranked_by_damage(reference.path, tmp_path / "wrong.onnx", [feed])[0]


def test_what_cannot_be_made_anew_is_said(tmp_path: Path) -> None:
    candidate = read_artifact(architectures.perceptron(tmp_path).path)
    with pytest.raises(InputError, match="keeps layers of ONNX files"):
        links_for(candidate, "float32", (), None)
    with pytest.raises(InputError, match="takes pictures to calibrate on"):
        links_for(candidate, "int8", (), None)
    assert [link.name for link in links_for(candidate, "float16", ("first",), None)] == ["half"]
