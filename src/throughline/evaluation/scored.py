"""Scores of samples, one each, as something that can be counted anew: then every metric is compared in one way."""

from __future__ import annotations

from typing import final

import numpy as np
import numpy.typing as npt

from throughline.evaluation.tally import Counts, Floats, Tally


@final
class ScoreTally(Tally):
    """The mean of one number a sample: log loss, absolute error, or whatever somebody measured."""

    def __init__(self, metric: str, scores: Floats) -> None:
        """From each sample's score."""
        self.metric = metric
        self.scores = np.asarray(scores, np.float64)

    def __len__(self) -> int:
        return len(self.scores)

    def values(self, counts: Counts) -> Floats:
        """One figure a draw."""
        taken = counts.sum(axis=0)
        mean: Floats = np.divide(self.scores @ counts, taken, out=np.full(taken.shape, np.nan), where=taken > 0)
        return mean

    def part(self, rows: npt.NDArray[np.int64]) -> ScoreTally:
        """The same of these samples alone."""
        return ScoreTally(self.metric, self.scores[rows])
