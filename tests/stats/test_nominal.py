"""What "5 %" and "95 %" promise, counted over thousands of made-up comparisons whose truth is known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from throughline.contracts.detections import Detections
from throughline.evaluation.tally import tally
from throughline.stats.bootstrap import draws as bootstrap_draws
from throughline.stats.bootstrap import spread
from throughline.stats.difference import judge, paired_spread
from throughline.stats.discordance import Discordance, difference_interval, mcnemar, mcnemar_exact, odds_ratio
from throughline.stats.paired import Test, cohen_dz, mean_interval, t_test, wilcoxon
from throughline.stats.power import power_of_t, samples_needed
from throughline.stats.runs import over_runs_and_samples, welch
from throughline.stats.several import holm

CASES = 2000
Draw = Callable[[np.random.Generator, int], np.ndarray]


def rejects_as_often_as_it_says(several: list[float]) -> None:
    assert len(several) >= CASES
    assert 0.035 <= np.mean(np.array(several) < 0.05) <= 0.065


def covers_as_often_as_it_says(held: list[bool]) -> None:
    assert len(held) >= CASES
    assert 0.93 <= np.mean(held) <= 0.97


def normal(chance: np.random.Generator, samples: int) -> np.ndarray:
    return chance.normal(0, 1, (CASES, samples))


def wild(chance: np.random.Generator, samples: int) -> np.ndarray:
    return chance.standard_t(3, (CASES, samples))


def often_equal(chance: np.random.Generator, samples: int) -> np.ndarray:
    """Half of the pictures make no difference, as where both models are perfect."""
    return chance.laplace(0, 1, (CASES, samples)) * (chance.random((CASES, samples)) < 0.5)


@pytest.mark.parametrize(
    ("test", "draw", "samples"),
    [(t_test, normal, 6), (t_test, often_equal, 60), (wilcoxon, wild, 40), (wilcoxon, often_equal, 60)],
)
def test_a_true_null_is_rejected_five_times_of_a_hundred(
    test: Callable[[np.ndarray], Test], draw: Draw, samples: int
) -> None:
    rejects_as_often_as_it_says([test(row).p for row in draw(np.random.default_rng(1), samples)])


@pytest.mark.parametrize(("draw", "samples"), [(normal, 8), (often_equal, 60)])
def test_the_interval_of_a_mean_difference_holds_the_truth(draw: Draw, samples: int) -> None:
    rows = draw(np.random.default_rng(2), samples) + 0.3
    edges = [mean_interval(row) for row in rows]
    covers_as_often_as_it_says([low <= 0.3 <= high for low, high in edges])


@pytest.mark.parametrize(("samples", "effect"), [(15, 0.5)])
def test_the_interval_of_cohens_dz_holds_the_truth(samples: int, effect: float) -> None:
    rows = normal(np.random.default_rng(3), samples) + effect
    several = [cohen_dz(row) for row in rows]
    covers_as_often_as_it_says([one.low <= effect <= one.high for one in several])


def answers(chance: np.random.Generator, samples: int, lost: float, won: float) -> list[Discordance]:
    counts = chance.multinomial(samples, (lost, won, 1 - lost - won), CASES)
    return [Discordance(int(row[0]), int(row[1]), samples) for row in counts]


@pytest.mark.parametrize(("samples", "apart"), [(100, 0.2), (1000, 0.04)])
def test_mcnemars_mid_p_keeps_its_five_percent_and_the_exact_test_does_not_use_them(samples: int, apart: float) -> None:
    several = answers(np.random.default_rng(4), samples, apart / 2, apart / 2)
    rejects_as_often_as_it_says([mcnemar(one).p for one in several])
    assert np.mean([mcnemar_exact(one).p < 0.05 for one in several]) < 0.037


@pytest.mark.parametrize(("samples", "lost", "won"), [(50, 0.1, 0.1), (500, 0.01, 0.04)])
def test_tangos_interval_holds_the_difference_and_wilsons_the_odds(samples: int, lost: float, won: float) -> None:
    several = answers(np.random.default_rng(5), samples, lost, won)
    edges = [difference_interval(one) for one in several]
    covers_as_often_as_it_says([low <= won - lost <= high for low, high in edges])
    ratios = [odds_ratio(one) for one in several]
    covers_as_often_as_it_says([one.low <= won / lost <= one.high for one in ratios])


@pytest.mark.parametrize("videos", [8])
def test_draws_of_whole_videos_know_that_their_frames_hang_together(videos: int) -> None:
    """Videos of different lengths, each with a difference of its own; frame by frame it would be far too sure."""
    chance = np.random.default_rng(6)
    long = chance.integers(5, 15, videos)
    groups = np.repeat(np.arange(videos), long)
    rows = chance.normal(0, 1, (CASES, videos))[:, groups] + chance.normal(0, 1, (CASES, len(groups)))
    p, held = clustered(rows, [f"video {at}" for at in groups], videos)
    rejects_as_often_as_it_says(p)
    covers_as_often_as_it_says(held)
    apart, _ = clustered(rows, None, len(groups))
    assert np.mean(np.array(apart) < 0.05) > 0.15


def clustered(rows: np.ndarray, groups: list[str] | None, units: int) -> tuple[list[float], list[bool]]:
    drawn = spread(lambda counts: rows @ counts / counts.sum(axis=0), rows.shape[1], resamples=300, groups=groups)
    several = [judge(float(row.mean()), part, units) for row, part in zip(rows, drawn, strict=True)]
    return [one.p for one in several], [one.low <= 0 <= one.high for one in several]


@pytest.mark.parametrize(("samples", "draw"), [(25, normal), (80, often_equal)])
def test_the_paired_bootstrap_keeps_what_it_promises(samples: int, draw: Draw) -> None:
    p, held = clustered(draw(np.random.default_rng(7), samples), None, samples)
    rejects_as_often_as_it_says(p)
    covers_as_often_as_it_says(held)


def test_the_interval_of_a_difference_in_average_precision_holds_the_truth_on_fifteen_pictures() -> None:
    """Two detectors of the same making, on fifteen pictures of 1,500 whose difference is known."""
    chance, many = np.random.default_rng(12), 15
    truth = [objects(chance, int(count)) for count in chance.integers(2, 6, 1500)]
    first, second = (tally("detect", [found(chance, one) for one in truth], truth) for _ in range(2))
    real = second.value() - first.value()
    held = []
    for number in range(CASES):
        rows = np.sort(chance.choice(len(truth), many, replace=False))
        one, other = first.part(rows), second.part(rows)
        drawn = paired_spread(one.values, other.values, many, resamples=64, seed=number)[0]
        apart = judge(other.value() - one.value(), drawn, many)
        held.append(apart.low <= real <= apart.high)
    covers_as_often_as_it_says(held)


def objects(chance: np.random.Generator, count: int) -> Detections:
    corner = chance.uniform(0, 300, (count, 2))
    xyxy = np.hstack([corner, corner + chance.uniform(20, 80, (count, 2))]).astype(np.float32)
    return Detections(xyxy, np.ones(count, np.float32), np.zeros(count, np.int64))


def found(chance: np.random.Generator, truth: Detections) -> Detections:
    """Four objects of five, a little beside their places, and two that are not there."""
    seen = truth.xyxy[chance.random(len(truth)) < 0.8]
    xyxy = np.concatenate([seen + chance.normal(0, 4, seen.shape), objects(chance, 2).xyxy]).astype(np.float32)
    sure = np.concatenate([chance.beta(4, 2, len(seen)), chance.beta(1, 3, 2)]).astype(np.float32)
    return Detections(xyxy, sure, np.zeros(len(xyxy), np.int64))


@pytest.mark.parametrize("truth", [0, 4])
def test_with_holm_one_in_twenty_families_has_a_false_alarm_and_not_one_in_three(truth: int) -> None:
    """Ten classes, of which some really differ; what counts is any false alarm among the others."""
    rows = np.random.default_rng(8).normal(0, 1, (CASES, 10, 30))
    rows[:, :truth] += 1.5
    p = stats.ttest_1samp(rows, 0.0, axis=2).pvalue
    corrected = np.stack([holm(family) for family in p])
    rejects_as_often_as_it_says(corrected[:, truth:].min(axis=1).tolist())
    assert (p[:, truth:].min(axis=1) < 0.05).mean() > 0.2


@pytest.mark.parametrize(("runs", "scatter"), [((4, 9), (1.0, 3.0))])
def test_two_sets_of_runs_are_told_apart_no_more_often_than_chance_would_have_it(
    runs: tuple[int, int], scatter: tuple[float, float]
) -> None:
    chance = np.random.default_rng(9)
    sides = [chance.normal(0, wide, (CASES, many)) for many, wide in zip(runs, scatter, strict=True)]
    several = [welch(one, other) for one, other in zip(*sides, strict=True)]
    rejects_as_often_as_it_says([one.test.p for one in several])
    covers_as_often_as_it_says([one.low <= 0 <= one.high for one in several])


@pytest.mark.parametrize(("of_runs", "of_samples"), [(0.1, 0.5), (0.4, 0.1)])
def test_chance_of_runs_and_chance_of_samples_are_both_counted(of_runs: float, of_samples: float) -> None:
    chance = np.random.default_rng(10)
    cases = 2 * CASES
    draws = np.concatenate(list(bootstrap_draws(40, 300)), axis=1) / 40
    ours, theirs = (
        chance.normal(0, of_runs, (cases, 5, 1))
        + chance.normal(0, of_samples * 2, (cases, 1, 40))
        + chance.normal(0, 0.5, (cases, 5, 40))
        for _ in range(2)
    )
    several = [
        over_runs_and_samples(one.mean(axis=1), other.mean(axis=1), one @ draws, other @ draws, 40)
        for one, other in zip(ours, theirs, strict=True)
    ]
    rejects_as_often_as_it_says([one.test.p for one in several])
    covers_as_often_as_it_says([one.low <= 0 <= one.high for one in several])


def test_power_is_what_is_seen_and_the_samples_that_are_asked_for_give_it() -> None:
    needed = samples_needed(0.4, 1.0)
    assert needed == 52
    seen = [t_test(row).p < 0.05 for row in normal(np.random.default_rng(11), needed) + 0.4]
    assert np.mean(seen) == pytest.approx(power_of_t(0.4, 1.0, needed), abs=0.025)
    assert power_of_t(0.4, 1.0, needed) == pytest.approx(0.8, abs=0.01)
