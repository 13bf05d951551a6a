"""Drift detectors: one file each. Made from a reference, each says of a window whether it still looks like that.

A member's ``make(reference, alpha=...)`` gives a ``Detector``. ``PLUGIN.facts["takes"]`` names what it can
judge: "numbers" (one dimension of floats, NaN is missing), "categories" (an object array of words, None is
missing), "vectors" (rows of floats). ``facts["stream"]`` is true where it takes values one by one and
remembers the windows before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from throughline.contracts.errors import InputError
from throughline.plugins import Family

DETECTORS: Final = Family("drift detector", __name__, "detectors")
ALPHA: Final = 0.01
"""How often a window of nothing new is to look as if it were new."""

Values = npt.NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """What windows are held to.

    Attributes:
        values: one feature, or the vectors, of many observations.
        window: how many observations a window has.
        ordered: whether they follow each other in time, so that neighbours are alike.
        seed: draws whatever is drawn.
    """

    values: Values
    window: int
    ordered: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        if self.window < 2 or len(self.values) < 2 * self.window:
            raise InputError(
                f"the reference has {len(self.values):,} observations, and a window {self.window}",
                "give a reference of at least two windows, better ten or more, or make the windows smaller",
            )

    @property
    def kind(self) -> str:
        """What the values are: numbers, categories or vectors."""
        return kind_of(self.values)


@dataclass(frozen=True, slots=True)
class Score:
    """What a detector says of one window.

    Attributes:
        statistic: how far the window is from the reference, in the detector's own measure; NaN where nothing is known.
        threshold: what it may be; more comes by chance in ``alpha`` of all windows.
        p: how often chance alone gives as much; NaN for a detector that knows none.
        drifted: whether it is more than the threshold.
    """

    statistic: float
    threshold: float
    p: float
    drifted: bool


class Detector(Protocol):
    """Judges windows, in their order."""

    def score(self, window: Values) -> Score:
        """How far this window is from the reference."""


def kind_of(values: Values) -> str:
    """What values are: numbers, categories or vectors."""
    return "vectors" if values.ndim == 2 else "categories" if values.dtype.kind == "O" else "numbers"


def known(values: Values) -> Values:
    """The values that are there: no NaN, no endless number, no None."""
    if values.dtype.kind == "O":
        return values[np.array([value is not None for value in values], np.bool_)]
    finite = np.isfinite(values)
    return values[finite.all(axis=1) if values.ndim == 2 else finite]
