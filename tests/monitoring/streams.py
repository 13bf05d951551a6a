"""Streams of observations whose truth is known: of numbers that remember, and of a street."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from throughline.contracts.detections import Detections
from throughline.contracts.observations import Observation, Spoke
from throughline.monitoring.observing import observe_frame
from throughline.testing.detectors import noise
from throughline.testing.world import World

MODEL = Spoke("street.onnx", "3", "a" * 64)


def remembered(
    count: int, seed: int = 0, *, memory: float = 0.6, shift: float = 0.0, start: int = 0, numbers: int = 6
) -> Iterator[Observation]:
    """Some numbers, a word and a vector that hang together over time; the first number and the word may move."""
    columns = [noise(count, memory, 1000 * seed + at) for at in range(numbers)]
    columns[0] = columns[0] + shift
    chance = np.random.default_rng(seed)
    words = np.array(["day", "dusk", "night"])[np.digitize(noise(count, memory, seed + 77) + shift, (0.0, 1.0))]
    for row in range(count):
        figures = {f"number {at}": float(column[row]) for at, column in enumerate(columns)}
        vector = chance.normal(size=4).astype(np.float32) + np.float32(shift)
        request, seconds = f"{start + row}", float(start + row)
        yield Observation(request, seconds, MODEL, figures, {"light": str(words[row])}, vector, score=0.9)


def street(world: World, start: int, count: int, *, mixed: bool = False) -> Iterator[Observation]:
    """A street as a model that is always right would see it, twice a second; ``mixed`` turns people into bicycles."""
    step = world.fps // 2
    for index in range(start, start + count):
        frame, truth = world.frame(index * step)
        found = replace(truth.detections, masks=None)
        yield observe_frame(
            frame.image, other_mix(found) if mixed else found, request=f"{index}", seconds=frame.seconds, model=MODEL
        )


def other_mix(found: Detections) -> Detections:
    """Every other person as a bicycle."""
    person, bicycle = found.labels.index("person"), found.labels.index("bicycle")
    turned = (found.class_id == person) & (np.cumsum(found.class_id == person) % 2 == 1)
    return replace(found, class_id=np.where(turned, bicycle, found.class_id))
