"""Kolmogorov and Smirnov: the largest gap between the two shares of values below any number.

It does not mind in which unit numbers are. It cannot say more than "nothing in common", which on a steady
camera may come by chance: where stretches of the reference are that far apart, it stays silent.
"""

from __future__ import annotations

import numpy as np

from throughline.monitoring.detectors import ALPHA, Detector, Reference, Values
from throughline.monitoring.detectors._calibrated import Calibrated
from throughline.plugins import Plugin


def gap(before: Values, now: Values) -> float:
    """The largest gap; both are sorted."""
    every = np.concatenate([before, now])
    below = np.searchsorted(before, every, "right") / len(before) - np.searchsorted(now, every, "right") / len(now)
    return float(np.abs(below).max())


def make(reference: Reference, *, alpha: float = ALPHA) -> Detector:
    """A detector of numbers."""
    return Calibrated(gap, reference, alpha, growth=1, prepare=np.sort)


PLUGIN = Plugin(
    make=make,
    summary="the largest gap between two distributions (Kolmogorov-Smirnov)",
    needs=("scipy",),
    extra="monitor",
    facts={"takes": ("numbers",), "stream": False},
)
