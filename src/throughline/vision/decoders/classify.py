"""Classification: one score per class for the whole picture, [batch, classes], as logits or as probabilities.

A class that is sure enough becomes a row about the whole frame, marked ``of_frame``; its
box is the frame's own, for readers who know boxes alone. The best class comes first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from throughline.contracts.artifacts import Array
from throughline.contracts.detections import Detections
from throughline.plugins import Plugin
from throughline.vision.decoders._heads import Floats, another_layout
from throughline.vision.letterbox import Letterbox
from throughline.vision.preprocess import IMAGENET


def decode(
    outputs: Mapping[str, Array],
    fits: Sequence[Letterbox],
    *,
    labels: tuple[str, ...],
    conf: float,
    iou: float,
    max_det: int,
) -> list[Detections]:
    """The classes of each frame that reach ``conf``, at most ``max_det``; there is nothing for ``iou`` to do."""
    raw = next(iter(outputs.values()), np.empty(0))
    if raw.ndim < 2 or raw.size != raw.shape[0] * raw.shape[1] or (labels and raw.shape[1] != len(labels)):
        raise another_layout(outputs, f"a classifier gives (batch, {len(labels) or 'classes'})")
    found = []
    for row, fit in zip(probabilities(raw), fits, strict=True):
        order = np.argsort(-row, kind="stable")
        best = order[row[order] >= conf][:max_det].astype(np.int64)
        height, width = fit.frame
        whole = np.tile(np.array([0, 0, width, height], np.float32), (len(best), 1))
        data = {"of_frame": np.ones(len(best), np.bool_)}
        found.append(Detections(whole, row[best], best, data=data, labels=labels))
    return found


def probabilities(raw: Array) -> Floats:
    """A classifier's outputs as probabilities: as they are where they already sum to one, else their softmax.

    Where a frame's outputs are not all numbers, nothing is probable.
    """
    rows = raw.reshape(raw.shape[:2]).astype(np.float32)
    broken = ~np.isfinite(rows).all(axis=1)
    rows[broken] = 0
    if (rows >= 0).all() and np.allclose(rows.sum(axis=1), 1, atol=1e-2):
        return rows
    likely = np.exp(rows - rows.max(axis=1, keepdims=True))
    likely /= likely.sum(axis=1, keepdims=True)
    likely[broken] = 0
    return np.asarray(likely, np.float32)


PLUGIN = Plugin(
    make=lambda: decode,
    summary="classifiers, by logits or probabilities, trained with ImageNet's mean and deviation",
    facts={"preprocess": IMAGENET},
)
