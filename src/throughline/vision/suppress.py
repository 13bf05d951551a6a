"""Many boxes on one object become the best one: non-maximum suppression, class by class."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_MOST_CANDIDATES = 3000


def suppress(
    xyxy: npt.NDArray[np.float32],
    confidence: npt.NDArray[np.float32],
    class_id: npt.NDArray[np.int64],
    *,
    iou: float,
    most: int,
) -> npt.NDArray[np.int64]:
    """The rows to keep, best first: of two of one class that overlap by more than ``iou``, the better."""
    order = np.argsort(-confidence, kind="stable")[:_MOST_CANDIDATES]
    x1, y1, x2, y2 = xyxy[order].T.astype(np.float64)
    area, classes = (x2 - x1) * (y2 - y1), class_id[order]
    alive, kept = np.ones(len(order), bool), []
    for best in range(len(order)):
        if not alive[best]:
            continue
        kept.append(best)
        if len(kept) == most:
            break
        rest = slice(best + 1, None)
        width = np.minimum(x2[best], x2[rest]) - np.maximum(x1[best], x1[rest])
        height = np.minimum(y2[best], y2[rest]) - np.maximum(y1[best], y1[rest])
        shared = np.maximum(width, 0) * np.maximum(height, 0)
        # Compared without dividing, so that boxes without area need no special case.
        alive[rest] &= (shared <= iou * (area[best] + area[rest] - shared)) | (classes[rest] != classes[best])
    return order[kept]
