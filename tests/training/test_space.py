"""Ranges as people write them: what they mean, and what they cannot mean."""

from __future__ import annotations

from pathlib import Path

import pytest

from throughline.contracts.errors import InputError
from throughline.training.ranges import ranges_of
from throughline.training.space import Choice, Range, dimension


@pytest.mark.parametrize(
    ("written", "means", "points"),
    [
        ("1e-4 .. 1e-2 log", Range(1e-4, 1e-2, log=True), 5),
        ("2 .. 8 step 2", Range(2, 8, whole=True, step=2), 4),
        ("1 .. 3", Range(1, 3, whole=True), 3),
        ("0.1 .. 0.5", Range(0.1, 0.5), 5),
        ("-3..-1", Range(-3, -1, whole=True), 3),
        ("adam | sgd", Choice(("adam", "sgd")), 2),
        ((0.0, 1.0), Range(0, 1), 5),
        ((1, 4), Range(1, 4, whole=True), 4),
        (["a", "b", "c"], Choice(("a", "b", "c")), 3),
    ],
)
def test_what_is_written_is_what_is_meant(written: object, means: object, points: int) -> None:
    found = dimension(written)
    assert found == means
    assert found is not None
    assert len(found.points()) == points
    if isinstance(written, str):
        assert dimension(str(found)) == means


@pytest.mark.parametrize("written", ["5", "adam", "runs/a..b", 0.5, 3, True, ""])
def test_one_value_is_no_range(written: object) -> None:
    assert dimension(written) is None


@pytest.mark.parametrize(
    "written", ["2 .. 1", "1 .. 1", "0 .. 1 log", "1 .. 2 log step 1", "1 .. 2 step 5", "1 .. 2 steps", "a | a", ["x"]]
)
def test_what_nobody_can_mean_is_an_error(written: object) -> None:
    with pytest.raises(InputError):
        dimension(written)


def test_a_change_stands_above_the_file_and_an_error_says_where_it_is(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("trainer: torch_loop\ndata: a|b.npz\nlr: 1e-3 .. 1e-1 log\nbatch: 4 | 8\n")
    fixed, space = ranges_of(recipe, {"batch": "16", "epochs": "1 .. 3", "seed": None})
    assert fixed == {"batch": "16"}
    assert space == {"lr": Range(1e-3, 1e-1, log=True), "epochs": Range(1, 3, whole=True)}
    recipe.write_text("trainer: torch_loop\nlr: 3 .. 1\n")
    with pytest.raises(InputError, match=r"recipe\.yaml:2: lr"):
        ranges_of(recipe, {})
