"""What was found, drawn on the frame: thin boxes, one colour per object or class, readable labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from throughline.contracts.detections import Detections
from throughline.contracts.masks import Crop

# Eight hues that stay apart on asphalt, grass and sky, and for most colour-blind readers.
_PALETTE = (
    (86, 180, 233), (230, 159, 0), (0, 178, 128), (240, 228, 66),
    (213, 94, 0), (204, 121, 167), (120, 140, 255), (170, 220, 120),
)  # fmt: skip
_TINT = 0.4


def annotate(image: npt.NDArray[np.uint8], found: Detections) -> npt.NDArray[np.uint8]:
    """A copy of an RGB picture with every detection drawn: all boxes, then labels, the surest choosing first."""
    import cv2

    canvas = np.ascontiguousarray(image).copy()
    size = max(10, round(min(canvas.shape[:2]) / 55))
    line = max(1, round(min(canvas.shape[:2]) / 400))
    font = cv2.FontFace("sans")
    surest_first = np.argsort(-found.confidence, kind="stable").tolist()
    boxes = found.xyxy.round().astype(int).tolist()
    for row in reversed(surest_first):
        x1, y1, x2, y2 = boxes[row]
        if found.masks is not None and (crop := found.masks.crops[row]) is not None:
            _tint(canvas, crop, _colour(found, row))
        cv2.rectangle(canvas, (x1, y1), (x2, y2), _colour(found, row), line, cv2.LINE_AA)
    taken: list[tuple[int, int, int, int]] = []
    for row in surest_first:
        name = found.name_of(int(found.class_id[row]))
        text = f"{name} {found.confidence[row]:.2f}"
        if found.tracker_id is not None:
            text = f"{name} #{found.tracker_id[row]}"
        x1, y1, _, y2 = boxes[row]
        _tag(canvas, text, (x1 - line // 2, y1, y2), _colour(found, row), font, size, taken)
    return canvas


def _tint(canvas: npt.NDArray[np.uint8], mask: Crop, colour: tuple[int, int, int]) -> None:
    """Tint what the mask covers, so that the object still shows through."""
    height, width = mask.pixels.shape
    region = canvas[mask.top : mask.top + height, mask.left : mask.left + width]
    region[mask.pixels] = np.rint(region[mask.pixels] * (1 - _TINT) + np.array(colour) * _TINT)


def _colour(found: Detections, row: int) -> tuple[int, int, int]:
    """An object's own colour once it is tracked; its class's before."""
    number = found.class_id[row] if found.tracker_id is None else found.tracker_id[row]
    return _PALETTE[int(number) % len(_PALETTE)]


def _tag(
    canvas: npt.NDArray[np.uint8],
    text: str,
    box: tuple[int, int, int],
    colour: tuple[int, int, int],
    font: Any,
    size: int,
    taken: list[tuple[int, int, int, int]],
) -> None:
    """A filled label on the box's upper edge, or the next place where it hides neither the frame's end nor a label."""
    import cv2

    left, top, bottom = box
    _, _, width, _ = cv2.getTextSize((0, 0), text, (0, 0), font, size, 600)
    high, pad = size + size // 3, max(2, size // 4)
    wide = width + 2 * pad
    left = max(0, min(left, canvas.shape[1] - wide))
    places = [(left, upper, left + wide, upper + high) for upper in (top - high, bottom, top - 2 * high, top)]
    inside = [place for place in places if place[1] >= 0 and place[3] <= canvas.shape[0]] or places[-1:]
    chosen = next((place for place in inside if not any(_touch(place, other) for other in taken)), inside[0])
    taken.append(chosen)
    cv2.rectangle(canvas, chosen[:2], (chosen[2] - 1, chosen[3] - 1), colour, cv2.FILLED)
    ink = (20, 20, 20) if sum(colour) > 330 else (255, 255, 255)
    cv2.putText(canvas, text, (left + pad, chosen[1] + size), ink, font, size, 600)


def _touch(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
