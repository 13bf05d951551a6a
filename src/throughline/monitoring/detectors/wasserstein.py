"""The earth mover's distance: how far the values have moved on average, in standard deviations of the reference.

Of the distances here it alone keeps growing once two sets have nothing in common, so that a steady camera,
whose hours have little in common, still shows when it is moved.
"""

from __future__ import annotations

import numpy as np

from throughline.monitoring.detectors import ALPHA, Detector, Reference, Values, known
from throughline.monitoring.detectors._calibrated import Calibrated
from throughline.plugins import Plugin


def moved(before: Values, now: Values) -> float:
    """The area between the two shares of values below each number; both are sorted."""
    every = np.sort(np.concatenate([before, now]))
    at = every[:-1]
    below = np.searchsorted(before, at, "right") / len(before) - np.searchsorted(now, at, "right") / len(now)
    return float(np.abs(below) @ np.diff(every))


def make(reference: Reference, *, alpha: float = ALPHA) -> Detector:
    """A detector of numbers."""
    values = known(reference.values)
    unit = float(values.std()) if len(values) else 0.0
    unit = unit if unit > 1e-12 * float(np.abs(values).max(initial=0.0)) else 1.0
    return Calibrated(moved, reference, alpha, growth=1, prepare=lambda some: np.sort(some / unit))


PLUGIN = Plugin(
    make=make,
    summary="how far values have moved on average (earth mover's distance)",
    needs=("scipy",),
    extra="monitor",
    facts={"takes": ("numbers",), "stream": False},
)
