"""The tests and effects of paired samples: beside scipy's and published figures, and where there is nothing to tell."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, stats

from throughline.contracts.errors import InputError
from throughline.stats.difference import judge
from throughline.stats.discordance import (
    Discordance,
    difference_interval,
    mcnemar,
    mcnemar_exact,
    odds_ratio,
    risk_difference,
)
from throughline.stats.paired import cohen_dz, mean_interval, t_test, wilcoxon
from throughline.stats.power import detectable, power_of_t, samples_needed
from throughline.stats.runs import hedges_g, over_runs_and_samples, welch
from throughline.stats.several import holm

SAME = np.zeros(9)


def test_models_that_agree_everywhere_are_not_told_apart() -> None:
    assert (t_test(SAME).p, wilcoxon(SAME).p) == (1.0, 1.0)
    assert mean_interval(SAME) == (0.0, 0.0)
    assert cohen_dz(SAME).value == 0.0
    assert mcnemar(Discordance(0, 0, 50)).p == mcnemar_exact(Discordance(0, 0, 50)).p == 1.0
    assert math.isnan(odds_ratio(Discordance(0, 0, 50)).value)
    assert welch(np.ones(3), np.ones(3)).test.p == 1.0


def test_a_shift_that_is_the_same_everywhere_is_certain() -> None:
    assert t_test(SAME + 0.5).p == 0.0
    assert wilcoxon(SAME + 0.5).p < 0.05
    assert cohen_dz(SAME - 0.5).value == -math.inf
    assert welch(np.ones(3), np.full(3, 2.0)).test.p == 0.0


def test_students_t_is_scipys_and_a_shift_but_for_rounding_is_no_fault() -> None:
    first, second = np.random.default_rng(1).normal(0, 1, (2, 30))
    found, theirs = t_test(second - first), stats.ttest_rel(second, first)
    assert (found.statistic, found.p) == (pytest.approx(theirs.statistic), pytest.approx(theirs.pvalue))
    assert mean_interval(second - first) == pytest.approx(tuple(theirs.confidence_interval()))
    assert t_test((first + 0.01) - first).p < 1e-100
    assert welch(np.full(3, 0.9), np.array([0.9, 0.95, 0.97])).low < 0.04


def test_zeros_say_nothing_to_wilcoxon_and_few_differences_are_counted_exactly() -> None:
    moved = np.array([0.3, -0.1, 0.2, 0.5, 0.4])
    assert wilcoxon(np.concatenate([moved, np.zeros(30)])).p == wilcoxon(moved).p == stats.wilcoxon(moved).pvalue


@pytest.mark.parametrize("wrong", [np.ones(1), np.array([1.0, np.nan]), np.ones((2, 2)), np.empty(0)])
def test_what_tells_nothing_is_refused(wrong: np.ndarray) -> None:
    for function in (t_test, wilcoxon, mean_interval, cohen_dz):
        with pytest.raises(InputError, match="tell nothing"):
            function(wrong)
    with pytest.raises(InputError, match="tell nothing of the next"):
        welch(wrong, np.ones(3))


def test_the_interval_of_dz_is_where_a_noncentral_t_gives_this_much_once_in_forty_times() -> None:
    rows = np.random.default_rng(0).normal(0.4, 1, 25)
    effect = cohen_dz(rows)
    seen = t_test(rows).statistic
    assert effect.value == pytest.approx(seen / 5)
    assert stats.nct.sf(seen, 24, effect.low * 5) == pytest.approx(0.025, abs=1e-6)
    assert stats.nct.cdf(seen, 24, effect.high * 5) == pytest.approx(0.025, abs=1e-6)


def test_the_mid_p_counts_what_was_seen_by_half() -> None:
    found = Discordance(3, 12, 100)
    exact = stats.binomtest(3, 15).pvalue
    assert mcnemar_exact(found).p == pytest.approx(exact)
    assert mcnemar(found).p == pytest.approx(exact - stats.binom.pmf(3, 15, 0.5))
    assert mcnemar(Discordance(4, 4, 20)).p == pytest.approx(1.0)
    assert (risk_difference(found).value, odds_ratio(found).value) == (0.09, pytest.approx(4.0))


@given(st.integers(0, 20), st.integers(0, 20), st.integers(1, 100))
def test_tangos_interval_ends_where_its_score_says(lost: int, won: int, both: int) -> None:
    """Against the definition itself: the likeliest shares under each difference, found by search."""
    found = Discordance(lost, won, lost + won + both)
    low, high = difference_interval(found)
    assert low <= found.difference <= high
    for edge in (low, high):
        if 1e-6 < abs(edge) < 1 - 1e-6:
            assert abs(score(found, edge)) == pytest.approx(1.96, abs=2e-3)


def score(found: Discordance, difference: float) -> float:
    many, lost, won = found.samples, found.lost, found.won
    rest = many - lost - won

    def unlikely(share: float) -> float:
        shares = (share, share + difference, 1 - 2 * share - difference)
        return -sum(n * math.log(max(p, 1e-300)) for n, p in zip((lost, won, rest), shares, strict=True) if n)

    least, most = max(0.0, -difference), (1 - difference) / 2
    best = optimize.minimize_scalar(unlikely, bounds=(least, most), method="bounded", options={"xatol": 1e-10}).x
    return (won - lost - many * difference) / math.sqrt(many * (2 * best + difference * (1 - difference)))


def test_counts_that_cannot_be_are_refused() -> None:
    for wrong in ((-1, 0, 5), (3, 3, 5), (0, 0, 0)):
        with pytest.raises(InputError, match="cannot be"):
            Discordance(*wrong)


def test_holm_is_what_its_table_says_and_passes_over_what_was_not_asked() -> None:
    assert holm(np.array([0.01, 0.04, np.nan, 0.03])).tolist() == pytest.approx(
        [0.03, 0.06, math.nan, 0.06], nan_ok=True
    )
    assert holm(np.empty(0)).tolist() == []
    with pytest.raises(InputError, match="from 0 to 1"):
        holm(np.array([1.2]))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_keeps_the_order_and_lies_between_a_p_and_bonferronis(several: list[float]) -> None:
    given_, corrected = np.array(several), holm(np.array(several))
    assert (np.argsort(given_, kind="stable") == np.argsort(corrected + given_ * 1e-9, kind="stable")).all()
    assert (corrected >= given_).all()
    assert (corrected <= np.minimum(1, given_ * len(several)) + 1e-12).all()


def test_power_grows_to_certainty_and_nothing_is_needed_for_no_difference() -> None:
    assert [power_of_t(0.5, 1.0, many) for many in (10, 34, 100)] == pytest.approx([0.293, 0.808, 0.9986], abs=1e-3)
    assert (power_of_t(0.5, 0.0, 10), power_of_t(50, 1.0, 100)) == (1.0, 1.0)
    assert math.isnan(power_of_t(0.5, 1.0, 1))
    assert samples_needed(0.5, 1.0) == 34
    assert samples_needed(0.0, 1.0) is samples_needed(1e-9, 1.0) is None
    assert detectable(0.1, 30) == pytest.approx(0.29, abs=0.001)


def test_of_too_few_units_there_is_no_interval_and_draws_without_anything_are_left_out() -> None:
    assert math.isnan(judge(0.1, np.array([0.1, 0.2]), 4).low)
    whole = judge(0.1, np.array([0.05, np.nan, 0.15, 0.1]), 10)
    assert whole.low < 0.1 < whole.high
    assert judge(0.0, np.zeros(5), 9).p == 1.0


def test_welch_is_scipys_and_one_run_says_nothing() -> None:
    first, second = np.array([0.50, 0.52, 0.51]), np.array([0.55, 0.50, 0.57, 0.58])
    found, theirs = welch(first, second), stats.ttest_ind(second, first, equal_var=False)
    assert (found.test.p, found.freedom) == (pytest.approx(theirs.pvalue), pytest.approx(theirs.df))
    assert (found.low, found.high) == pytest.approx(tuple(theirs.confidence_interval()))
    effect = hedges_g(first, second)
    assert effect.low < effect.value < effect.high
    with pytest.raises(InputError, match="at least two runs"):
        welch(first[:1], second)
    with pytest.raises(InputError, match="cannot be compared"):
        over_runs_and_samples(first, second, np.ones((2, 9)), np.ones((4, 9)), 30)
