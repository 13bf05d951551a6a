"""Truth that comes late: joined by id, bounded, with everything that cannot be used counted."""

from __future__ import annotations

import math
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from throughline.contracts.errors import InputError
from throughline.contracts.observations import Observation
from throughline.monitoring.truth import LateTruth, absolute_error


def answer(request: str, seconds: float, prediction: str = "cat") -> Observation:
    return Observation(request, seconds, prediction=prediction)


def test_answers_are_judged_in_the_stretch_in_which_they_were_given() -> None:
    truth = LateTruth(every=10)
    for number in range(30):
        assert truth.take(answer(str(number), float(number)))
    for number in reversed(range(30)):
        assert truth.told(str(number), "cat" if number < 10 or number % 2 else "dog")
    points = truth.points()
    assert [(one.start, one.end, one.count, one.value) for one in points] == [
        (0, 10, 10, 1.0), (10, 20, 10, 0.5), (20, 30, 10, 0.5),
    ]  # fmt: skip
    assert points[0].low == pytest.approx(0.7225, abs=1e-4)  # Wilson's, of 10 of 10
    assert points[0].high == pytest.approx(1.0)
    assert points[1].low < 0.5 < points[1].high


def test_what_is_late_double_or_of_nobody_is_counted_and_changes_nothing() -> None:
    truth = LateTruth(patience=100, most=5)
    assert truth.take(answer("a", 0))
    assert not truth.take(answer("a", 1))
    assert truth.told("a", "cat")
    assert not truth.told("a", "dog")
    assert not truth.told("nobody", "dog")
    assert truth.take(answer("b", 2))
    assert truth.take(answer("c", 200))
    assert not truth.told("b", "cat")
    counts = truth.counts()
    assert (counts.joined, counts.waiting, counts.expired) == (1, 1, 1)
    assert (counts.late, counts.duplicate, counts.unknown) == (1, 2, 1)
    assert [(one.count, one.value) for one in truth.points()] == [(1, 1.0)]


def test_numbers_are_judged_by_how_far_they_are_off() -> None:
    truth = LateTruth(score=absolute_error)
    truth.take(answer("a", 0, "3.5"))
    truth.take(answer("b", 0, "2"))
    truth.told("a", "3")
    with pytest.raises(ValueError, match="many"):
        truth.told("b", "many")
    truth.told("b", "4")
    [point] = truth.points()
    assert (point.count, point.value) == (2, 1.25)
    assert math.isnan(point.low)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 12), st.integers(0, 40)), max_size=120), st.integers(1, 6))
def test_every_answer_and_every_truth_is_accounted_for_in_bounded_memory(
    steps: list[tuple[bool, int, int]], most: int
) -> None:
    truth, taken, told = LateTruth(every=5, patience=15, most=most, points=3), 0, 0
    refused = 0
    for is_answer, name, seconds in steps:
        if is_answer:
            taken += truth.take(answer(str(name), float(seconds)))
            refused += 1
        else:
            told += 1
            truth.told(str(name), "cat")
        counts = truth.counts()
        assert counts.waiting <= most
        assert len(truth.points()) <= 3
        assert counts.joined + counts.waiting + counts.expired == taken
        assert counts.joined + counts.late + counts.duplicate + counts.unknown == told + refused - taken


def test_many_threads_may_bring_both() -> None:
    truth = LateTruth()

    def work(part: int) -> None:
        for number in range(300):
            truth.take(answer(f"{part}-{number}", number))
            truth.told(f"{part}-{number}", "cat" if number % 3 else "dog")

    threads = [threading.Thread(target=work, args=(part,)) for part in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    [point] = truth.points()
    assert (point.count, round(point.value * 1200)) == (1200, 800)


def test_bounds_that_make_no_sense_are_refused() -> None:
    with pytest.raises(InputError, match="not over 0"):
        LateTruth(every=0)
