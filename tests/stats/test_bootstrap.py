"""Draws and their intervals: the same for the same seed, and as wide as they claim."""

from __future__ import annotations

import numpy as np
import pytest

from throughline.contracts.errors import InputError
from throughline.stats.bootstrap import Interval, corrected_interval, draws, percentile_interval, share_interval, spread


def test_a_draw_takes_as_many_as_there_are_and_the_same_seed_the_same_ones() -> None:
    once, again = (np.concatenate(list(draws(30, 100, seed=3)), axis=1) for _ in range(2))
    assert once.shape == (30, 100)
    assert (once.sum(axis=0) == 30).all()
    assert (once == again).all()
    assert (np.concatenate(list(draws(30, 70, seed=3)), axis=1) == once[:, :70]).all()
    assert not (np.concatenate(list(draws(30, 100, seed=4)), axis=1) == once).all()


def test_what_belongs_together_is_drawn_together() -> None:
    counts = np.concatenate(list(draws(6, 50, groups=["b", "a", "b", "c", "a", "b"])), axis=1)
    assert (counts[[0, 2, 5]] == counts[0]).all()
    assert (counts[[1, 4]] == counts[1]).all()
    assert (counts[[0, 1, 3]].sum(axis=0) == 3).all()


def test_nothing_to_draw_from_is_refused() -> None:
    for samples, resamples in ((0, 10), (10, 0)):
        with pytest.raises(InputError, match="were asked for"):
            next(draws(samples, resamples))


def test_draws_that_hold_nothing_are_left_out_and_nothing_at_all_is_no_interval() -> None:
    part = percentile_interval(0.5, np.array([0.4, np.nan, 0.6]), 3)
    assert (part.low, part.high) == (pytest.approx(0.405), pytest.approx(0.595))
    whole = percentile_interval(float("nan"), np.array([np.nan]), 3)
    assert np.isnan(whole.low)
    assert str(whole) == "nothing to measure"
    assert str(Interval(0.5, 0.25, 0.75, 0.1, 9)) == "0.5000 (0.2500 to 0.7500)"


@pytest.mark.parametrize(("samples", "right", "better"), [(60, 0.7, 0.0), (200, 0.8, 0.05), (400, 0.9, -0.03)])
def test_the_interval_of_a_paired_difference_holds_the_truth_95_times_of_100(
    samples: int, right: float, better: float
) -> None:
    """Two models that are right on the same pictures more often than chance would have it."""
    chance = np.random.default_rng(samples)
    trials = 3000
    hard = chance.random((trials, samples))
    first = hard < right
    moved = np.where(chance.random((trials, samples)) < 0.15, chance.random((trials, samples)), hard)
    second = moved < right + better
    difference = second.astype(float) - first
    drawn = spread(lambda counts: difference @ counts / samples, samples, resamples=600)
    low, high = np.percentile(drawn, (2.5, 97.5), axis=1)
    # A difference of right answers moves in steps: an interval that ends on the truth holds it.
    covered = ((low <= better + 1e-9) & (better - 1e-9 <= high)).mean()
    assert 0.93 <= covered <= 0.97


def test_a_figure_whose_draws_lie_to_one_side_is_moved_back_and_others_are_left_alone() -> None:
    chance = np.random.default_rng(0)
    drawn = chance.normal(0.5, 0.1, 4000)
    even, plain = corrected_interval(float(np.median(drawn)), drawn, 50), percentile_interval(0.5, drawn, 50)
    assert (even.low, even.high) == (pytest.approx(plain.low, abs=1e-3), pytest.approx(plain.high, abs=1e-3))
    moved = corrected_interval(0.45, drawn, 50)
    # Half a standard error to one side: both edges go down by a whole one.
    assert (moved.low, moved.high) == (
        pytest.approx(plain.low - 0.1, abs=0.03),
        pytest.approx(plain.high - 0.1, abs=0.01),
    )
    flat = corrected_interval(1.0, np.ones(100), 50)
    assert (flat.low, flat.high) == (1.0, 1.0)
    outside = corrected_interval(0.0, drawn, 50)
    assert drawn.min() <= outside.low <= outside.high < plain.high


def test_all_of_a_hundred_may_still_be_only_96_of_100() -> None:
    everything, nothing = share_interval(1.0, np.ones(50), 100), share_interval(0.0, np.zeros(50), 100)
    assert (everything.low, everything.high) == (pytest.approx(0.9638, abs=1e-4), 1.0)
    assert (nothing.low, nothing.high) == (0.0, pytest.approx(0.0362, abs=1e-4))
    assert np.isnan(share_interval(1.0, np.ones(50), 4, fewest=5).low)


def test_of_too_few_samples_there_is_no_interval() -> None:
    for interval in (percentile_interval, corrected_interval):
        few = interval(0.5, np.array([0.4, 0.5, 0.6]), 4, fewest=5)
        assert np.isnan(few.low)
        assert str(few) == "0.5000"
        assert np.isfinite(interval(0.5, np.array([0.4, 0.5, 0.6]), 5, fewest=5).low)


@pytest.mark.parametrize(("samples", "right"), [(80, 0.6), (300, 0.85)])
def test_the_corrected_interval_of_a_share_holds_the_truth_95_times_of_100(samples: int, right: float) -> None:
    trials = 1500
    said = (np.random.default_rng(samples).random((trials, samples)) < right).astype(float)
    drawn = spread(lambda counts: said @ counts / samples, samples, resamples=600)
    several = [corrected_interval(value, row, samples) for value, row in zip(said.mean(axis=1), drawn, strict=True)]
    covered = np.mean([one.low - 1e-9 <= right <= one.high + 1e-9 for one in several])
    assert 0.93 <= covered <= 0.97
