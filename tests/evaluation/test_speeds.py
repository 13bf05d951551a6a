"""Figures and ratios of turns whose times are known."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from throughline.evaluation.speeds import faster, speed, unmeasured
from throughline.models.measuring import Turn


def turn(*milliseconds: float, batch: int = 1, cpu: float = 0.5) -> Turn:
    calls = tuple(one / 1000 for one in milliseconds)
    return Turn(calls, batch * len(calls), sum(calls), cpu, 100.0)


def whole(frames: int, seconds: float) -> Turn:
    return Turn((), frames, seconds, 2 * seconds, 200.0)


def test_the_figures_are_those_of_every_call() -> None:
    turns = [turn(*range(1, 51)), turn(*range(51, 101))]
    told = speed("m", "engine", "here", 1, turns)
    assert (told.p50_ms, told.calls, told.samples) == (pytest.approx(50.5), 100, 100)
    assert told.p95_ms == pytest.approx(np.percentile(range(1, 101), 95))
    assert told.p99_ms == pytest.approx(np.percentile(range(1, 101), 99))
    assert told.cpu_ms == pytest.approx(10)
    assert told.spread == pytest.approx((75.5 - 25.5) / 50.5)


def test_a_percentile_that_rests_on_nothing_is_not_told() -> None:
    few = speed("m", "engine", "here", 1, [turn(1, 2, 3)])
    assert few.p99_ms is None
    assert "100 calls" in few.lacking["p99"]
    run = speed("m", "run", "here", 1, [whole(60, 2.0), whole(60, 3.0), whole(60, 4.0)])
    assert (run.p50_ms, run.per_second, run.calls) == (None, pytest.approx(20), 3)
    assert run.cpu_ms == pytest.approx(100)
    assert "p50, p95, p99" in run.lacking
    assert not unmeasured("m", "run", "why").measured


def test_a_model_that_is_faster_in_every_round_is_faster() -> None:
    slow = [turn(10 * noise, 10 * noise) for noise in (1, 3, 1.5, 1.1, 2, 1)]
    fast = [turn(*(1000 * call / 1.3 for call in one.calls)) for one in slow]
    told = faster("fast", "slow", "engine", fast, slow)
    assert told.real
    assert told.ratio == pytest.approx(1.3)
    assert (told.low, told.high) == pytest.approx((1.3, 1.3))  # whatever the machine did, it did it to both
    assert str(told) == "fast is 1.30 x as fast as slow (1.30 to 1.30)"
    assert faster("slow", "fast", "engine", slow, fast).ratio == pytest.approx(1 / 1.3)


def test_batches_are_held_to_each_other_by_the_frame() -> None:
    one, four = [turn(10)] * 6, [turn(20, batch=4)] * 6
    assert faster("four", "one", "engine", four, one).ratio == pytest.approx(2)


def test_rounds_that_disagree_tell_no_difference() -> None:
    theirs = [whole(60, 1.0)] * 8
    ours = [whole(60, seconds) for seconds in (0.9, 1.1, 0.95, 1.05, 0.97, 1.02, 0.99, 1.03)]
    told = faster("a", "b", "run", ours, theirs)
    assert told.low is not None
    assert told.high is not None
    assert told.low < 1 < told.high
    assert not told.real
    assert str(told).startswith("no difference can be told between a and b: 1.00 x (")
    assert "faster in 4 of 8 rounds" in str(told)


def test_of_few_rounds_nothing_is_claimed() -> None:
    told = faster("a", "b", "run", [whole(60, 1.0)] * 5, [whole(60, 2.0)] * 5)
    assert (told.low, told.real) == (None, False)
    assert "too few rounds to tell (5): give --rounds 6 or more" in str(told)


def test_where_there_is_no_difference_one_is_seldom_told() -> None:
    random = np.random.default_rng(3)
    told = 0
    for _ in range(200):
        noise = 1 + 0.05 * random.standard_t(3, (2, 10)).clip(-9, 9)
        ours, theirs = ([whole(60, float(one)) for one in row] for row in noise)
        told += faster("a", "b", "run", ours, theirs).real
    assert told <= 14  # 5 % of 200, and what chance adds to that


def test_the_interval_depends_on_the_seed_alone() -> None:
    ours = [whole(60, seconds) for seconds in (0.9, 1.1, 0.95, 1.05, 0.97, 1.02)]
    theirs = [whole(60, 1.0)] * 6
    first = faster("a", "b", "run", ours, theirs)
    assert first == faster("a", "b", "run", ours, theirs)
    assert dataclasses.asdict(first)["rounds"] == 6
