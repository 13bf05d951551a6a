"""Draws of the pictures of an evaluation, alike for every figure; of whole videos where there are enough of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from throughline.contracts.samples import Sample
from throughline.evaluation.slices import FEWEST
from throughline.stats.bootstrap import Counts, Floats, Interval, corrected_interval, share_interval, spread

_GROUPS: Final = 10
"""Of fewer videos than this, pictures are drawn one by one: draws of three videos say next to nothing."""


@dataclass(frozen=True, slots=True)
class Resampling:
    """How draws are made for every figure of one evaluation."""

    samples: int
    resamples: int
    groups: Sequence[str] | None

    def of(self, values_of: Callable[[Counts], Floats]) -> tuple[Floats, Floats]:
        """Figures as they are, and on every draw."""
        once = np.atleast_2d(values_of(np.ones((self.samples, 1), np.int64)))[:, 0]
        return once, spread(values_of, self.samples, resamples=self.resamples, groups=self.groups)

    def interval(self, value: float, drawn: Floats, pictures: int | None = None, share: bool = False) -> Interval:
        """A figure's interval; ``share`` says that it is a share of so many pictures."""
        interval = share_interval if share else corrected_interval
        return interval(value, drawn, self.samples if pictures is None else pictures, fewest=FEWEST)


def videos_of(samples: Sequence[Sample]) -> tuple[list[str] | None, list[str]]:
    """What pictures are drawn together with: the frames of a video are not so many independent pictures."""
    groups = [sample.group or sample.name for sample in samples]
    several = len(set(groups))
    if several == len(groups):
        return None, []
    if several >= _GROUPS:
        return groups, [f"intervals: the {several} videos were drawn, each with all its pictures"]
    pictures = "one video" if several == 1 else f"{several} videos"
    return None, [f"intervals: the pictures are of {pictures}, so other videos may well lie outside them"]
