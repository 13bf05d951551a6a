"""The cut-outs of everyone on the street, painted when first needed and kept while they are used."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, final

from throughline.testing.world import dogs, people, vehicles
from throughline.testing.world.canvas import Canvas, Sprite
from throughline.testing.world.dice import Dice
from throughline.testing.world.palette import Palette
from throughline.testing.world.traffic import LABELS, Placed

_REACH: Final = {
    "person": (0.75, 2.1),
    "bicycle": (1.0, 2.2),
    "car": (2.5, 1.9),
    "bus": (4.6, 3.5),
    "truck": (3.7, 3.2),
    "dog": (0.95, 1.2),
}
"""How far each kind reaches to either side of its middle and above the ground, in metres; a bicycle with its rider."""

_GAIT: Final = {
    "person": (1.35, 12),
    "bicycle": (2.4, 16),
    "car": (0.44, 4),
    "bus": (0.6, 4),
    "truck": (0.6, 4),
    "dog": (0.8, 10),
}
"""How many metres one turn of the animation covers, and in how many pictures."""


@final
class Wardrobe:
    """Sprites at ``unit`` pixels to a row of the street; holds no more than so many ``pixels`` of them."""

    def __init__(self, unit: float, palette: Palette, pixels: int) -> None:
        self._unit, self._palette, self._room = unit, palette, pixels
        self._kept: OrderedDict[tuple[int, int], Sprite | None] = OrderedDict()

    def dress(self, placed: Placed) -> Sprite | None:
        """How this one looks now; None where it is too small to be seen."""
        kind = "bicycle" if placed.member.rides else LABELS[placed.member.class_id]
        metres, poses = _GAIT[kind]
        pose = int(placed.travelled / metres * poses) % poses
        key = placed.member.identity, pose
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        sprite = self._kept[key] = self._paint(placed, _REACH[kind], pose / poses)
        self._room -= sprite.solid.size if sprite else 0
        while self._room < 0 and len(self._kept) > 1:
            _, oldest = self._kept.popitem(last=False)
            self._room += oldest.solid.size if oldest else 0
        return sprite

    def _paint(self, placed: Placed, reach: tuple[float, float], phase: float) -> Sprite | None:
        member, metre, drift = placed.member, placed.metre * self._unit, self._palette.look.appearance
        unit = (metre * (1 + 0.22 * drift), -metre * (1 - 0.14 * drift))
        width, height = int(2 * reach[0] * unit[0]) + 2, int(reach[1] * metre) + 3
        anchor = (width // 2, height - 2)
        sheet = Canvas(width, height, unit, anchor, self._palette.objects(), detail=4 if metre < 60 else 2)
        dice = Dice(*member.key, member.class_id)
        match LABELS[member.class_id]:
            case "person" if member.rides:
                people.rider(sheet, dice, phase, member.tall)
            case "person":
                people.person(sheet, dice, phase, member.tall)
            case "dog":
                dogs.dog(sheet, dice, phase)
            case "bicycle":
                vehicles.bicycle(sheet, dice, phase)
            case "car":
                vehicles.car(sheet, dice, phase)
            case "bus":
                vehicles.bus(sheet, dice, phase)
            case _:
                vehicles.truck(sheet, dice, phase)
        return sheet.cut_out(anchor, placed.leftwards)
