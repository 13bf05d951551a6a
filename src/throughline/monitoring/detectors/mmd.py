"""The maximum mean discrepancy: whether two clouds of vectors are the same cloud, in every way that a kernel sees.

A Gaussian kernel as wide as the median distance within the reference (Gretton and others, 2012).
"""

from __future__ import annotations

import numpy as np

from throughline.monitoring.detectors import ALPHA, Detector, Reference, Values, known
from throughline.monitoring.detectors._calibrated import Calibrated, Rows
from throughline.plugins import Plugin
from throughline.stats.paired import Floats


def make(reference: Reference, *, alpha: float = ALPHA) -> Detector:
    """A detector of vectors."""
    values = np.asarray(reference.values, np.float64)
    cloud = known(values)
    squares = _squares(cloud, cloud) if len(cloud) else np.zeros((0, 0))
    apart = squares[np.triu_indices(len(cloud), 1)]
    width = float(np.median(apart)) if len(apart) else 0.0
    width = width if width > 0 else float(apart.mean()) if len(apart) and apart.mean() > 0 else 1.0
    kernel = np.exp(-squares / width)
    within, of_row = float(kernel.sum()), kernel.sum(axis=1)
    whole = within / max(1, len(cloud)) ** 2

    def discrepancy(before: Values, now: Values) -> float:
        across, inside = (np.exp(-_squares(one, now) / width).mean() for one in (before, now))
        return max(0.0, whole + float(inside) - 2 * float(across))

    def drawn(held: list[Rows]) -> Floats:
        """All stretches at once: the kernel of the reference has every sum that is asked for."""
        place = np.full(len(values), -1)
        place[np.isfinite(values).all(axis=1)] = np.arange(len(cloud))
        found = np.full(len(held), np.nan)
        for number, rows in enumerate(held):
            mine = place[rows][place[rows] >= 0]
            n, m = len(mine), len(cloud) - len(mine)
            if n > 1 < m:
                inside, touching = float(kernel[np.ix_(mine, mine)].sum()), float(of_row[mine].sum())
                rest, across = within - 2 * touching + inside, touching - inside
                found[number] = max(0.0, rest / m**2 + inside / n**2 - 2 * across / (n * m))
        return found

    return Calibrated(discrepancy, reference, alpha, growth=2, drawn=drawn)


def _squares(a: Values, b: Values) -> Floats:
    """The squared distances of all pairs."""
    return np.asarray(np.maximum(0.0, (a * a).sum(1)[:, None] + (b * b).sum(1) - 2 * a @ b.T), np.float64)


PLUGIN = Plugin(
    make=make,
    summary="whether two clouds of vectors are one (maximum mean discrepancy)",
    needs=("scipy",),
    extra="monitor",
    facts={"takes": ("vectors",), "stream": False},
)
