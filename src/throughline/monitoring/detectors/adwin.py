"""ADWIN: a memory that is as long as the world stays the same, and is cut where its two parts differ too much.

After Bifet and Gavaldà (2007). The memory begins with the reference. It is kept in buckets whose sizes double
with their age, so a million values take a few dozen; every border between two of them may be the cut. Of values
that hang together, means of as many as hang together are taken in, since the bound counts each as news. Once it was
cut, the next window is held to the reference again, so that a change that lasts is said to last.
"""

from __future__ import annotations

import math
from typing import Final, final

import numpy as np

from throughline.monitoring.detectors import ALPHA, Detector, Reference, Score, Values
from throughline.monitoring.detectors._stream import Scale
from throughline.plugins import Plugin

_PER_SIZE: Final = 5
_LEAST: Final = 5
"""Fewer values on one side of a cut say nothing."""
_SPAN: Final = 6.0
"""From 0 to 1 are so many standard deviations of the means that are taken in."""

Bucket = tuple[int, float, float]
"""How many values, their sum, and the sum of their squared differences from their mean."""


@final
class Memory:
    """Values from 0 to 1 that are thought to come from one world, the oldest first."""

    def __init__(self, doubt: float, buckets: tuple[Bucket, ...] = ()) -> None:
        """With how often a cut may be wrong, and what is remembered already."""
        self.doubt, self.buckets = doubt, list(buckets)

    def take(self, value: float) -> tuple[float, float]:
        """Add a value and cut where it must be: the largest difference of two parts, and what it may be."""
        self.buckets.append((1, value, 0.0))
        self._merge()
        worst = (0.0, math.inf)
        while len(self.buckets) > 1:
            found = self._widest()
            if found[0] / found[1] > worst[0] / worst[1]:
                worst = found
            if found[0] <= found[1]:
                break
            self.buckets.pop(0)
        return worst

    def _merge(self) -> None:
        """Where too many buckets have one size, the two oldest of them become one of twice the size."""
        size, end = 1, len(self.buckets)
        while True:
            start = end
            while start and self.buckets[start - 1][0] == size:
                start -= 1
            if end - start <= _PER_SIZE:
                return
            self.buckets[start : start + 2] = [_joined(*self.buckets[start : start + 2])]
            size, end = 2 * size, start + 1

    def _widest(self) -> tuple[float, float]:
        """The cut whose two parts differ most, measured by what they may."""
        count, total, spread = 0, 0.0, 0.0
        for bucket in self.buckets:
            count, total, spread = _joined((count, total, spread), bucket)
        doubt = math.log(2 * math.log(max(count, 3)) / self.doubt)
        variance, widest = spread / count, (0.0, 1.0)
        older, before = 0, 0.0
        for many, part, _ in self.buckets[:-1]:
            older, before = older + many, before + part
            newer = count - older
            if older < _LEAST or newer < _LEAST:
                continue
            mean = 1 / (1 / older + 1 / newer)
            allowed = math.sqrt(2 / mean * variance * doubt) + 2 / (3 * mean) * doubt
            apart = abs(before / older - (total - before) / newer)
            if apart / allowed > widest[0] / widest[1]:
                widest = apart, allowed
        return widest


@final
class Adwin:
    """The memory, and the values that wait to be averaged."""

    def __init__(self, reference: Reference, alpha: float) -> None:
        self._scale = Scale.of(reference)
        self._group = max(1, min(math.ceil(self._scale.memory), reference.window // 2))
        first, known = Memory(alpha * self._group / reference.window), self._grouped(reference.values, [])
        spread = float(np.std(known)) if known else 0.0
        self._unit = _SPAN * spread if spread > 0 else _SPAN
        for value in known:
            first.take(self._within(value))
        self._first, self._doubt = tuple(first.buckets), first.doubt
        self._memory = Memory(self._doubt, self._first)
        self._waiting: list[float] = []

    def score(self, window: Values) -> Score:
        """Whether the memory was cut in this window."""
        if not self._scale.rows:
            return Score(math.nan, math.nan, math.nan, False)
        worst, cut = (math.nan, math.nan), False
        for value in self._grouped(window, self._waiting):
            found = self._memory.take(self._within(value))
            cut = cut or found[0] > found[1]
            if not found[0] / found[1] <= worst[0] / worst[1]:
                worst = found
        if cut:
            self._memory = Memory(self._doubt, self._first)
        return Score(worst[0] * self._unit, worst[1] * self._unit, math.nan, cut)

    def _within(self, mean: float) -> float:
        return min(1.0, max(0.0, 0.5 + mean / self._unit))

    def _grouped(self, window: Values, waiting: list[float]) -> list[float]:
        """Means of neighbours, in standard deviations; what fills no group waits."""
        waiting += self._scale.standard(window).tolist()
        whole = len(waiting) - len(waiting) % self._group
        means = [sum(waiting[at : at + self._group]) / self._group for at in range(0, whole, self._group)]
        del waiting[:whole]
        return means


def _joined(a: Bucket, b: Bucket) -> Bucket:
    """Two buckets as one."""
    many = a[0] + b[0]
    if not a[0]:
        return b
    apart = a[1] / a[0] - b[1] / b[0]
    return many, a[1] + b[1], a[2] + b[2] + apart * apart * a[0] * b[0] / many


def make(reference: Reference, *, alpha: float = ALPHA) -> Detector:
    """A detector of numbers that come one by one."""
    return Adwin(reference, alpha)


PLUGIN = Plugin(
    make=make,
    summary="a memory that is cut where its parts differ (ADWIN)",
    needs=("scipy",),
    extra="monitor",
    facts={"takes": ("numbers",), "stream": True},
)
