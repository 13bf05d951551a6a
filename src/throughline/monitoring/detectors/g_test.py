"""The G-test of a mix: twice the logarithm of how much likelier two mixes are than one.

On rows that have nothing to do with each other it is the chi-squared test. Its threshold comes from the
reference all the same, since frames have much to do with each other.
"""

from __future__ import annotations

import numpy as np

from throughline.monitoring.detectors import ALPHA, Detector, Reference, Values, known
from throughline.monitoring.detectors._bins import Bins
from throughline.monitoring.detectors._calibrated import Calibrated
from throughline.plugins import Plugin


def make(reference: Reference, *, alpha: float = ALPHA) -> Detector:
    """A detector of categories."""
    bins = Bins.of(known(reference.values))

    def g(before: Values, now: Values) -> float:
        counts = np.stack([np.bincount(side, minlength=bins.count) for side in (before, now)]).astype(float)
        expected = counts.sum(axis=1, keepdims=True) * counts.sum(axis=0) / counts.sum()
        seen = counts > 0
        return max(0.0, 2 * float((counts[seen] * np.log(counts[seen] / expected[seen])).sum()))

    return Calibrated(g, reference, alpha, growth=2, prepare=bins.numbers)


PLUGIN = Plugin(
    make=make,
    summary="whether a mix of categories is another one (G-test)",
    needs=("scipy",),
    extra="monitor",
    facts={"takes": ("categories",), "stream": False},
)
