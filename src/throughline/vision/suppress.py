"""Many boxes on one object become the best one: non-maximum suppression, class by class.

The candidates of a class are taken in blocks, best first. Only inside a block is there
an order to follow; what is left of it then strikes out of all that follow at once. That
is the plain definition, in a few array operations instead of one per box.
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
    by_class = np.argsort(classes, kind="stable")
    groups = np.split(by_class, np.flatnonzero(np.diff(classes[by_class])) + 1)
    kept = np.concatenate([_of_one_class(boxes, group, iou, most) for group in groups])
    return np.asarray(order[np.sort(kept)[:most]], np.int64)


def _of_one_class(
    boxes: npt.NDArray[np.float64], alive: npt.NDArray[np.int64], iou: float, most: int
) -> npt.NDArray[np.int64]:
    """Of these rows, best first, the ones to keep, likewise."""
    kept: list[npt.NDArray[np.int64]] = [alive[:0]]
    while len(alive) and sum(map(len, kept)) < most:
        block, alive = alive[:_BLOCK], alive[_BLOCK:]
        worse = np.triu(_too_close(boxes[block], boxes[block], iou), 1)
        # Struck out is what a standing better one strikes out. Each round settles at least one more from the front.
        before, stands = np.ones(len(block), bool), ~np.any(worse, axis=0)
        while not np.array_equal(stands, before):
            before, stands = stands, ~np.any(worse[stands], axis=0)
        kept.append(block[stands])
        if len(alive):
            alive = alive[~_too_close(boxes[block[stands]], boxes[alive], iou).any(axis=0)]
    return np.concatenate(kept)


def _too_close(boxes: npt.NDArray[np.float64], others: npt.NDArray[np.float64], iou: float) -> npt.NDArray[np.bool_]:
    """For each box and each other: whether they overlap by more than ``iou``."""
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
    return close
