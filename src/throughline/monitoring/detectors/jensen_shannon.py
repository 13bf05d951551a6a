"""The Jensen-Shannon distance of binned values: 0 for the same shares in every bin, 1 for nothing in common."""

from __future__ import annotations

import math

import numpy as np

from throughline.monitoring.detectors import ALPHA, Detector, Reference, Values, known
from throughline.monitoring.detectors._bins import Bins
from throughline.monitoring.detectors._calibrated import Calibrated
from throughline.plugins import Plugin


def make(reference: Reference, *, alpha: float = ALPHA) -> Detector:
    """A detector of numbers or categories."""
    bins = Bins.of(known(reference.values))

    def apart(before: Values, now: Values) -> float:
        p, q = bins.shares(before), bins.shares(now)
        middle = (p + q) / 2
        divergence = (p * np.log2(p / middle) + q * np.log2(q / middle)).sum() / 2
        return math.sqrt(max(0.0, float(divergence)))

    return Calibrated(apart, reference, alpha, growth=1, prepare=bins.numbers)


PLUGIN = Plugin(
    make=make,
    summary="the Jensen-Shannon distance of binned values",
    needs=("scipy",),
    extra="monitor",
    facts={"takes": ("numbers", "categories"), "stream": False},
)
