"""What the tables say in the same way: who an object is, which model found it, where its keypoints are.

Numbers are printed as the shortest text that reads back as the very same ``float32``
(coordinates, confidence) or ``float64`` (seconds), so nothing is rounded away and
nothing is padded.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from throughline.contracts.detections import Detections
from throughline.contracts.errors import InputError


def exact(numbers: npt.NDArray[Any]) -> Any:
    """The same numbers as nested lists of Python floats that print as the shortest text that reads back the same."""
    if not np.isfinite(numbers).all():
        raise InputError(
            "a box, a confidence or a keypoint is not a finite number", "the model gave it; look at its outputs"
        )
    return numbers.astype(str).astype(float).tolist()


def identities(found: Detections) -> list[int | None]:
    """Each row's identity; None for one that has none."""
    if found.tracker_id is None:
        return [None] * len(found)
    return [identity if identity >= 0 else None for identity in found.tracker_id.tolist()]


def models(found: Detections) -> list[str]:
    """The name of each row's model; no names where only one speaks."""
    column = found.data.get("model")
    return [""] * len(found) if column is None else column.tolist()


def keypoints(found: Detections) -> list[npt.NDArray[np.float32] | None]:
    """Each row's keypoints, k x (x, y, visibility); None for one whose model gives none."""
    column = found.data.get("keypoints")
    if column is None:
        return [None] * len(found)
    given = ~np.isnan(column).all(axis=2)  # beside a model with more keypoints, or with none, rows are filled up
    return [points[one] if one.any() else None for points, one in zip(column, given, strict=True)]
