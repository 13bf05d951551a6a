"""The synthetic world: a street in motion, and the exact truth about every frame of it.

The same seed, size and look give the same pixels on any machine and in any
order, which is what lets tests pin them and lets a reported figure be measured again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, final

import numpy as np
import numpy.typing as npt

from throughline.contracts.detections import Detections
from throughline.contracts.errors import InputError
from throughline.contracts.frames import Frame
from throughline.testing.world import figures, lens, stage, vehicles
from throughline.testing.world.canvas import Canvas, Sprite
from throughline.testing.world.dice import Dice
from throughline.testing.world.furniture import ROWS
from throughline.testing.world.look import Look
from throughline.testing.world.palette import Palette
from throughline.testing.world.traffic import LABELS, Placed, present

_REACH: Final = {
    "person": (0.75, 2.1),
    "bicycle": (1.0, 1.4),
    "car": (2.5, 1.9),
    "bus": (4.6, 3.5),
    "truck": (3.7, 3.2),
    "dog": (0.95, 1.2),
}
"""How far each kind reaches to either side of its middle and above the ground, in metres."""

_GAIT: Final = {
    "person": (1.35, 12),
    "bicycle": (2.4, 16),
    "car": (0.44, 4),
    "bus": (0.6, 4),
    "truck": (0.6, 4),
    "dog": (0.8, 10),
}
"""How many metres one turn of the animation covers, and in how many pictures."""

_LEAST_VISIBLE: Final = 0.15
_LEAST_OF_WHOLE: Final = 0.05
_LEAST_PIXELS: Final = 24
_LEAST_SIDE: Final = 4


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


@final
@dataclass(frozen=True)
class World:
    """A street, as many frames of it as are asked for.

    Attributes:
        seed: which street; each has its own layout, colours, hour of the day and traffic.
        width, height: of its frames, in pixels.
        fps: frames per second.
        look: how it is lit, filled and filmed.
    """

    seed: int = 7
    width: int = 640
    height: int = 384
    fps: int = 30
    look: Look = field(default_factory=Look)

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise InputError(f"the world's seed is {self.seed}; it must be 0 or more")
        if min(self.width, self.height) < 32 or max(self.width, self.height) > 8192:
            raise InputError(f"the world is {self.width}x{self.height}; each side must be from 32 to 8192 pixels")
        if self.fps < 1:
            raise InputError(f"the world has {self.fps} frames per second; it must be 1 or more")

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the classes."""
        return LABELS

    def frames(self, count: int) -> Iterator[tuple[Frame, Truth]]:
        """The first ``count`` frames, each with its truth."""
        return (self.frame(index) for index in range(count))

    def frame(self, index: int) -> tuple[Frame, Truth]:
        """One frame with its truth, in any order."""
        if index < 0:
            raise InputError(f"frame {index} was asked for; the first is 0")
        street, seconds = self._stage, index / self.fps
        dx, dy = lens.tremble(self.seed, index, self.fps, self.look.shake)
        left, top = street.margin + dx, street.margin + dy
        picture = street.picture[top : top + self.height, left : left + self.width].copy()
        cast = [
            (placed, sprite, *self._corner(placed, sprite, dx, dy))
            for placed in present(self.seed, seconds, self.width / self._unit, self.look.density)
            if (sprite := self._sprite(placed)) is not None
        ]
        for placed, sprite, x, y in cast:
            self._cast_shadow(picture, placed, sprite, x, y, left, top)
        owner = np.zeros((self.height, self.width), np.uint16)
        silhouettes: list[tuple[Placed, int, int, int, tuple[slice, slice]]] = []
        for number, (placed, sprite, x, y) in enumerate(cast, 1):
            visible = self._draw(picture, owner, number, placed, sprite, x, y, left, top)
            if visible is not None:
                silhouettes.append((placed, number, sprite.area, *visible))
        picture = lens.expose(picture, self.seed, index, self.look)
        return Frame(index, seconds, picture, f"world-{self.seed}"), self._truth(owner, silhouettes)

    @property
    def _unit(self) -> float:
        return self.height / stage.SHEET

    @cached_property
    def _stage(self) -> stage.Stage:
        palette = Palette.of(Dice(self.seed, 0), self.look)
        return stage.build(
            self.seed, self.width, self.height, palette, int(self.look.shake) + 1 if self.look.shake else 0
        )

    @cached_property
    def _sprites(self) -> _Cupboard:
        return _Cupboard(16 * self.width * self.height)

    def _sprite(self, placed: Placed) -> Sprite | None:
        member = placed.member
        kind = LABELS[member.class_id]
        metres, pictures = _GAIT[kind]
        if member.rides:
            metres, pictures = _GAIT["bicycle"]
        pose = int(placed.travelled / metres * pictures) % pictures
        found = self._sprites.get((member.identity, pose))
        return (
            found
            if found is not None
            else self._sprites.put((member.identity, pose), self._paint(placed, kind, pose / pictures))
        )

    def _paint(self, placed: Placed, kind: str, phase: float) -> Sprite | None:
        member, metre, drift = placed.member, placed.metre * self._unit, self.look.appearance
        side, high = _REACH["bicycle" if member.rides else kind]
        high = 2.2 if member.rides else high
        unit = (metre * (1 + 0.22 * drift), -metre * (1 - 0.14 * drift))
        width, height = int(2 * side * unit[0]) + 2, int(high * metre) + 3
        anchor = (width // 2, height - 2)
        sheet = Canvas(width, height, unit, anchor, self._stage.palette.objects(), detail=4 if metre < 60 else 2)
        dice = Dice(*member.key, member.class_id)
        if kind == "person":
            (figures.rider if member.rides else figures.person)(sheet, dice, phase, member.tall)
        elif kind == "bicycle":
            figures.bicycle(sheet, dice, phase)
        elif kind == "dog":
            figures.dog(sheet, dice, phase)
        else:
            {"car": vehicles.car, "bus": vehicles.bus, "truck": vehicles.truck}[kind](sheet, dice, phase)
        return sheet.cut_out(anchor, placed.leftwards)

    def _corner(self, placed: Placed, sprite: Sprite, dx: int, dy: int) -> tuple[int, int]:
        unit = self._unit
        return int(placed.x * unit // 1) + sprite.left - dx, int(placed.member.row * unit // 1) + sprite.top - dy

    def _cast_shadow(
        self, picture: npt.NDArray[np.uint8], placed: Placed, sprite: Sprite, x: int, y: int, left: int, top: int
    ) -> None:
        if placed.member.rides and LABELS[placed.member.class_id] == "person":
            return
        wide, metre = sprite.solid.shape[1], placed.metre * self._unit
        through = stage.shadow(
            wide + int(0.5 * metre) & -4, int(0.5 * metre + 0.06 * wide) & -2, self._stage.palette.mood.gloom
        )
        high = through.shape[0]
        x, y = x - int(0.25 * metre), y + sprite.solid.shape[0] - high // 2
        x0, y0, x1, y1 = max(0, x), max(0, y), min(self.width, x + through.shape[1]), min(self.height, y + high)
        if x0 >= x1 or y0 >= y1:
            return
        part = through[y0 - y : y1 - y, x0 - x : x1 - x]
        screen = self._screen(placed)[top + y0 : top + y1, left + x0 : left + x1]
        region = picture[y0:y1, x0:x1]
        if screen[..., 0].any():
            part = 128 - ((128 - part) * (128 - screen) >> 7)
        dimmed = region * part
        dimmed >>= 7
        region[...] = dimmed

    def _screen(self, placed: Placed) -> npt.NDArray[np.uint16]:
        """What stands nearer than this object."""
        return self._stage.screens[next(i for i, row in enumerate(ROWS) if row > placed.member.row)]

    def _draw(
        self, picture: npt.NDArray[np.uint8], owner: npt.NDArray[np.uint16], number: int, placed: Placed, sprite: Sprite,
        x: int, y: int, left: int, top: int,
    ) -> tuple[int, tuple[slice, slice]] | None:  # fmt: skip
        """Lay the sprite over the frame; returns its pixels within the frame, and where they are."""
        high, wide = sprite.solid.shape
        x0, y0, x1, y1 = max(0, x), max(0, y), min(self.width, x + wide), min(self.height, y + high)
        if x0 >= x1 or y0 >= y1:
            return None
        inner, place = (slice(y0 - y, y1 - y), slice(x0 - x, x1 - x)), (slice(y0, y1), slice(x0, x1))
        colour, through, solid = sprite.colour[inner], sprite.through[inner], sprite.solid[inner]
        silhouette = int(np.count_nonzero(solid))
        screen = self._screen(placed)[top + y0 : top + y1, left + x0 : left + x1]
        if screen[..., 0].any():
            shown = 128 - screen
            colour, through = colour * shown >> 7, 128 - ((128 - through) * shown >> 7)
            solid = solid & (screen[..., 0] < 64)
        region = picture[place]
        blend = region * through
        blend >>= 7
        blend += colour
        region[...] = blend
        owner[place][solid] = number
        return silhouette, place

    def _truth(
        self, owner: npt.NDArray[np.uint16], silhouettes: list[tuple[Placed, int, int, int, tuple[slice, slice]]]
    ) -> Truth:
        import cv2

        kept: list[tuple[Placed, float, tuple[int, int, int, int], tuple[slice, slice], npt.NDArray[np.bool_]]] = []
        for placed, number, whole, silhouette, place in silhouettes:
            mine = owner[place] == number
            count = int(np.count_nonzero(mine))
            if count < max(_LEAST_PIXELS, _LEAST_VISIBLE * silhouette, _LEAST_OF_WHOLE * whole):
                continue
            x, y, wide, high = cv2.boundingRect(mine.view(np.uint8))
            if min(wide, high) >= _LEAST_SIDE:
                x, y = x + place[1].start, y + place[0].start
                kept.append((placed, count / silhouette, (x, y, x + wide, y + high), place, mine))
        masks = np.zeros((len(kept), self.height, self.width), np.bool_)
        for mask, (_, _, _, place, mine) in zip(masks, kept, strict=True):
            mask[place] = mine
        detections = Detections(
            xyxy=np.array([box for _, _, box, _, _ in kept], np.float32).reshape(-1, 4),
            confidence=np.ones(len(kept), np.float32),
            class_id=np.array([placed.member.class_id for placed, *_ in kept], np.int64),
            mask=masks,
            tracker_id=np.array([placed.member.identity for placed, *_ in kept], np.int64),
            data={"visibility": np.array([seen for _, seen, *_ in kept], np.float32)},
            labels=LABELS,
        )
        return Truth(detections)


@final
class _Cupboard:
    """Sprites that were used lately, up to a number of pixels."""

    def __init__(self, pixels: int) -> None:
        self._room = pixels
        self._kept: OrderedDict[tuple[int, int], Sprite] = OrderedDict()

    def get(self, key: tuple[int, int]) -> Sprite | None:
        if (sprite := self._kept.get(key)) is not None:
            self._kept.move_to_end(key)
        return sprite

    def put(self, key: tuple[int, int], sprite: Sprite | None) -> Sprite | None:
        if sprite is not None:
            self._kept[key] = sprite
            self._room -= sprite.solid.size
            while self._room < 0 and len(self._kept) > 1:
                self._room += self._kept.popitem(last=False)[1].solid.size
        return sprite
