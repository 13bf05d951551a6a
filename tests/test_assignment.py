"""The solver against SciPy's, and against what it promises."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from throughline.assignment import _assign_few, _assign_many, assign, pair

scipy = pytest.importorskip("scipy.optimize")

SIDES = st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 2**32 - 1), st.booleans())


def costs(rows: int, columns: int, seed: int, with_ties: bool) -> np.ndarray:
    chance = np.random.default_rng(seed)
    size = (rows, columns)
    return chance.integers(0, 5, size).astype(float) if with_ties else chance.normal(0, 3, size)


@given(SIDES)
@settings(max_examples=200, deadline=None)
def test_no_assignment_is_cheaper(case: tuple[int, int, int, bool]) -> None:
    fewer, more = sorted(case[:2])
    cost = costs(fewer, more, *case[2:])
    rows, columns = assign(cost)
    best = scipy.linear_sum_assignment(cost)
    assert rows.tolist() == list(range(fewer))
    assert len(set(columns.tolist())) == fewer
    assert cost[rows, columns].sum() == pytest.approx(cost[best].sum())


@given(SIDES)
@settings(max_examples=200, deadline=None)
def test_the_way_for_few_and_the_way_for_many_decide_alike(case: tuple[int, int, int, bool]) -> None:
    cost = costs(*sorted(case[:2]), *case[2:])
    assert _assign_few(cost.tolist(), cost.shape[1]).tolist() == _assign_many(cost).tolist()


@given(SIDES, st.floats(-2, 5))
@settings(max_examples=200, deadline=None)
def test_no_pairing_gains_more_and_none_is_over_the_limit(case: tuple[int, int, int, bool], limit: float) -> None:
    cost = costs(*case)
    rows, columns = pair(cost, limit)
    assert (cost[rows, columns] < limit).all()
    assert len(set(rows.tolist())) == len(set(columns.tolist())) == len(rows)
    gain = np.maximum(limit - cost, 0)
    best = scipy.linear_sum_assignment(gain, maximize=True)
    assert (limit - cost[rows, columns]).sum() == pytest.approx(gain[best].sum())


def test_what_is_infinitely_dear_is_never_paired() -> None:
    cost = np.array([[np.inf, np.inf], [1.0, np.inf], [2.0, np.inf]])
    rows, columns = pair(cost, 10.0)
    assert (rows.tolist(), columns.tolist()) == ([1], [0])
