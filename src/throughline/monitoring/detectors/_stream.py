"""What detectors need that take values one by one: the reference's scale, and how long it remembers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from throughline.monitoring.detectors import Reference, Values, known
from throughline.stats.paired import Floats

FAR: Final = 4.0
"""A value counts as so many standard deviations off at most: one wild value is no change of the world."""


@dataclass(frozen=True, slots=True)
class Scale:
    """The mean of a reference, its standard deviation, and how many neighbours say what one value would say alone.

    The last is the integrated autocorrelation time: 1 for rows that have nothing to do with each other. A mean of
    n values is as sure as one of n / memory such rows.
    """

    mean: float
    deviation: float
    memory: float
    rows: int

    @classmethod
    def of(cls, reference: Reference) -> Scale:
        """Measure it."""
        values = known(reference.values).astype(np.float64)
        if not len(values):
            return cls(0.0, 0.0, 1.0, 0)
        memory = memory_of(values) if reference.ordered else 1.0
        return cls(float(values.mean()), float(values.std()), memory, len(values))

    def standard(self, window: Values) -> Floats:
        """The values that are there in standard deviations from the mean, none of them wild."""
        off = known(window).astype(np.float64) - self.mean
        least = 1e-9 * max(1.0, abs(self.mean))
        if self.deviation <= least:
            return np.asarray(np.where(np.abs(off) <= least, 0.0, np.sign(off) * FAR), np.float64)
        return np.asarray(np.clip(off / self.deviation, -FAR, FAR), np.float64)


def memory_of(values: Floats) -> float:
    """The integrated autocorrelation time, summed over a window five times as long as itself (Sokal)."""
    off = np.asarray(values, np.float64) - np.mean(values)
    count, spread = len(off), float(off @ off)
    if count < 4 or spread <= 1e-18 * max(1.0, float(np.abs(values).max()) ** 2) * count:
        return 1.0
    size = 1 << (2 * count - 1).bit_length()
    spectrum = np.fft.rfft(off, size)
    alike = np.fft.irfft(spectrum * np.conj(spectrum), size)[:count] / spread
    sums = 2 * np.cumsum(alike) - 1
    wide = np.arange(count) >= 5 * np.maximum(sums, 0.2)
    return max(1.0, float(sums[int(np.argmax(wide))] if wide.any() else sums[count // 2]))
