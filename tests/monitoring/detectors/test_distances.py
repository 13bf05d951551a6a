"""The distances against scipy's, and the two detectors of streams against what their papers promise."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from throughline.monitoring.detectors import DETECTORS, Reference
from throughline.monitoring.detectors._calibrated import Chance
from throughline.monitoring.detectors._stream import memory_of
from throughline.monitoring.detectors.adwin import Memory
from throughline.monitoring.detectors.ks import gap
from throughline.monitoring.detectors.page_hinkley import _limit
from throughline.monitoring.detectors.wasserstein import moved
from throughline.testing.detectors import noise


def largest_gap(one: list[float], other: list[float]) -> float:
    """By its definition."""
    shares = [[np.mean(np.array(side) <= at) for side in (one, other)] for at in (*one, *other)]
    return float(max(abs(a - b) for a, b in shares))


several = st.lists(st.floats(-5, 5).map(lambda value: round(value, 1)), min_size=1, max_size=30)


@given(several, several)
def test_the_gap_is_what_it_is_defined_as_and_the_way_is_scipys(a: list[float], b: list[float]) -> None:
    one, other = np.sort(np.array(a)), np.sort(np.array(b))
    assert gap(one, other) == pytest.approx(largest_gap(a, b), abs=1e-12)
    assert moved(one, other) == pytest.approx(scipy.stats.wasserstein_distance(one, other), abs=1e-9)


def test_the_g_test_is_scipys() -> None:
    chance = np.random.default_rng(0)
    words = np.array(["a", "b", "c"], object)
    before, now = words[chance.integers(0, 3, 400)], words[chance.integers(0, 3, 50)]
    score = DETECTORS.make("g_test", Reference(before, 50, ordered=False)).score(now)
    counts = [[int((side == word).sum()) for word in words] for side in (before, now)]
    expected = scipy.stats.chi2_contingency(counts, lambda_="log-likelihood").statistic
    assert score.statistic == pytest.approx(expected)


def test_on_rows_that_stand_alone_p_is_nearly_that_of_the_textbook() -> None:
    chance = np.random.default_rng(1)
    detector = DETECTORS.make("ks", Reference(chance.normal(size=4000), 100, ordered=False))
    ours, theirs = [], []
    before = np.random.default_rng(1).normal(size=4000)
    for shift in (0.1, 0.2, 0.3, 0.4):
        now = chance.normal(size=100) + shift
        ours.append(detector.score(now).p)
        theirs.append(scipy.stats.ks_2samp(before, now).pvalue)
    assert all(abs(math.log10(a / b)) < 1 for a, b in zip(ours, theirs, strict=True)), (ours, theirs)


def test_the_discrepancy_sees_what_no_single_number_shows() -> None:
    chance = np.random.default_rng(2)
    before = chance.normal(size=(600, 2))
    along = chance.normal(size=(60, 1))
    now = np.hstack([along, along + 0.1 * chance.normal(size=(60, 1))])
    assert DETECTORS.make("mmd", Reference(before, 60, ordered=False)).score(now).drifted
    each = [DETECTORS.make("ks", Reference(before[:, at], 60, ordered=False)).score(now[:, at]) for at in (0, 1)]
    assert not any(score.drifted for score in each)


@pytest.mark.parametrize("memory", [0.0, 0.5, 0.8])
def test_how_long_a_stream_remembers_is_found(memory: float) -> None:
    found = [memory_of(noise(20_000, memory, seed)) for seed in range(4)]
    assert np.mean(found) == pytest.approx((1 + memory) / (1 - memory), rel=0.15)
    assert memory_of(np.ones(100)) == 1.0


def test_page_and_hinkley_wait_as_long_for_a_false_alarm_as_was_asked() -> None:
    run, allowed = 500.0, 0.5
    limit, chance, lasted = _limit(allowed, 1.0, run), np.random.default_rng(3), []
    for _ in range(150):
        level, at = 0.0, 0
        while level <= limit:
            level, at = max(0.0, level + chance.normal() - allowed), at + 1
        lasted.append(at)
    # the formula is for small steps: with whole ones the wait is longer, never shorter
    assert run < np.mean(lasted) < 6 * run


def test_adwin_keeps_what_is_alike_in_few_buckets_and_drops_the_old_world() -> None:
    chance, memory = np.random.default_rng(4), Memory(0.002)
    for value in np.clip(chance.normal(0.3, 0.05, 4000), 0, 1).tolist():
        memory.take(value)
    assert sum(many for many, _, _ in memory.buckets) == 4000
    assert len(memory.buckets) < 70
    for value in np.clip(chance.normal(0.6, 0.05, 400), 0, 1).tolist():
        memory.take(value)
    count = sum(many for many, _, _ in memory.buckets)
    assert 300 < count < 450
    assert sum(total for _, total, _ in memory.buckets) / count == pytest.approx(0.6, abs=0.03)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=200))
def test_adwins_buckets_hold_the_mean_and_the_spread_of_all_they_keep(values: list[float]) -> None:
    memory = Memory(1e-12)
    for value in values:
        memory.take(value)
    kept = sum(many for many, _, _ in memory.buckets)
    assert sum(total for _, total, _ in memory.buckets) == pytest.approx(sum(values[len(values) - kept :]))


@given(st.lists(st.floats(0, 100), min_size=10, max_size=60), st.floats(0, 200), st.floats(0, 200))
def test_more_distance_is_never_more_likely(drawn: list[float], one: float, other: float) -> None:
    chance = Chance(np.array(drawn), 8.0, 1)
    if chance.known:
        near, far = sorted((one, other))
        assert 0 <= chance.p(far) <= chance.p(near) <= 1


def test_a_short_reference_asks_for_more() -> None:
    drawn = np.random.default_rng(5).chisquare(5, 200)
    assert Chance(drawn, 5.0, 2).threshold(0.001) > Chance(drawn, 50.0, 2).threshold(0.001)
