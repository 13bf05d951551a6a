"""Which of what was tried is the answer: the fastest that holds, and never one that only looks so."""

from __future__ import annotations

import dataclasses

import pytest

from throughline.evaluation.front import Setting, Tried, answer, front, holds
from throughline.evaluation.non_inferiority import NonInferiority

PLAINEST = ("onnxruntime float32", "openvino float32", "openvino int8")


def tried(recipe: str, ratio: float, metric: float, decision: str = "passed", latency: float = 10.0) -> Tried:
    held = NonInferiority("mAP50-95", 0.5, metric, metric - 0.5, metric - 0.51, metric - 0.49, 0.005, decision, 0, 1000)
    return Tried(Setting(recipe, 640, 1, 1), 100 * ratio, ratio, latency, metric, held, 1, 1.0)


def test_the_front_is_what_nothing_beats_in_both() -> None:
    slow, fast = tried("onnxruntime float32", 1.0, 0.50), tried("openvino int8", 3.0, 0.49)
    beaten = tried("openvino float32", 0.9, 0.49)
    unknown = dataclasses.replace(tried("openvino float32", 9.0, float("nan")), held=None)
    assert front([slow, beaten, fast, unknown]) == [fast, slow]


def test_the_answer_is_the_fastest_that_holds() -> None:
    every = [
        tried("onnxruntime float32", 1.0, 0.50),
        tried("openvino float32", 1.5, 0.50),
        tried("openvino int8", 3.0, 0.49, "undecided"),
    ]
    assert answer(every, PLAINEST, None, accept_point_estimate=False) == every[1]
    assert answer([one for one in every if one.held.decision != "passed"], PLAINEST, None, False) is None


def test_a_point_estimate_is_taken_only_where_that_is_accepted_and_within_the_margin() -> None:
    near, far = tried("openvino int8", 3.0, 0.497, "undecided"), tried("openvino int8", 4.0, 0.48, "undecided")
    assert not holds(near, False)
    assert holds(near, True)
    assert not holds(far, True)
    assert answer([near, far], PLAINEST, None, True) == near


def test_a_breath_of_difference_in_speed_does_not_decide() -> None:
    plain, other = tried("openvino float32", 2.00, 0.50), tried("openvino int8", 2.05, 0.50)
    assert answer([other, plain], PLAINEST, None, False) == plain
    better = tried("openvino int8", 2.05, 0.501)
    assert answer([plain, better], PLAINEST, None, False) == better


@pytest.mark.parametrize(("target", "expected"), [(50.0, 0), (12.0, 1), (6.0, 2), (1.0, None)])
def test_with_a_latency_to_meet_it_is_the_most_accurate_that_meets_it(target: float, expected: int | None) -> None:
    every = [
        tried("onnxruntime float32", 1.0, 0.502, latency=40.0),
        tried("openvino float32", 2.0, 0.500, latency=10.0),
        tried("openvino int8", 4.0, 0.499, latency=5.0),
    ]
    best = answer(every, PLAINEST, target, accept_point_estimate=False)
    assert best == (None if expected is None else every[expected])
