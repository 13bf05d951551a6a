"""How often tests at 5 % reject what is true, and intervals of 95 % hold it: made-up comparisons whose truth is known.

    python benchmarks/compare.py [--cases 10000] [--detectors 2000]

The first table is of single samples: scores, right and wrong answers, videos, classes, runs. The second is of mean
average precision, with other ways of making an interval from the same draws beside the one that is used. The third
is of whole comparisons: how often a model passes that should not. It takes some minutes on one core.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable

import numpy as np
from scipy import stats

from throughline.contracts.detections import Detections
from throughline.evaluation.comparison import Question, compare_models
from throughline.evaluation.tally import AccuracyTally, tally
from throughline.stats.bootstrap import draws, spread
from throughline.stats.difference import judge
from throughline.stats.discordance import Discordance, difference_interval, mcnemar, mcnemar_exact, odds_ratio
from throughline.stats.paired import cohen_dz, mean_interval, t_test, wilcoxon
from throughline.stats.runs import over_runs_and_samples, welch
from throughline.stats.several import holm

POOL = 4000
DRAWS = 300


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--detectors", type=int, default=2000, help="cases of mean average precision, each far slower")
    asked = parser.parse_args()
    began = time.process_time()
    print(f"{asked.cases:,} cases a row; 5 % and 95 % are meant\n")
    print("| what | samples | rejects | covers |\n|---|---|---|---|")
    singles(asked.cases)
    print("\nMean average precision; 95 % is meant\n")
    print("| what | " + " | ".join(KINDS) + " |\n|---|" + "---|" * len(KINDS))
    detectors(asked.detectors)
    print("\n| the candidate is really | said better | passes (better or not worse) |\n|---|---|---|")
    decisions(min(asked.cases, 4000))
    print(f"\n{time.process_time() - began:.0f} CPU seconds")


def row(what: str, samples: object, p: Iterable[float], held: Iterable[bool] = ()) -> None:
    rejected, covered = [one < 0.05 for one in p], list(held)
    cells = [f"{np.mean(several):.1%}".replace("%", " %") if several else "" for several in (rejected, covered)]
    print(f"| {what} | {samples} | {' | '.join(cells)} |", flush=True)


def singles(cases: int) -> None:
    chance = np.random.default_rng(0)
    shapes = {
        "normal": lambda many: chance.normal(0, 1, (cases, many)),
        "heavy tails": lambda many: chance.standard_t(3, (cases, many)),
        "half of them zero": lambda many: chance.laplace(0, 1, (cases, many)) * (chance.random((cases, many)) < 0.5),
    }
    for shape, draw in shapes.items():
        for many in (8, 30, 200):
            rows = draw(many)
            edges = [mean_interval(one) for one in rows]
            row(f"paired t, {shape}", many, [t_test(one).p for one in rows], [a <= 0 <= b for a, b in edges])
            row(f"Wilcoxon, {shape}", many, [wilcoxon(one).p for one in rows])
    effects = [cohen_dz(one) for one in chance.normal(0.5, 1, (cases, 30))]
    row("Cohen's dz of 0.5", 30, [], [one.low <= 0.5 <= one.high for one in effects])
    for many, apart in ((50, 0.3), (100, 0.2), (400, 0.1), (1000, 0.02)):
        told = f"{apart:.0%} tell them apart".replace("%", " %")
        counts = chance.multinomial(many, (apart / 2, apart / 2, 1 - apart), cases)
        found = [Discordance(int(one[0]), int(one[1]), many) for one in counts]
        edges = [difference_interval(one) for one in found]
        row(f"McNemar mid-p and Tango, {told}", many, map(p_of(mcnemar), found), [a <= 0 <= b for a, b in edges])
        row(f"(not used) McNemar exact, {told}", many, map(p_of(mcnemar_exact), found))
        row(f"(not used) McNemar chi-square, {told}", many, map(chi_square, found))
        ratios = [odds_ratio(one) for one in found]
        row(f"odds ratio, {told}", many, [], [one.low <= 1 <= one.high for one in ratios])
    for videos in (5, 8, 20):
        groups = np.repeat(np.arange(videos), chance.integers(5, 15, videos))
        rows = chance.normal(0, 1, (cases, videos))[:, groups] + chance.normal(0, 1, (cases, len(groups)))
        for told, named, units in (
            (f"{videos} videos, drawn whole", [str(at) for at in groups], videos),
            (f"(not used) {videos} videos, frame by frame", None, len(groups)),
        ):
            drawn = on_draws(rows, named)
            found_ = [judge(float(one.mean()), part, units) for one, part in zip(rows, drawn, strict=True)]
            row(told, len(groups), [one.p for one in found_], [one.low <= 0 <= one.high for one in found_])
    for truth in (0, 5):
        rows = chance.normal(0, 1, (cases, 20, 30))
        rows[:, :truth] += 1.5
        p = stats.ttest_1samp(rows, 0.0, axis=2).pvalue
        told = f"20 classes, {truth} of them differ"
        row(f"Holm: any false alarm, {told}", 30, np.stack([holm(one) for one in p])[:, truth:].min(axis=1))
        row(f"(not used) each p alone: any false alarm, {told}", 30, p[:, truth:].min(axis=1))
    for runs, wide in (((3, 3), 1.0), ((5, 5), 1.0), ((4, 9), 3.0)):
        sides = chance.normal(0, 1, (cases, runs[0])), chance.normal(0, wide, (cases, runs[1]))
        found__ = [welch(one, other) for one, other in zip(*sides, strict=True)]
        told = f"Welch, runs that scatter 1 and {wide:g}"
        row(
            told,
            f"{runs[0]} and {runs[1]}",
            [one.test.p for one in found__],
            [one.low <= 0 <= one.high for one in found__],
        )
    whole = np.concatenate(list(draws(40, DRAWS)), axis=1) / 40
    for of_runs, of_samples in ((0.4, 0.1), (0.3, 0.6), (0.1, 1.0)):
        first, second = (
            chance.normal(0, of_runs, (cases, 5, 1))
            + chance.normal(0, of_samples, (cases, 1, 40))
            + chance.normal(0, 0.5, (cases, 5, 40))
            for _ in range(2)
        )
        both = [
            over_runs_and_samples(one.mean(axis=1), other.mean(axis=1), one @ whole, other @ whole, 40)
            for one, other in zip(first, second, strict=True)
        ]
        told = f"runs (scatter {of_runs}) and samples (scatter {of_samples})"
        row(told, "5 and 5, 40", [one.test.p for one in both], [one.low <= 0 <= one.high for one in both])


def on_draws(rows: np.ndarray, groups: list[str] | None) -> np.ndarray:
    """The mean of every row on draws of its columns."""
    return spread(lambda counts: rows @ counts / counts.sum(axis=0), rows.shape[1], resamples=DRAWS, groups=groups)


def p_of(test):  # type: ignore[no-untyped-def]
    return lambda found: test(found).p


def chi_square(found: Discordance) -> float:
    apart = found.lost + found.won
    return float(stats.chi2.sf((found.lost - found.won) ** 2 / apart, 1)) if apart else 1.0


KINDS = ("used: t and bootstrap error", "middle 95 % of draws", "BCa", "jackknife")


def detectors(cases: int) -> None:
    chance = np.random.default_rng(1)
    for classes in (1, 4):
        truth = [objects(chance, int(count), classes) for count in chance.integers(2, 6, POOL)]
        sides = [tally("detect", [seen(chance, one, classes, sharp) for one in truth], truth) for sharp in (4.0, 4.4)]
        real = sides[1].value() - sides[0].value()
        for many in (15, 40, 120):
            held: dict[str, list[bool]] = {kind: [] for kind in KINDS}
            for number in range(cases if many < 100 else cases // 4):  # the slowest
                rows = np.sort(chance.choice(POOL, many, replace=False))
                one, other = (side.part(rows) for side in sides)
                value = other.value() - one.value()
                counts = np.concatenate(list(draws(many, DRAWS, number)), axis=1)
                drawn = other.values(counts) - one.values(counts)
                without = np.ones((many, many), np.int64) - np.eye(many, dtype=np.int64)
                left_out = other.values(without) - one.values(without)
                for kind, (low, high) in intervals(value, drawn, left_out, many).items():
                    held[kind].append(low <= real <= high)
            cells = " | ".join(f"{np.mean(held[kind]):.1%}".replace("%", " %") for kind in KINDS)
            told = f"{many} pictures, {classes} class{'es' if classes > 1 else ''}, {len(held[KINDS[0]]):,} cases"
            print(f"| {told} | {cells} |", flush=True)


def intervals(value: float, drawn: np.ndarray, left_out: np.ndarray, many: int) -> dict[str, tuple[float, float]]:
    ours = judge(value, drawn, many)
    drawn, apart = drawn[np.isfinite(drawn)], left_out[np.isfinite(left_out)].mean() - left_out[np.isfinite(left_out)]
    shift = stats.norm.ppf(np.clip((drawn < value).mean(), 1 / len(drawn), 1 - 1 / len(drawn)))
    bend = (apart**3).sum() / (6 * (apart**2).sum() ** 1.5 + 1e-30)
    edges = [stats.norm.cdf(shift + (shift + z) / (1 - bend * (shift + z))) for z in (-1.96, 1.96)]
    half = stats.t.ppf(0.975, many - 1) * np.sqrt((many - 1) / len(apart) * (apart**2).sum())
    made = (
        (ours.low, ours.high),
        tuple(np.quantile(drawn, (0.025, 0.975))),
        tuple(np.quantile(drawn, edges)),
        (value - half, value + half),
    )
    return dict(zip(KINDS, made, strict=True))  # type: ignore[arg-type]


def objects(chance: np.random.Generator, count: int, classes: int) -> Detections:
    corner = chance.uniform(0, 300, (count, 2))
    xyxy = np.hstack([corner, corner + chance.uniform(20, 80, (count, 2))]).astype(np.float32)
    return Detections(xyxy, np.ones(count, np.float32), chance.integers(0, classes, count))


def seen(chance: np.random.Generator, truth: Detections, classes: int, sharp: float) -> Detections:
    """Four objects of five, a little beside their places, and two that are not there."""
    kept = chance.random(len(truth)) < 0.8
    guesses = objects(chance, 2, classes)
    near = truth.xyxy[kept] + chance.normal(0, sharp, (int(kept.sum()), 4))
    xyxy = np.concatenate([near, guesses.xyxy]).astype(np.float32)
    sure = np.concatenate([chance.beta(4, 2, len(near)), chance.beta(1, 3, 2)]).astype(np.float32)
    return Detections(xyxy, sure, np.concatenate([truth.class_id[kept], guesses.class_id]))


def decisions(cases: int) -> None:
    """Whole comparisons of two classifiers on 600 pictures, of which the reference has nine in ten right."""
    chance, many = np.random.default_rng(2), 600
    question = Question("0.03", resamples=20)
    for told, loss in (("as good", 0.0), ("worse by the margin", 0.03), ("worse by twice the margin", 0.06)):
        said = []
        for _ in range(cases):
            kind = chance.choice(4, many, p=(0.04 + loss, 0.04, 0.86 - loss, 0.06))
            first, second = AccuracyTally((kind == 0) | (kind == 2)), AccuracyTally((kind == 1) | (kind == 2))
            said.append(compare_models(first, second, question).decision)
        better, passed = (np.mean([one in names for one in said]) for names in (("better",), ("better", "not worse")))
        print(f"| {told} | {better:.1%} | {passed:.1%} |".replace("%", " %"), flush=True)


if __name__ == "__main__":
    main()
