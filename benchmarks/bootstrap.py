"""How long a thousand draws of mean average precision take on one core, for a set as large as COCO's.

    python benchmarks/bootstrap.py [--pictures 5000] [--classes 80] [--boxes 100] [--resamples 1000]

Boxes are made up: seven objects a picture as in COCO, and a detector that finds most of them and
says a lot more at low confidence. Matching is timed on its own, since it is done once.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from throughline.contracts.detections import Detections
from throughline.evaluation.tally import tally
from throughline.stats.bootstrap import percentile_interval, spread

OBJECTS = 7.3


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pictures", type=int, default=5000)
    parser.add_argument("--classes", type=int, default=80)
    parser.add_argument("--boxes", type=int, default=100, help="boxes that the detector gives a picture")
    parser.add_argument("--resamples", type=int, default=1000)
    asked = parser.parse_args()
    found, truth = made_up(asked.pictures, asked.classes, asked.boxes)
    began = time.process_time()
    counted = tally("detect", found, truth)
    matched = time.process_time()
    drawn = spread(counted.values, len(counted), resamples=asked.resamples)
    ended = time.process_time()
    interval = percentile_interval(counted.value(), drawn[0], len(counted))
    print(f"{asked.pictures:,} pictures, {asked.classes} classes, {sum(map(len, found)):,} boxes found, ", end="")
    print(f"{sum(map(len, truth)):,} objects")
    print(f"matching           {matched - began:6.2f} CPU seconds")
    print(f"{asked.resamples:,} draws        {ended - matched:6.2f} CPU seconds")
    print(f"mAP50-95 {interval}")


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
