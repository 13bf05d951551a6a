"""The population stability index: how much more of the window than of the reference is in each bin, times by how much.

Banks read it by rules of thumb (0.1 is a little, 0.25 is a lot). Those know nothing of how long a window is
or how alike neighbours are, so the threshold here comes from the reference.
"""

from __future__ import annotations

import numpy as np

from throughline.monitoring.detectors import ALPHA, Detector, Reference, Values, known
from throughline.monitoring.detectors._bins import Bins
from throughline.monitoring.detectors._calibrated import Calibrated
from throughline.plugins import Plugin


def make(reference: Reference, *, alpha: float = ALPHA) -> Detector:
    """A detector of numbers or categories."""
    bins = Bins.of(known(reference.values))

    def index(before: Values, now: Values) -> float:
        p, q = bins.shares(before), bins.shares(now)
        return float(((q - p) * np.log(q / p)).sum())

    return Calibrated(index, reference, alpha, growth=2, prepare=bins.numbers)


PLUGIN = Plugin(
    make=make,
    summary="the population stability index of binned values",
    needs=("scipy",),
    extra="monitor",
    facts={"takes": ("numbers", "categories"), "stream": False},
)
