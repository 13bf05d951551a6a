"""How long a thousand draws of mean average precision take on one core, for a set as large as COCO's.

    python benchmarks/bootstrap.py [--pictures 5000] [--classes 80] [--boxes 100] [--resamples 1000]
    python benchmarks/bootstrap.py --coverage 300 --pictures 100 --classes 5 --boxes 14 --resamples 400

Boxes are made up: seven objects a picture as in COCO, and a detector that finds most of them and
says a lot more at low confidence. Matching is timed on its own, since it is done once.

With ``--coverage`` it counts how often the interval holds the truth: so many times, as many pictures are
taken from 4,000, and the interval on them is asked for the figure of all 4,000; of one detector, and of the
difference to a second one that is a little shakier.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from throughline.contracts.detections import Detections
from throughline.evaluation.tally import tally
from throughline.stats.bootstrap import corrected_interval, percentile_interval, spread

OBJECTS = 7.3
ALL = 4000


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pictures", type=int, default=5000)
    parser.add_argument("--classes", type=int, default=80)
    parser.add_argument("--boxes", type=int, default=100, help="boxes that the detector gives a picture")
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--coverage", type=int, metavar="TIMES", help="count how often the interval holds the truth")
    asked = parser.parse_args()
    if asked.coverage:
        coverage(asked.coverage, asked.pictures, asked.classes, asked.boxes, asked.resamples)
        return
    found, truth = made_up(asked.pictures, asked.classes, asked.boxes)
    began = time.process_time()
    counted = tally("detect", found, truth)
    matched = time.process_time()
    drawn = spread(counted.values, len(counted), resamples=asked.resamples)
    ended = time.process_time()
    interval = corrected_interval(counted.value(), drawn[0], len(counted))
    print(f"{asked.pictures:,} pictures, {asked.classes} classes, {sum(map(len, found)):,} boxes found, ", end="")
    print(f"{sum(map(len, truth)):,} objects")
    print(f"matching           {matched - began:6.2f} CPU seconds")
    print(f"{asked.resamples:,} draws        {ended - matched:6.2f} CPU seconds")
    print(f"mAP50-95 {interval}")


def coverage(times: int, pictures: int, classes: int, boxes: int, resamples: int) -> None:
    found, truth = made_up(ALL, classes, boxes)
    chance = np.random.default_rng(1)
    first, second = tally("detect", found, truth), tally("detect", [shaken(chance, one) for one in found], truth)
    real = {"mAP50-95": first.value(), "its difference": second.value() - first.value()}
    held: dict[tuple[str, str], list[bool]] = {}
    for number in range(times):
        rows = np.sort(chance.choice(ALL, pictures, replace=False))
        parts = first.part(rows), second.part(rows)
        one, other = (spread(part.values, pictures, resamples=resamples, seed=number)[0] for part in parts)
        values = parts[0].value(), parts[1].value() - parts[0].value()
        for name, value, drawn in zip(real, values, (one, other - one), strict=True):
            for kind in (percentile_interval, corrected_interval):
                interval = kind(value, drawn, pictures)
                held.setdefault((name, kind.__name__), []).append(interval.low <= real[name] <= interval.high)
    print(f"{times} times {pictures} of {ALL:,} pictures, {classes} classes: how often a 95 % interval holds the truth")
    for (name, kind), several in held.items():
        print(f"{name:15}  {kind:20}  {np.mean(several):.3f}")


def shaken(chance: np.random.Generator, one: Detections) -> Detections:
    """The same detector with a slightly unsteady hand, as after quantisation."""
    sides = np.tile(one.xyxy[:, 2:] - one.xyxy[:, :2], 2)
    xyxy = one.xyxy + chance.normal(0, 0.02, one.xyxy.shape) * sides
    sure = (one.confidence + chance.normal(0, 0.03, len(one))).clip(0, 1)
    return Detections(xyxy.astype(np.float32), sure.astype(np.float32), one.class_id)


def made_up(pictures: int, classes: int, boxes: int) -> tuple[list[Detections], list[Detections]]:
    """A set and what a fair detector says of it: sure of what it found, full of guesses below."""
    chance = np.random.default_rng(0)
    found, truth = [], []
    share = chance.dirichlet(np.full(classes, 0.7))
    for _ in range(pictures):
        count = int(chance.poisson(OBJECTS))
        real = rectangles(chance, count)
        kinds = chance.choice(classes, count, p=share)
        seen = np.flatnonzero(chance.random(count) < 0.8)
        near = real[seen] + chance.normal(0, 0.06, (len(seen), 4)) * np.tile(real[seen, 2:] - real[seen, :2], 2)
        guesses = max(0, boxes - len(seen))
        xyxy = np.concatenate([near, rectangles(chance, guesses)])
        kind = np.concatenate([kinds[seen], chance.choice(classes, guesses, p=share)])
        sure = np.concatenate([chance.beta(4, 2, len(seen)), chance.beta(0.4, 8, guesses)])
        found.append(Detections(xyxy.astype(np.float32), sure.astype(np.float32), kind.astype(np.int64)))
        truth.append(Detections(real.astype(np.float32), np.ones(count, np.float32), kinds.astype(np.int64)))
    return found, truth


def rectangles(chance: np.random.Generator, count: int) -> np.ndarray:
    corner = chance.uniform(0, 560, (count, 2))
    return np.hstack([corner, corner + chance.lognormal(4, 0.8, (count, 2)).clip(4, 400)])


if __name__ == "__main__":
    main()
