"""Many questions at once: of twenty classes that do not differ, one looks as if it did.

Holm's correction makes each answer so much more careful that with 95 % none of them is wrong. It
asks nothing of how the questions hang together, and finds whatever Bonferroni's finds, and more.
"""

from __future__ import annotations

import numpy as np

from throughline.contracts.errors import InputError
from throughline.stats.paired import Floats


def holm(probabilities: Floats) -> Floats:
    """What each p is once it is known that so many were asked; what is not a number stays so, and was not asked."""
    given = np.asarray(probabilities, np.float64)
    asked = np.flatnonzero(~np.isnan(given))
    if given.ndim != 1 or ((given[asked] < 0) | (given[asked] > 1)).any():
        raise InputError(f"the probabilities are {given.tolist()}", "give a list of numbers from 0 to 1")
    order = asked[np.argsort(given[asked], kind="stable")]
    weights = len(order) - np.arange(len(order))
    corrected = np.full(given.shape, np.nan)
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(given[order] * weights))
    return corrected
