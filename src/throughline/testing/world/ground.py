"""The near half of the street: pavements, kerbs, bicycle lanes, and the road with its markings.

Whatever runs away from us runs to the vanishing point, and a metre on the
ground is as many units as its row lies below the horizon, divided by the height of the eye.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Final, final

import numpy as np
import numpy.typing as npt

from throughline.testing.world.backdrop import HORIZON
from throughline.testing.world.canvas import Canvas, Colour, Point, shade
from throughline.testing.world.dice import Dice
from throughline.testing.world.houses import FRONTS

EYE: Final = 5.2
"""How high the camera is, in metres."""

FAR_KERB: Final = 247.0
NEAR_KERB: Final = 336.0


def scale_at(row: float) -> float:
    """Units to a metre for what stands on this row."""
    return (row - HORIZON) / EYE


@final
class Ground:
    """Paints the near half onto a sheet whose units are picture rows of 384."""

    def __init__(self, sheet: Canvas, width: float, vanish: Point, dice: Dice) -> None:
        self._sheet, self._width, self._vanish, self._dice = sheet, width, vanish, dice
        self._stone = dice.pick(((206, 196, 184), (196, 192, 190), (212, 194, 172)))
        self._asphalt = dice.pick(((104, 104, 114), (96, 100, 112), (112, 106, 110)))
        self._cycle = dice.pick(((168, 98, 86), (98, 134, 118), (96, 118, 148)))

    def paint(self) -> None:
        """From the house fronts to the bottom of the picture."""
        self._pavement(FRONTS, 244.5)
        self._kerb(244.5, FAR_KERB + 1.5)
        self._band(FAR_KERB + 1.5, 262, self._cycle)
        self._band(262, 320, self._asphalt)
        self._band(320, NEAR_KERB - 2, self._cycle)
        self._patches()
        white: Colour = (240, 234, 220)
        self._line(261.4, 262.8, white)
        self._line(319.2, 321.2, white)
        for start in range(-40, 44):
            self._sheet.fill(self._tile(start * 0.55, start * 0.55 + 0.3, 285.6, 287.6), colour=white)
        self._zebra(white)
        self._bicycle_sign(white)
        self._kerb(NEAR_KERB - 2, NEAR_KERB + 2.5)
        self._pavement(NEAR_KERB + 2.5, 420)

    def _tile(self, a: float, b: float, y0: float, y1: float) -> list[Point]:
        """A piece of ground between two lines to the vanishing point; 1 is half a picture's height at row 384."""
        vx, vy = self._vanish

        def at(side: float, y: float) -> Point:
            return vx + side * 192 * (y - vy) / (384 - vy), y

        return [at(a, y0), at(b, y0), at(b, y1), at(a, y1)]

    def _band(self, y0: float, y1: float, colour: Colour) -> None:
        steps = max(2, int((y1 - y0) / 4))
        for step in range(steps):
            a, b = y0 + (y1 - y0) * step / steps, y0 + (y1 - y0) * (step + 1) / steps
            self._sheet.box(-60, a, self._width + 60, b + 0.5, colour=shade(colour, 1.06 - 0.1 * step / steps))

    def _line(self, y0: float, y1: float, colour: Colour) -> None:
        self._sheet.box(-60, y0, self._width + 60, y1, colour=colour)

    def _kerb(self, y0: float, y1: float) -> None:
        middle = y0 + (y1 - y0) * 0.45
        self._line(y0, middle, shade(self._stone, 1.12))
        self._line(middle, y1, shade(self._stone, 0.66))
        reach = range(-44, 45)
        for side in reach:
            self._sheet.fill(self._tile(side * 0.5, side * 0.5 + 0.012, y0, y1), colour=shade(self._stone, 0.56))

    def _pavement(self, y0: float, y1: float) -> None:
        self._band(y0, y1, self._stone)
        row, deep, parity = y0, 0.0, 0
        while row < y1:
            deep = (row - HORIZON) * 0.052
            for side in range(-30, 31):
                if self._dice.chance(0.2):
                    tint = shade(self._stone, self._dice.pick((0.93, 0.96, 1.03)))
                    a = (side + parity * 0.5) * 0.27
                    self._sheet.fill(self._tile(a, a + 0.27, row, min(y1, row + deep)), colour=tint)
            for side in range(-30, 31):
                a = (side + parity * 0.5) * 0.27
                self._sheet.fill(self._tile(a, a + 0.007, row, min(y1, row + deep)), colour=shade(self._stone, 0.87))
            self._line(row, row + 0.6, shade(self._stone, 0.87))
            row, parity = row + deep, 1 - parity

    def _patches(self) -> None:
        dice = self._dice
        for _ in range(4):
            y, a = dice.between(264, 312), dice.between(-2.5, 2.5)
            high = dice.between(3, 6)
            self._sheet.fill(
                self._tile(a, a + dice.between(0.2, 0.6), y, y + high),
                colour=shade(self._asphalt, dice.pick((0.88, 0.93))),
            )
        for _ in range(3):
            x, y = dice.between(0, self._width), dice.pick((274.0, 304.0))
            self._sheet.disc(x, y, 6.4, 2, colour=shade(self._asphalt, 0.7))
            self._sheet.disc(x, y - 0.3, 5.4, 1.5, colour=shade(self._asphalt, 0.84))

    def _zebra(self, white: Colour) -> None:
        offset = self._dice.pick((-1, 1)) * self._dice.between(0.42, 0.6)
        y, stripe = 263.0, 0
        while y < 319:
            deep = (y - HORIZON) * 0.03
            if stripe % 2 == 0:
                self._sheet.fill(self._tile(offset - 0.16, offset + 0.16, y, min(319, y + deep)), colour=white)
            y, stripe = y + deep, stripe + 1

    def _bicycle_sign(self, white: Colour) -> None:
        for y in (255.0, 328.0):
            x, size = self._dice.between(0.1, 0.9) * self._width, scale_at(y) * 0.34
            for wheel in (-1, 1):
                cx = x + wheel * size * 1.1
                outer = [(cx + size * 0.8 * px, y + size * 0.26 * py) for px, py in _RING]
                inner = [(cx + size * 0.56 * px, y + size * 0.15 * py) for px, py in _RING]
                self._sheet.fill(outer, inner, colour=white)
            frame = [
                (x - 1.1 * size, y),
                (x - 0.3 * size, y - 0.5 * size),
                (x + 0.7 * size, y - 0.5 * size),
                (x, y),
                (x - 1.1 * size, y),
            ]
            for start, end in pairwise(frame):
                self._sheet.limb(start, end, size * 0.12, colour=white)


_RING: Final = ((1.0, 0.0), (0.7, 0.7), (0.0, 1.0), (-0.7, 0.7), (-1.0, 0.0), (-0.7, -0.7), (0.0, -1.0), (0.7, -0.7))


def roughen(picture: npt.NDArray[np.uint8], unit: float, margin: int, dice: Dice) -> None:
    """Give the ground its grain and the walls a breath of unevenness."""
    height, width = (size - 2 * margin for size in picture.shape[:2])
    ground = int(FRONTS * unit)
    fine = (dice.bytes(height, width) >> 4).astype(np.int16) - 8
    fine[:ground] >>= 2
    fine[ground:] = (fine[ground:] * 3) >> 2
    block = max(2, int(5 * unit))
    coarse = (dice.bytes(height // block + 2, width // block + 2) >> 3).astype(np.int16) - 16
    coarse = np.repeat(np.repeat(coarse, block, axis=0), block, axis=1)[:height, :width]
    for axis in (0, 1):
        total = np.cumsum(coarse, axis=axis, dtype=np.int32)
        size, reach = coarse.shape[axis], min(3 * block // 2, coarse.shape[axis] - 1)
        ahead = np.minimum(np.arange(size) + reach, size - 1)
        behind = np.maximum(np.arange(size) - reach, 0)
        spread = (ahead - behind).reshape((-1, 1) if axis == 0 else (1, -1))
        coarse = ((np.take(total, ahead, axis) - np.take(total, behind, axis)) // spread).astype(np.int16)
    coarse[:ground] >>= 1
    grain = np.pad(fine + coarse, margin, mode="reflect")[..., None]
    np.clip(picture + grain, 0, 255, out=picture, casting="unsafe")
