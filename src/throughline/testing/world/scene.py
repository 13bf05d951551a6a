"""One moment of the street: the objects laid into the picture, and what is left visible of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias, final

import numpy as np
import numpy.typing as npt

from throughline.contracts.detections import Detections
from throughline.contracts.masks import Crop, Masks
from throughline.testing.world.canvas import Sprite
from throughline.testing.world.furniture import ROWS
from throughline.testing.world.stage import Stage, shadow
from throughline.testing.world.traffic import LABELS, Placed

_LEAST_SHARE: Final = 0.15
_LEAST_OF_WHOLE: Final = 0.05
_LEAST_PIXELS: Final = 24
_LEAST_SIDE: Final = 4

Window: TypeAlias = tuple[slice, slice]
_FULL: Final = np.uint16(128)
_SEVEN: Final = np.uint16(7)


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """What is really in a frame.

    Boxes are tight around the *visible* pixels, which are the mask; ``tracker_id``
    is the object's identity for all time, and ``data["visibility"]`` the share of its
    silhouette, as far as that is in the frame, that nothing hides.

    An object is left out while less than 15 % of its silhouette in the frame or 5 % of
    the whole is visible, or fewer than 24 pixels, or its box has a side under 4 pixels:
    nobody could be blamed for missing it.
    """

    detections: Detections


@dataclass(frozen=True, slots=True, eq=False)
class _Laid:
    placed: Placed
    where: Window
    silhouette: int
    whole: int


@final
class Scene:
    """The empty street through the camera's window, to be filled from far to near."""

    def __init__(self, stage: Stage, width: int, height: int, tremble: tuple[int, int]) -> None:
        self._dx, self._dy = tremble
        left, top = stage.margin + self._dx, stage.margin + self._dy
        window = (slice(top, top + height), slice(left, left + width))
        self.picture = stage.picture[window].copy()
        self._screens = [screen[window] for screen in stage.screens]
        self._gloom, self._unit = stage.palette.mood.gloom, stage.unit
        self._owner = np.zeros((height, width), np.uint16)
        self._laid: list[_Laid] = []

    def cast_shadow(self, placed: Placed, sprite: Sprite) -> None:
        """Darken the ground under an object; a rider has the bicycle's shadow."""
        if placed.member.rides and LABELS[placed.member.class_id] == "person":
            return
        x, y = self._corner(placed, sprite)
        (high, wide), metre = sprite.solid.shape, placed.metre * self._unit
        through = shadow(wide + int(0.5 * metre) & -4, int(0.5 * metre + 0.06 * wide) & -2, self._gloom)
        inner, where = self._clip(x - int(0.25 * metre), y + high - through.shape[0] // 2, through.shape)
        part, screen, region = through[inner], self._screen(placed)[where], self.picture[where]
        if screen[..., 0].any():
            part = _FULL - ((_FULL - part) * (_FULL - screen) >> _SEVEN)
        dimmed = region * part
        dimmed >>= _SEVEN
        region[...] = dimmed

    def lay(self, placed: Placed, sprite: Sprite) -> None:
        """Put an object in front of everything that was laid before, behind the furniture that is nearer."""
        inner, where = self._clip(*self._corner(placed, sprite), sprite.solid.shape)
        colour, through, solid = sprite.colour[inner], sprite.through[inner], sprite.solid[inner]
        silhouette = int(np.count_nonzero(solid))
        screen, region = self._screen(placed)[where], self.picture[where]
        if screen[..., 0].any():
            shown = _FULL - screen
            colour, through = colour * shown >> _SEVEN, _FULL - ((_FULL - through) * shown >> _SEVEN)
            solid = solid & (screen[..., 0] < 64)
        blend = region * through
        blend >>= _SEVEN
        blend += colour
        region[...] = blend
        self._laid.append(_Laid(placed, where, silhouette, sprite.area))
        self._owner[where][solid] = len(self._laid)

    def truth(self) -> Truth:
        """What can be seen of everything that was laid."""
        import cv2

        kept: list[tuple[_Laid, int, tuple[int, int, int, int], npt.NDArray[np.bool_]]] = []
        for number, laid in enumerate(self._laid, 1):
            mine = self._owner[laid.where] == number
            count = int(np.count_nonzero(mine))
            if count < max(_LEAST_PIXELS, _LEAST_SHARE * laid.silhouette, _LEAST_OF_WHOLE * laid.whole):
                continue
            x, y, wide, high = cv2.boundingRect(mine.view(np.uint8))
            if min(wide, high) >= _LEAST_SIDE:
                x, y = x + laid.where[1].start, y + laid.where[0].start
                kept.append((laid, count, (x, y, x + wide, y + high), mine))
        crops = [Crop(laid.where[0].start, laid.where[1].start, mine) for laid, _, _, mine in kept]
        detections = Detections(
            xyxy=np.array([box for _, _, box, _ in kept], np.float32).reshape(-1, 4),
            confidence=np.ones(len(kept), np.float32),
            class_id=np.array([laid.placed.member.class_id for laid, *_ in kept], np.int64),
            masks=Masks(self._owner.shape, tuple(crops)),
            tracker_id=np.array([laid.placed.member.identity for laid, *_ in kept], np.int64),
            data={"visibility": np.array([count / laid.silhouette for laid, count, *_ in kept], np.float32)},
            labels=LABELS,
        )
        return Truth(detections)

    def _corner(self, placed: Placed, sprite: Sprite) -> tuple[int, int]:
        x, y = int(placed.x * self._unit // 1), int(placed.member.row * self._unit // 1)
        return x + sprite.left - self._dx, y + sprite.top - self._dy

    def _clip(self, x: int, y: int, shape: tuple[int, ...]) -> tuple[Window, Window]:
        """The part of something at x, y that is in the frame: within it, and within the frame."""
        height, width = self._owner.shape
        x0, y0, x1, y1 = max(0, x), max(0, y), min(width, x + shape[1]), min(height, y + shape[0])
        x1, y1 = max(x0, x1), max(y0, y1)
        return (slice(y0 - y, y1 - y), slice(x0 - x, x1 - x)), (slice(y0, y1), slice(x0, x1))

    def _screen(self, placed: Placed) -> npt.NDArray[np.uint16]:
        """What stands nearer than this object."""
        return self._screens[next(i for i, row in enumerate(ROWS) if row > placed.member.row)]
