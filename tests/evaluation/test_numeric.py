"""Errors of raw outputs: held against the size of what they belong to, and gathered without being kept."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from throughline.evaluation.numeric import TOLERANCES, NumericDifference, OutputError, Tolerance, apart

FULL = TOLERANCES["float32"]


def compared(one: np.ndarray, other: np.ndarray, tolerance: Tolerance = FULL, **options: bool) -> OutputError:
    difference = NumericDifference("out", tolerance, **options)
    difference.add(one, other)
    return difference.done()


def failed(found: OutputError, tolerance: Tolerance = FULL) -> list[str]:
    return [check.name for check in found.checks(tolerance) if not check.passed]


def boxes_and_scores() -> np.ndarray:
    random = np.random.default_rng(0)
    return np.concatenate([random.uniform(0, 640, (1, 4, 900)), random.random((1, 6, 900))], axis=1).astype(np.float32)


@given(arrays(np.float32, st.tuples(st.integers(1, 4), st.integers(1, 9)), elements=st.floats(-1e3, 1e3, width=32)))
def test_an_output_never_differs_from_itself(values: np.ndarray) -> None:
    found = compared(values, values.copy())
    assert found.max_abs == found.mean_abs == found.outside == 0
    assert failed(found) == []


def test_figures_are_what_numpy_says() -> None:
    one = np.array([[1.0, 2.0, 3.0, 4.0]], np.float32)
    other = one + np.array([[0.0, 0.1, 0.0, -0.3]], np.float32)
    found = compared(one, other)
    assert found.max_abs == pytest.approx(0.3, rel=1e-5)
    assert found.mean_abs == pytest.approx(0.1, rel=1e-5)
    assert found.cosine == pytest.approx(float((one @ other.T)[0, 0] / np.linalg.norm(one) / np.linalg.norm(other)))


def test_a_percentile_is_right_to_a_few_hundredths() -> None:
    error = np.random.default_rng(1).exponential(1.0, (1, 10_000)).astype(np.float32)
    found = compared(np.full_like(error, 100), 100 + error)
    assert found.p99_abs == pytest.approx(np.percentile(error, 99), rel=0.07)


def test_an_error_in_scores_is_seen_beside_boxes_in_pixels() -> None:
    right = boxes_and_scores()
    wrong = right.copy()
    wrong[:, 4:] += 0.01
    assert compared(right, wrong).cosine > FULL.cosine  # all values together hide it
    assert failed(compared(right, wrong)) == ["numeric out: beyond tolerance"]


def test_rounding_of_another_runtime_is_no_error() -> None:
    right = boxes_and_scores()
    wrong = right * (1 + np.random.default_rng(2).normal(0, 1e-5, right.shape).astype(np.float32))
    assert failed(compared(right, wrong)) == []


def test_infinities_of_the_candidate_alone_are_counted_and_those_of_both_are_not() -> None:
    right = np.array([[1.0, -np.inf, 3.0]], np.float32)
    assert failed(compared(right, right.copy())) == []
    found = compared(right, np.array([[np.nan, -np.inf, 3.0]], np.float32))
    assert found.not_finite == 1
    assert "numeric out: finite" in failed(found)


def test_another_shape_is_said() -> None:
    found = compared(np.zeros((1, 4), np.float32), np.zeros((1, 5), np.float32))
    assert [check.observed for check in found.checks(FULL)] == ["[1, 5] instead of [1, 4]"]
    assert failed(found)


def test_whole_numbers_are_the_same_or_not() -> None:
    right = np.arange(10, dtype=np.int64)[None]
    assert failed(compared(right, right.copy())) == []
    assert failed(compared(right, right + (right == 3)))


def test_a_tolerance_given_by_hand_is_in_the_outputs_own_unit() -> None:
    by_hand = Tolerance(0.5, 0.0, 0.9, 0.0, absolute=True)
    right = np.full((1, 8), 1000, np.float32)
    assert failed(compared(right, right + np.float32(0.25), by_hand), by_hand) == []
    assert failed(compared(right, right + np.float32(1), by_hand), by_hand)


def test_halves_and_eight_bits_are_not_judged_by_their_worst_value() -> None:
    right = boxes_and_scores()
    wrong = right.copy()
    wrong[0, 0, 0] += 20
    assert failed(compared(right, wrong))
    assert failed(compared(right, wrong, TOLERANCES["int8"]), TOLERANCES["int8"]) == []


def test_rows_in_the_order_of_scores_are_left_to_matching() -> None:
    right = boxes_and_scores()
    assert failed(compared(right, right[:, :, ::-1], ranked=True)) == []


def test_apart_is_infinite_where_only_the_candidate_is_not_finite() -> None:
    right = {"out": np.ones((1, 4), np.float32)}
    assert apart(right, {"out": np.full((1, 4), 1.1, np.float32)}) == pytest.approx(0.1, rel=1e-4)
    assert apart(right, {"out": np.full((1, 4), np.inf, np.float32)}) == np.inf
