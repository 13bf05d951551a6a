"""Results and truth frame by frame, refused where comparing them would mean nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import zip_longest

import numpy as np
import numpy.typing as npt

from throughline.contracts.detections import Detections
from throughline.contracts.errors import InputError

Boxes = npt.NDArray[np.float64]


def side_by_side(
    found: Iterable[Detections], truth: Iterable[Detections]
) -> Iterator[tuple[int, Detections, Detections]]:
    """Each frame's number with the objects that were found in it and those that are really there."""
    for frame, seen, real in _together(found, truth):
        yield frame, seen[~seen.of_frame], real[~real.of_frame]


def said_of_frames(
    found: Iterable[Detections], truth: Iterable[Detections]
) -> Iterator[tuple[int, Detections, Detections]]:
    """Each frame's number with what was said of it as a whole and what is true of it."""
    for frame, seen, real in _together(found, truth):
        yield frame, seen[seen.of_frame], real[real.of_frame]


def _together(found: Iterable[Detections], truth: Iterable[Detections]) -> Iterator[tuple[int, Detections, Detections]]:
    for frame, (seen, real) in enumerate(zip_longest(found, truth)):
        if seen is None or real is None:
            ends, other = ("results", "truth") if seen is None else ("truth", "results")
            raise InputError(
                f"frame {frame} is in the {other} and not in the {ends}",
                "give one Detections a frame on both sides, empty ones too",
            )
        if seen.labels and real.labels and seen.labels != real.labels:
            raise InputError(
                f"frame {frame}: class numbers mean different things: the results count into {seen.labels}, "
                f"the truth into {real.labels}",
                "bring both to the same labels in the same order",
            )
        if not np.isfinite(seen.xyxy).all() or not np.isfinite(seen.confidence).all():
            raise InputError(f"frame {frame}: a box or a confidence of the results is not a finite number")
        if not np.isfinite(real.xyxy).all() or (real.xyxy[:, 2:] < real.xyxy[:, :2]).any():
            raise InputError(f"frame {frame}: a box of the truth ends before it begins, or is not finite")
        yield frame, seen, real


def overlaps(found: Detections, truth: Detections, crowd: npt.NDArray[np.bool_] | None = None) -> Boxes:
    """Intersection over union of every found box with every true one; 0 where the classes differ.

    Of a crowd it is the share of the found box that lies in it.
    """
    a, b = found.xyxy.astype(np.float64)[:, None], truth.xyxy.astype(np.float64)[None]
    common = np.maximum(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0.0).prod(axis=2)
    own = np.maximum(a[..., 2:] - a[..., :2], 0.0).prod(axis=2)
    whole = own + (b[..., 2:] - b[..., :2]).prod(axis=2) - common
    if crowd is not None:
        whole = np.where(crowd, own, whole)
    alike = (found.class_id[:, None] == truth.class_id[None]) & (common > 0)
    shared: Boxes = np.divide(common, whole, out=np.zeros_like(common), where=alike)
    return shared
