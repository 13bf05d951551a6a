"""Many boxes on one object become the best one: non-maximum suppression, class by class.

Candidates are taken in blocks, best first. What is already kept strikes out of a
whole block at once; only inside the block is there an order to follow. That is the
plain definition, in a few dozen array operations instead of one per box.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_MOST_CANDIDATES = 3000
_BLOCK = 96


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
    boxes, classes = xyxy[order].astype(np.float64), class_id[order]
    alive, kept = np.arange(len(order)), np.empty(0, np.int64)
    while len(alive) and len(kept) < most:
        block, alive = alive[:_BLOCK], alive[_BLOCK:]
        worse = np.triu(_too_close(boxes[block], classes[block], boxes[block], classes[block], iou), 1)
        stands = np.ones(len(block), bool)
        for better in np.flatnonzero(worse.any(axis=1)):
            if stands[better]:
                stands &= ~worse[better]
        block = block[stands][: most - len(kept)]
        kept = np.concatenate([kept, block])
        if len(kept) < most and len(alive):
            alive = alive[~_too_close(boxes[block], classes[block], boxes[alive], classes[alive], iou).any(axis=0)]
    return order[kept]


def _too_close(
    boxes: npt.NDArray[np.float64],
    classes: npt.NDArray[np.int64],
    others: npt.NDArray[np.float64],
    their_classes: npt.NDArray[np.int64],
    iou: float,
) -> npt.NDArray[np.bool_]:
    """For each box and each other: one class, and an overlap of more than ``iou``."""
    x1, y1, x2, y2 = (side[:, None] for side in boxes.T)
    left, top, right, bottom = others.T
    shared = np.minimum(x2, right)
    shared -= np.maximum(x1, left)
    np.maximum(shared, 0, out=shared)
    height = np.minimum(y2, bottom)
    height -= np.maximum(y1, top)
    np.maximum(height, 0, out=height)
    shared *= height
    # Compared without dividing, so that boxes without area need no special case.
    union = ((x2 - x1) * (y2 - y1) + (right - left) * (bottom - top)) - shared
    close: npt.NDArray[np.bool_] = shared > iou * union
    close &= classes[:, None] == their_classes
    return close
