"""What was found, drawn on the frame: thin boxes, readable labels, a colour per object once tracked, per class before.

What is true of the whole frame stands in its upper left corner. Lines and letters grow
with the picture, so that a frame looks the same at every size.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, final

import numpy as np
import numpy.typing as npt

from throughline.contracts.detections import Detections
from throughline.contracts.masks import Crop

# Eight hues that stay apart on asphalt, grass and sky, and for most colour-blind readers.
_PALETTE = (
    (86, 180, 233), (230, 159, 0), (0, 178, 128), (240, 228, 66),
    (213, 94, 0), (204, 121, 167), (120, 140, 255), (170, 220, 120),
)  # fmt: skip
_DARK, _LIGHT = (20, 20, 20), (255, 255, 255)
_TINT = 0.4
_CAPTIONS = 5
_VISIBLE = 0.5
_WEIGHT = 600
# The person that pose models are taught: nose, eyes, ears, shoulders, elbows, wrists, hips, knees, ankles.
_PERSON = 17
_LIMBS = (
    (0, 1), (0, 2), (1, 3), (2, 4), (5, 6), (5, 7), (7, 9), (6, 8), (8, 10),
    (5, 11), (6, 12), (11, 12), (11, 13), (13, 15), (12, 14), (14, 16),
)  # fmt: skip

Colour = tuple[int, int, int]
Place = tuple[int, int, int, int]


def jpeg(picture: npt.NDArray[np.uint8], quality: int = 85) -> bytes:
    """An RGB picture, packed for a page."""
    import cv2

    return bytes(cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1].data)


def annotate(image: npt.NDArray[np.uint8], found: Detections) -> npt.NDArray[np.uint8]:
    """A copy of an RGB picture with everything drawn: all objects, then labels, the surest choosing first."""
    import cv2

    canvas = np.ascontiguousarray(image).copy()
    line = max(1, round(min(canvas.shape[:2]) / 360))
    objects, of_frame = found[~found.of_frame], found[found.of_frame]
    surest_first = np.argsort(-objects.confidence, kind="stable").tolist()
    boxes, identities, keypoints = objects.xyxy.round().astype(int).tolist(), objects.identities, objects.keypoints
    numbers = zip(objects.class_id.tolist(), identities, strict=True)
    colours = [_colour(kind if identity is None else identity) for kind, identity in numbers]
    for row in reversed(surest_first):
        colour, (x1, y1, x2, y2) = colours[row], boxes[row]
        if objects.masks is not None and (crop := objects.masks.crops[row]) is not None:
            _tint(canvas, crop, colour)
        cv2.rectangle(canvas, (x1, y1), (x2, y2), colour, line, cv2.LINE_AA)
        if (points := keypoints[row]) is not None:
            _joints(canvas, points, colour, min(line, max(1, (y2 - y1) // 80)))
    tags = _Tags(canvas)
    for row in np.argsort(-of_frame.confidence, kind="stable").tolist()[:_CAPTIONS]:
        tags.caption(f"{of_frame.name_of(int(of_frame.class_id[row]))} {of_frame.confidence[row]:.2f}")
    for row in surest_first:
        x1, y1, _, y2 = boxes[row]
        tags.label(_said(objects, row, identities[row]), (x1 - line // 2, y1, y2), colours[row])
    return canvas


def _said(found: Detections, row: int, identity: int | None) -> str:
    """An object's class, with its number once it is tracked, and how sure the model is before."""
    name = found.name_of(int(found.class_id[row]))
    return f"{name} {found.confidence[row]:.2f}" if identity is None else f"{name} #{identity}"


def _colour(number: int) -> Colour:
    turn, step = divmod(number, len(_PALETTE))
    return _PALETTE[(turn + step) % len(_PALETTE)]  # the turn, since one of several models counts in steps


def _tint(canvas: npt.NDArray[np.uint8], mask: Crop, colour: Colour) -> None:
    """Tint what the mask covers, so that the object still shows through."""
    import cv2

    if not mask.pixels.size:
        return
    height, width = mask.pixels.shape
    region = canvas[mask.top : mask.top + height, mask.left : mask.left + width]
    tones = np.rint(np.arange(256)[:, None] * (1 - _TINT) + np.array(colour) * _TINT).astype(np.uint8)
    cv2.copyTo(cv2.LUT(region, tones[None]), mask.pixels.view(np.uint8), region)


def _joints(canvas: npt.NDArray[np.uint8], points: npt.NDArray[np.float32], colour: Colour, line: int) -> None:
    """Dots where the model sees a keypoint, dark at the rim, and a person's limbs between them; fine on a small one."""
    import cv2

    seen = (points[:, 2] >= _VISIBLE).tolist()
    places = points[:, :2].round().astype(int).tolist()
    for a, b in _LIMBS if len(points) == _PERSON else ():
        if seen[a] and seen[b]:
            cv2.line(canvas, places[a], places[b], colour, line, cv2.LINE_AA)
    for place in (place for place, one in zip(places, seen, strict=True) if one):
        cv2.circle(canvas, place, 2 * line, _DARK, cv2.FILLED, cv2.LINE_AA)
        cv2.circle(canvas, place, max(1, 2 * line - 1), colour, cv2.FILLED, cv2.LINE_AA)


@final
@dataclass
class _Tags:
    """The texts on one picture: each filled behind, none on another where there is room, none beyond the edge."""

    canvas: npt.NDArray[np.uint8]
    taken: list[Place] = field(default_factory=list)

    def __post_init__(self) -> None:
        import cv2

        self._size = max(10, round(min(self.canvas.shape[:2]) / 55))
        self._high, self._pad = self._size + self._size // 3, max(2, self._size // 4)
        self._font = cv2.FontFace("sans")

    def caption(self, text: str) -> None:
        """In the upper left corner, under the captions before."""
        text, wide = self._fitted(text)
        lower = max((place[3] for place in self.taken), default=0)
        if lower + self._high <= self.canvas.shape[0]:
            self._put(text, (0, lower, wide, lower + self._high), _DARK)

    def label(self, text: str, box: tuple[int, int, int], colour: Colour) -> None:
        """On the box's upper edge, or the next place where it hides neither the frame's end nor a text."""
        left, top, bottom = box
        text, wide = self._fitted(text)
        left = max(0, min(left, self.canvas.shape[1] - wide))
        lowest = max(0, self.canvas.shape[0] - self._high)
        above, below = [top - step * self._high for step in (1, 2, 3)], [bottom, bottom + self._high]
        uppers = [upper for upper in (above[0], below[0], *above[1:], *below[1:], top) if 0 <= upper <= lowest]
        places = [(left, upper, left + wide, upper + self._high) for upper in uppers or [max(0, min(top, lowest))]]
        free = (place for place in places if not any(_touch(place, other) for other in self.taken))
        self._put(text, next(free, places[0]), colour)

    def _fitted(self, text: str) -> tuple[str, int]:
        """The text in one line, or as much of its beginning as the picture has room for; and how wide that is."""
        text = kept = " ".join(text.split())
        room = self.canvas.shape[1] - 2 * self._pad
        while (wide := self._width(kept)) > room and text:
            text = text[: min(len(text) - 1, max(1, len(text) * room // wide))]
            kept = text + "…"
        return kept, wide + 2 * self._pad

    def _width(self, text: str) -> int:
        import cv2

        _, _, width, _ = cv2.getTextSize((0, 0), text, (0, 0), self._font, self._size, _WEIGHT)
        return int(width)

    def _put(self, text: str, place: Place, colour: Colour) -> None:
        import cv2

        self.taken.append(place)
        left, top, right, bottom = place
        cv2.rectangle(self.canvas, (left, top), (right - 1, bottom - 1), colour, cv2.FILLED)
        ink: Any = _DARK if sum(colour) > 330 else _LIGHT
        cv2.putText(self.canvas, text, (left + self._pad, top + self._size), ink, self._font, self._size, _WEIGHT)


def _touch(a: Place, b: Place) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
