"""What was found, drawn on the frame: thin boxes, one colour per object or class, readable labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from throughline.contracts.detections import Detections

# Eight hues that stay apart on asphalt, grass and sky, and for most colour-blind readers.
_PALETTE = (
    (86, 180, 233), (230, 159, 0), (0, 178, 128), (240, 228, 66),
    (213, 94, 0), (204, 121, 167), (120, 140, 255), (170, 220, 120),
)  # fmt: skip


def annotate(image: npt.NDArray[np.uint8], found: Detections) -> npt.NDArray[np.uint8]:
    """A copy of an RGB picture with every detection drawn, the weakest first so that the surest stay on top."""
    import cv2

    canvas = np.ascontiguousarray(image).copy()
    size = max(11, round(min(canvas.shape[:2]) / 32))
    line = max(1, round(min(canvas.shape[:2]) / 260))
    font = cv2.FontFace("sans")
    for row in np.argsort(found.confidence, kind="stable"):
        x1, y1, x2, y2 = (round(float(side)) for side in found.xyxy[row])
        identity = None if found.tracker_id is None else int(found.tracker_id[row])
        colour = _PALETTE[(int(found.class_id[row]) if identity is None else identity) % len(_PALETTE)]
        cv2.rectangle(canvas, (x1, y1), (x2, y2), colour, line, cv2.LINE_AA)
        name = found.name_of(int(found.class_id[row]))
        text = f"{name} {found.confidence[row]:.2f}" if identity is None else f"{name} #{identity}"
        _tag(canvas, text, (x1 - line // 2, y1), colour, font, size)
    return canvas


def _tag(
    canvas: npt.NDArray[np.uint8],
    text: str,
    corner: tuple[int, int],
    colour: tuple[int, int, int],
    font: Any,
    size: int,
) -> None:
    """A filled label standing on the box's upper edge, or hanging from it where the frame ends."""
    import cv2

    _, _, width, _ = cv2.getTextSize((0, 0), text, (0, 0), font, size, 600)
    high, pad = size + size // 3, max(2, size // 4)
    left = max(0, min(corner[0], canvas.shape[1] - width - 2 * pad))
    upper = corner[1] - high if corner[1] >= high else corner[1]
    cv2.rectangle(canvas, (left, upper), (left + width + 2 * pad, upper + high), colour, cv2.FILLED)
    ink = (20, 20, 20) if sum(colour) > 330 else (255, 255, 255)
    cv2.putText(canvas, text, (left + pad, upper + size), ink, font, size, 600)
