"""A frame with what was found in it as a small JPEG, for whoever only looks.

It is made small before anything else, so that a large frame is never converted whole
and its labels are as readable as those of a small one.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any, Final, final

import numpy as np

from throughline.contracts.detections import Detections
from throughline.contracts.frames import Frame
from throughline.contracts.masks import Crop, Masks

_WIDEST: Final = 960


@final
class Preview:
    """A frame with its detections, as a JPEG, and when it was drawn."""

    def __init__(self, frame: Frame, jpeg: bytes) -> None:
        self.index, self.seconds, self.jpeg, self.at = frame.index, frame.seconds, jpeg, time.monotonic()


def preview(frame: Frame, found: Detections) -> Preview:
    """Draw what was found in a frame on a small copy of it."""
    import cv2

    from throughline.vision.drawing import annotate
    from throughline.vision.scaling import scaled

    height, width = frame.size
    scale = min(1.0, _WIDEST / max(height, width, 1))
    size = max(1, round(height * scale)), max(1, round(width * scale))
    small = scaled(frame.picture, size)
    image = (small >> 8).astype(np.uint8) if small.dtype == np.uint16 else small
    picture = annotate(image, _shrunk(found, (height, width), size))
    _, data = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 80])
    return Preview(frame, bytes(data.data))


def _shrunk(found: Detections, frame: tuple[int, int], size: tuple[int, int]) -> Detections:
    """The same detections in the pixels of the smaller picture."""
    if frame == size:
        return found
    by = np.array([size[1] / frame[1], size[0] / frame[0]], np.float32)
    data = dict(found.data)
    if "keypoints" in data:
        data["keypoints"] = np.concatenate([data["keypoints"][..., :2] * by, data["keypoints"][..., 2:]], axis=-1)
    masks = found.masks and Masks(size, tuple(crop and _shrunk_crop(crop, frame, size) for crop in found.masks.crops))
    return replace(found, xyxy=found.xyxy * np.tile(by, 2), masks=masks, data=data)


def _shrunk_crop(crop: Crop, frame: tuple[int, int], size: tuple[int, int]) -> Crop:
    (rows, top), (columns, left) = (
        _kept(start, length, old, new)
        for start, length, old, new in zip((crop.top, crop.left), crop.pixels.shape, frame, size, strict=True)
    )
    return Crop(top, left, crop.pixels[rows][:, columns])


def _kept(start: int, length: int, old: int, new: int) -> tuple[Any, int]:
    """Which of these lines, counted from ``start``, remain in fewer, and where the first of them comes to lie."""
    lines = np.arange(new) * old // new
    kept = np.flatnonzero((lines >= start) & (lines < start + length))
    return lines[kept] - start, int(kept[0]) if len(kept) else 0
