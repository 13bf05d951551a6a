"""The far half of the street: sky, clouds, what lies down the side street, and the rows of houses.

Everything is laid out on a sheet 384 units high, however large the picture is.
"""

from __future__ import annotations

from typing import Final, final

from throughline.testing.world.canvas import Canvas, Colour, Point, mix, shade, smooth
from throughline.testing.world.dice import Dice
from throughline.testing.world.houses import FRONTS, WALLS, Houses
from throughline.testing.world.palette import LAMPLIGHT, Palette

HORIZON: Final = 128.0


@final
class Backdrop:
    """Paints the far half onto a sheet whose units are picture rows of 384."""

    def __init__(self, sheet: Canvas, width: float, palette: Palette, dice: Dice) -> None:
        self._sheet, self._width, self._palette, self._dice = sheet, width, palette, dice
        self._houses = Houses(sheet, palette, dice)
        self._gap = dice.between(0.34, 0.66) * width
        self._half = dice.between(40.0, 54.0)
        self.sun: Point = (self._gap, 60.0)

    @property
    def vanish(self) -> Point:
        """Where everything that runs away from us meets."""
        return self._gap, HORIZON

    def paint(self) -> None:
        """Back to front."""
        self._sky()
        self._distance()
        corners = [self._terrace(self._gap + way * self._half, way) for way in (-1, 1)]
        self._side_street(corners)

    def _terrace(self, x: float, way: int) -> tuple[float, Colour]:
        """A row of houses away from the side street; returns the corner house's height and colour."""
        wide, high, wall = self._houses.build(x, way)
        while -30 < (x := x + way * wide) < self._width + 30:
            wide, _, _ = self._houses.build(x, way)
        return high, wall

    def _sky(self) -> None:
        sheet, dice, mood, tone = self._sheet, self._dice, self._palette.mood, self._palette.sky()
        top, middle, low = mood.sky
        for y in range(-20, 232, 2):
            share = min(1.0, max(0.0, y / 200))
            colour = mix(top, middle, share * 2) if share < 0.5 else mix(middle, low, share * 2 - 1)
            sheet.box(-40, y, self._width + 40, y + 2.5, colour=tone(colour), shines=True)
        if self._palette.night > 0.5:
            stars = Dice(90)  # the same above every street, and no draw of the street's own
            for _ in range(90):
                star, up, size = stars.between(0, self._width), stars.between(-8, 110), stars.between(0.25, 0.7)
                colour = mix(tone(top), (255, 250, 226), stars.between(0.3, 0.9))
                sheet.disc(star, up, size, colour=colour, shines=True)
        sun_x, sun_y = self._gap + dice.pick((-1, 1)) * dice.between(16, 34), dice.between(40, 80)
        self.sun = (sun_x, sun_y)
        sheet.disc(sun_x, sun_y, 12.5, colour=tone(mood.sun), shines=True)
        for _ in range(5 + dice.below(4)):
            self._cloud(dice.between(-20, self._width + 20), dice.between(2, 96))

    def _cloud(self, x: float, y: float) -> None:
        dice, tone, (bright, dim) = self._dice, self._palette.sky(), self._palette.mood.cloud
        size = 6 + y * 0.02 + dice.between(0, 7)
        puffs = [(x + size * dice.between(-2.6, 2.6), size * dice.between(0.5, 1.15)) for _ in range(7)]
        base = mix(self._palette.mood.sky[1], dim, 0.6)
        for colour, drop in ((base, 1.6), (mix(dim, bright, 0.55), 0.0), (bright, -1.8)):
            shrink = 1.0 if drop >= 0 else 0.72
            for px, r in puffs:
                flat = [
                    (px + r * shrink * cx * 1.25, y + drop + min(0.22 * r, r * shrink * cy * 0.75))
                    for cx, cy in smooth(_PUFF, 4)
                ]
                self._sheet.fill(flat, colour=tone(colour), shines=True)

    def _distance(self) -> None:
        """Hills, a skyline and a tower, each nearer one less hazy."""
        sheet, dice, haze = self._sheet, self._dice, self._palette.mood.haze
        hills = [(x * 24.0, 128 - dice.between(6, 34)) for x in range(-2, int(self._width / 24) + 4)]
        sheet.fill([*hills, (self._width + 90, 240), (-60, 240)], colour=mix(haze, (112, 136, 150), 0.34))
        for block in range(int(self._gap) - 90, int(self._gap) + 90, 12):
            top = 128 - dice.between(4, 26)
            wide, clear = dice.between(9, 14), 0.4 + dice.between(0, 0.12)
            sheet.box(block, top, block + wide, 240, colour=mix(haze, (126, 112, 128), clear))
        x, wall = self._gap + dice.between(-16, 16), mix(haze, (150, 106, 92), 0.62)
        sheet.box(x - 5, 78, x + 5, 160, colour=wall)
        sheet.box(x, 78, x + 5, 160, colour=shade(wall, 0.9))
        sheet.fill([(x - 6.5, 78), (x + 6.5, 78), (x, 54)], colour=mix(haze, (92, 92, 112), 0.72))
        sheet.fill([(x, 78), (x + 6.5, 78), (x, 54)], colour=mix(haze, (74, 74, 98), 0.76))
        sheet.disc(x, 87, 2.8, colour=(250, 240, 214), shines=self._palette.night > 0.3)
        sheet.limb((x, 87), (x, 85.2), 0.5, colour=(60, 50, 60))
        sheet.limb((x, 87), (x + 1.3, 87.4), 0.5, colour=(60, 50, 60))
        for _ in range(16):
            tx, ty = self._gap + dice.between(-11, 11), dice.between(143, 153)
            sheet.disc(tx, ty, dice.between(2.5, 5), colour=mix(haze, (86, 122, 84), dice.between(0.5, 0.75)))

    def _side_street(self, corners: list[tuple[float, Colour]]) -> None:
        """Two rows of houses that run away to the vanishing point."""
        sheet, dice, haze = self._sheet, self._dice, self._palette.mood.haze
        vx, vy = self.vanish
        near, far = 0.0, 0.74

        def at(side: float, up: float, away: float) -> Point:
            return vx + side * self._half * (1 - away), vy + (FRONTS - up - vy) * (1 - away)

        sheet.fill([at(-1, 0, 0), at(1, 0, 0), at(1, 0, far), at(-1, 0, far)], colour=mix(haze, (120, 114, 118), 0.72))
        sheet.fill(
            [at(-0.62, 0, 0), at(0.62, 0, 0), at(0.62, 0, far), at(-0.62, 0, far)], colour=mix(haze, (92, 92, 104), 0.8)
        )
        for dash in range(7):
            a = 1 - 1 / (1 + dash * 0.42)
            b = 1 - 1 / (1.16 + dash * 0.42)
            sheet.fill(
                [at(-0.03, 0, a), at(0.03, 0, a), at(0.03, 0, b), at(-0.03, 0, b)],
                colour=mix(haze, (244, 238, 220), 0.7),
            )
        for side in (-1, 1):
            stops = [near, 0.32, 0.54, far]
            for index in range(2, -1, -1):
                a, b = stops[index], stops[index + 1]
                high, paint = corners[side > 0] if index == 0 else (dice.between(100, 150), dice.pick(WALLS))
                clear = (1 - a) * 0.75 + 0.1
                wall = mix(haze, shade(paint, 0.72 if side < 0 else 0.9), clear)
                sheet.fill([at(side, 0, a), at(side, high, a), at(side, high, b), at(side, 0, b)], colour=wall)
                sheet.fill(
                    [at(side, high, a), at(side, high + 7, a), at(side, high + 7, b), at(side, high, b)],
                    colour=shade(wall, 0.8),
                )
                glass = mix(haze, (98, 116, 136), clear)
                for column in range(4):
                    u0, u1 = a + (b - a) * (column + 0.25) / 4, a + (b - a) * (column + 0.72) / 4
                    for floor in range(int(high / 34)):
                        up = 14 + floor * 34
                        lamp, warmth = dice.chance(self._palette.lit), dice.pick(LAMPLIGHT)
                        colour = warmth if lamp else glass
                        pane = [at(side, up, u0), at(side, up + 19, u0), at(side, up + 19, u1), at(side, up, u1)]
                        sheet.fill(pane, colour=colour, shines=lamp)


_PUFF: Final = ((1.0, 0.0), (0.7, -0.7), (0.0, -1.0), (-0.7, -0.7), (-1.0, 0.0), (-0.6, 0.5), (0.0, 0.55), (0.6, 0.5))
