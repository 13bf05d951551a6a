"""Which range of values each tensor of a graph takes, so that eight bits can be dealt out over it.

Two passes over the feeds: the first finds how far values go, the second counts them in bins that are known by then.
So pictures may differ in size, and memory does not grow with their number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from throughline.models.transforms import Feeds
from throughline.models.transforms._running import Opened, each, extremes, with_outputs

Method: TypeAlias = Literal["entropy", "percentile", "minmax"]
METHODS: Final = ("entropy", "percentile", "minmax")
Ranges: TypeAlias = dict[str, tuple[float, float]]
Counts: TypeAlias = npt.NDArray[np.int64]

_PERCENTILE: Final = 99.999
_BINS: Final = {"percentile": 8192, "entropy": 1024}
_LEVELS: Final = 128


def ranges(model: Any, feeds: Feeds, names: Sequence[str], method: Method) -> Ranges:
    """The range of each tensor, as the method cuts it.

    Args:
        model: a graph with its shapes inferred.
        feeds: what to run it on.
        names: the tensors.
        method: "minmax" keeps every value seen; "percentile" cuts off one in a hundred thousand; "entropy" cuts
            where the loss of information is least.
    """
    whole = {
        name: (min(low, 0.0), max(high, 0.0)) if np.isfinite((low, high)).all() else (0.0, 0.0)
        for name, (low, high) in extremes(model, feeds, names).items()
    }
    if method == "minmax":
        return whole
    counted = _histograms(model, feeds, whole, _BINS[method])
    cut = _percentile if method == "percentile" else _entropy
    return {name: cut(counts, whole[name]) for name, counts in counted.items()}


def _histograms(model: Any, feeds: Feeds, whole: Mapping[str, tuple[float, float]], bins: int) -> dict[str, Counts]:
    opened = Opened(with_outputs(model, list(whole)))
    counts: dict[str, Counts] = {name: np.zeros(bins, np.int64) for name in whole}
    for feed in each(feeds):
        for name, values in opened.run(feed).items():
            low, high = whole[name]
            if high > low:
                scaled = (values.ravel() - np.float32(low)) * np.float32(bins / (high - low))
                places = np.clip(scaled, 0, bins - 1).astype(np.int32)
                counts[name] += np.bincount(places, minlength=bins)
    return counts


def _percentile(counts: Counts, whole: tuple[float, float]) -> tuple[float, float]:
    low, high = whole
    total = int(counts.sum())
    if not total:
        return whole
    outside = total * (100.0 - _PERCENTILE) / 200.0
    sums = np.cumsum(counts)
    first, last = int(np.searchsorted(sums, outside, "right")), int(np.searchsorted(sums, total - outside, "left"))
    width = (high - low) / len(counts)
    return min(low + first * width, 0.0), max(low + (last + 1) * width, 0.0)


def _entropy(counts: Counts, whole: tuple[float, float]) -> tuple[float, float]:
    """Cut the longer side back to where the counts in few levels tell most of the counts in many.

    Zero stays where it is: the side of the smaller values is cut in the same proportion only where it is longer
    than what is left of the other.
    """
    low, high = whole
    if not counts.sum():
        return whole
    # Fold both sides over zero: what is cut is an absolute value, as the method is defined.
    farthest, width = max(-low, high), (high - low) / len(counts)
    centres = np.abs(low + (np.arange(len(counts)) + 0.5) * width)
    places = np.minimum((centres / farthest * len(counts)).astype(np.int64), len(counts) - 1)
    folded: npt.NDArray[np.float64] = np.bincount(places, counts, len(counts)).astype(np.float64)
    folded[0] = folded[1]  # zeros cost nothing in any scale; counted, they would decide alone
    best, threshold = np.inf, farthest
    for kept in range(_LEVELS, len(folded) + 1, 8):
        divergence = _divergence(folded, kept)
        if divergence < best:
            best, threshold = divergence, kept / len(folded) * farthest
    return max(low, -threshold), min(high, threshold)


def _divergence(folded: npt.NDArray[np.float64], kept: int) -> float:
    """How much is lost (Kullback-Leibler) where all beyond ``kept`` bins is taken for the last, in 128 levels."""
    seen = folded[:kept].copy()
    there = seen > 0
    p = seen.copy()
    p[-1] += folded[kept:].sum()
    edges = np.linspace(0, kept, _LEVELS + 1).astype(np.int64)[:-1]
    sums, filled = np.add.reduceat(seen, edges), np.add.reduceat(there.astype(np.float64), edges)
    widths = np.diff(np.append(edges, kept))
    q = np.repeat(sums / np.maximum(filled, 1), widths) * there
    if not p.sum() or not q.sum():
        return float("inf")
    p, q = p / p.sum(), q / q.sum()
    both = p > 0
    return float((p[both] * np.log(p[both] / np.maximum(q[both], 1e-9))).sum())
