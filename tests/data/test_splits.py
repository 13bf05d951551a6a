"""Splits hold their promises for any names, groups, shares and seeds."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from throughline.contracts.errors import InputError
from throughline.data.splits import split

SHARES = {"train": 0.7, "val": 0.2, "test": 0.1}

rows = st.lists(st.tuples(st.text(min_size=1, max_size=6), st.text(max_size=2)), min_size=1, max_size=60, unique=True)


@st.composite
def some_shares(draw: st.DrawFn) -> dict[str, float]:
    weights = draw(st.lists(st.integers(1, 100), min_size=1, max_size=4))
    return {f"part {number}": weight / sum(weights) for number, weight in enumerate(weights)}


def groups_of(data: list[tuple[str, str]]) -> list[str]:
    return [group or name for name, group in data]


@settings(max_examples=150, deadline=None)
@given(rows, some_shares(), st.integers(0, 2**40))
def test_every_row_is_in_one_split_and_groups_stay_whole(
    data: list[tuple[str, str]], shares: dict[str, float], seed: int
) -> None:
    names, groups = [name for name, _ in data], [group for _, group in data]
    assume(len(set(groups_of(data))) >= len(shares))
    parts = split(names, groups, shares, seed)
    assert list(parts) == list(shares)
    assert sorted(np.concatenate(list(parts.values())).tolist()) == list(range(len(data)))
    assert all(len(part) and part.dtype == np.int64 and (np.diff(part) > 0).all() for part in parts.values())
    homes: dict[str, set[str]] = {}
    for label, part in parts.items():
        for row in part:
            homes.setdefault(groups_of(data)[row], set()).add(label)
    assert all(len(home) == 1 for home in homes.values())
    again = split(names, groups, shares, seed)
    assert all((parts[label] == again[label]).all() for label in shares)


@settings(max_examples=100, deadline=None)
@given(rows, st.integers(0, 2**40), st.randoms(use_true_random=False))
def test_the_order_of_the_rows_decides_nothing(data: list[tuple[str, str]], seed: int, dice: random.Random) -> None:
    assume(len(set(groups_of(data))) >= len(SHARES))
    other = dice.sample(data, len(data))

    def homes(data: list[tuple[str, str]]) -> dict[tuple[str, str], str]:
        parts = split([name for name, _ in data], [group for _, group in data], SHARES, seed)
        return {data[row]: label for label, part in parts.items() for row in part}

    assert homes(data) == homes(other)


@settings(max_examples=60, deadline=None)
@given(st.integers(100, 400), st.integers(1, 300), st.integers(0, 2**40))
def test_rows_that_come_later_move_none_that_were_there(before: int, more: int, seed: int) -> None:
    names = [f"frame {row}" for row in range(before + more)]
    groups = [f"clip {row // 2}" for row in range(before + more)]
    first, second = split(names[:before], groups[:before], SHARES, seed), split(names, groups, SHARES, seed)
    for label in SHARES:
        assert (second[label][second[label] < before] == first[label]).all()


def test_shares_are_met_as_chance_meets_them() -> None:
    names = [str(row) for row in range(1000)]
    counts = [[len(part) for part in split(names, [""] * 1000, SHARES, seed).values()] for seed in range(200)]
    assert np.abs(np.mean(counts, axis=0) - [700, 200, 100]).max() < 3
    assert 0.9 <= np.mean([175 <= val <= 225 for _, val, _ in counts]) <= 1


def test_a_split_is_not_left_empty() -> None:
    for seed in range(200):
        assert all(map(len, split(["a", "b", "c"], ["", "", ""], SHARES, seed).values()))


def test_these_rows_fall_here_for_ever() -> None:
    names = [f"images/{number:06}.png" for number in range(12)]
    parts = split(names, [""] * 12, {"train": 0.75, "val": 0.25}, 0)
    assert parts["val"].tolist() == [1, 2, 9]


@pytest.mark.parametrize(
    ("names", "groups", "shares", "says"),
    [
        (["a"], [], {"train": 1.0}, "1 names and 0 groups"),
        (["a"], [""], {}, "no split to fill"),
        (["a", "b"], ["", ""], {"train": 0.5, "val": 0.4}, "0.9 together"),
        (["a", "b"], ["", ""], {"train": 1.2, "val": -0.2}, "'train' is 1.2"),
        (["a", "b"], ["", ""], {"train": float("nan"), "val": 0.5}, "'train' is nan"),
        (["a", "b"], ["v", "v"], {"train": 0.5, "val": 0.5}, "one group of rows cannot fill 2 splits"),
    ],
)
def test_what_cannot_be_split_is_said(names: list[str], groups: list[str], shares: dict[str, float], says: str) -> None:
    with pytest.raises(InputError, match=says):
        split(names, groups, shares, 0)
