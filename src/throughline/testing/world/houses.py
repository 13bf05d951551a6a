"""House fronts: no two alike, each with its roof, windows, curtains, and perhaps a shop."""

from __future__ import annotations

from typing import Final, final

from throughline.testing.world.canvas import Canvas, Colour, mix, rounded, shade
from throughline.testing.world.dice import Dice
from throughline.testing.world.palette import LAMPLIGHT, Palette

FRONTS: Final = 224.0
"""The picture row where the house fronts meet the pavement."""

WALLS: Final = (
    (206, 116, 88), (230, 184, 112), (242, 226, 196), (222, 158, 146), (104, 150, 150), (122, 146, 176),
    (172, 90, 74), (160, 178, 142), (236, 204, 150), (196, 132, 104), (148, 128, 152), (214, 206, 190),
)  # fmt: skip
_ROOFS: Final = ((112, 84, 84), (82, 94, 108), (150, 88, 70), (96, 104, 100))
_AWNINGS: Final = ((198, 70, 62), (56, 118, 112), (226, 160, 58), (70, 96, 150), (150, 70, 100), (92, 132, 78))
_GLASS: Final = (126, 162, 182)


@final
class Houses:
    """Paints house fronts side by side."""

    def __init__(self, sheet: Canvas, palette: Palette, dice: Dice) -> None:
        self._sheet, self._palette, self._dice = sheet, palette, dice

    def build(self, x: float, way: int) -> tuple[float, float, Colour]:
        """Build one from ``x``, leftwards or rightwards (``way``); returns its width, height and colour."""
        sheet, dice = self._sheet, self._dice
        storeys = 2 + dice.below(3)
        storey = dice.between(33, 39)
        shop = dice.chance(0.62)
        ground = dice.between(42, 47)
        columns = 2 + dice.below(4)
        pitch = dice.between(21, 27)
        wide = columns * pitch + dice.between(6, 12)
        left = x if way > 0 else x - wide
        right, top = left + wide, FRONTS - ground - (storeys - 1) * storey
        wall, trim = dice.pick(WALLS), dice.pick(((246, 238, 222), (232, 222, 206), (92, 80, 84)))
        self._roof(left, right, top, wall, trim)
        sheet.box(left, top, right, FRONTS, colour=wall)
        bands = 9
        for band in range(bands):  # sunlight slides down the wall
            y0, y1 = top + (FRONTS - top) * band / bands, top + (FRONTS - top) * (band + 1) / bands
            sheet.box(left, y0, right, y1, colour=mix(shade(wall, 1.08), shade(wall, 0.9), band / bands))
        self._courses(left, right, top, wall)
        edge = right if way > 0 else left
        sheet.box(min(edge, edge - 3 * way), top, max(edge, edge - 3 * way), FRONTS, colour=shade(wall, 0.82))
        style, balcony = dice.below(4), dice.below(8)
        shutter = dice.pick(_AWNINGS)
        for floor in range(storeys - 1):
            y = top + floor * storey + 7
            for column in range(columns):
                centre = left + (wide - columns * pitch) / 2 + (column + 0.5) * pitch
                self._window(centre, y, pitch * 0.46, storey - 15, style, wall, trim, shutter)
            if balcony == floor:
                self._balcony(left + 7, right - 7, y + storey - 11)
        if shop:
            self._shop(left, right, FRONTS - ground + 3)
        else:
            self._ground_floor(left, wide, columns, pitch, FRONTS - ground, wall, trim, style, shutter)
        sheet.box(left, FRONTS - 5, right, FRONTS, colour=shade(wall, 0.6))
        sheet.box(left, FRONTS - ground - 1.5, right, FRONTS - ground + 1.2, colour=mix(trim, wall, 0.25))
        sheet.box(left, FRONTS - ground + 1.2, right, FRONTS - ground + 2.4, colour=shade(wall, 0.7))
        return wide, FRONTS - top, wall

    def _courses(self, left: float, right: float, top: float, wall: Colour) -> None:
        """Bricks that show here and there, as plaster ages."""
        dice = self._dice
        for _ in range(int((right - left) * (FRONTS - top) / 130)):
            x, y = dice.between(left + 2, right - 8), top + 4 + dice.below(max(1, int((FRONTS - top) / 3))) * 3.0
            colour = shade(wall, dice.pick((0.88, 0.93, 1.07, 1.12)))
            self._sheet.box(x, y, x + dice.between(3, 6), y + 1.5, colour=colour)

    def _roof(self, left: float, right: float, top: float, wall: Colour, trim: Colour) -> None:
        sheet, dice = self._sheet, self._dice
        tiles, kind = dice.pick(_ROOFS), dice.below(4)
        for _ in range(dice.below(3)):
            x, high = dice.between(left + 8, right - 14), dice.between(14, 22) + (12 if kind < 2 else 0)
            sheet.box(x, top - high, x + 7, top, colour=shade(wall, 0.78))
            sheet.box(x + 4.5, top - high, x + 7, top, colour=shade(wall, 0.66))
            sheet.box(x - 1, top - high, x + 8, top - high + 2.5, colour=shade(wall, 0.6))
        if kind == 0:
            middle, rise = (left + right) / 2, min(34.0, (right - left) * 0.32)
            sheet.fill([(left - 3, top + 1), (right + 3, top + 1), (middle, top - rise)], colour=tiles)
            sheet.fill([(middle, top + 1), (right + 3, top + 1), (middle, top - rise)], colour=shade(tiles, 0.86))
            sheet.disc(middle, top - rise * 0.42, 4, colour=shade(tiles, 0.6))
            sheet.disc(middle, top - rise * 0.42, 3, colour=_GLASS)
        elif kind == 1:
            rise = dice.between(20, 27)
            sheet.fill([(left, top), (right, top), (right - 8, top - rise), (left + 8, top - rise)], colour=tiles)
            for row in range(1, 6):
                y = top - rise * row / 6
                sheet.box(left + 8 * row / 6, y, right - 8 * row / 6, y + 0.8, colour=shade(tiles, 0.88))
            for x in range(int(left) + 16, int(right) - 14, 24):
                sheet.box(x - 5, top - rise * 0.74, x + 5, top - 2, colour=trim)
                sheet.box(x - 3.2, top - rise * 0.62, x + 3.2, top - 4, colour=_GLASS)
                sheet.fill(
                    [(x - 6.5, top - rise * 0.74), (x + 6.5, top - rise * 0.74), (x, top - rise)],
                    colour=shade(tiles, 0.8),
                )
        else:
            if kind == 3:
                x = dice.between(left + 8, right - 20)
                sheet.limb((x, top), (x, top - 20), 0.9, colour=(84, 84, 92))
                for arm in range(3):
                    sheet.limb(
                        (x - 5 + arm, top - 19 + arm * 3), (x + 5 - arm, top - 19 + arm * 3), 0.8, colour=(84, 84, 92)
                    )
            sheet.box(left, top - 6, right, top, colour=shade(wall, 0.92))
        sheet.box(left - 2, top - 2, right + 2, top + 2, colour=trim)
        sheet.box(left, top + 2, right, top + 3.4, colour=shade(wall, 0.72))

    def _window(
        self, x: float, y: float, wide: float, high: float, style: int, wall: Colour, trim: Colour, shutter: Colour
    ) -> None:
        sheet, dice = self._sheet, self._dice
        half, lamp, lean = wide / 2, dice.chance(self._palette.lit), wide * dice.between(0.2, 0.5)
        warmth = dice.pick(LAMPLIGHT)
        if style == 3:
            for side in (-1, 1):
                x0, x1 = sorted((x + side * (half + 0.8), x + side * (half + wide * 0.42)))
                sheet.box(x0, y, x1, y + high, colour=shutter)
                for slat in range(1, 7):
                    sheet.box(x0, y + high * slat / 7, x1, y + high * slat / 7 + 0.6, colour=shade(shutter, 0.8))
        sheet.box(x - half - 1.4, y - 1.4, x + half + 1.4, y + high + 1, colour=trim)
        if style == 1:
            sheet.disc(x, y, half + 1.4, 5, colour=trim)
        glass = warmth if lamp else mix(_GLASS, self._palette.mood.sky[1], 0.25)
        sheet.box(x - half, y, x + half, y + high, colour=glass, shines=lamp)
        if style == 1:
            sheet.disc(x, y + 0.5, half, 3.8, colour=glass, shines=lamp)
        if not lamp:
            sheet.box(x - half, y, x + half, y + high * 0.3, colour=shade(glass, 0.74))
            gleam = [
                (x - half + lean, y),
                (x - half + lean + wide * 0.28, y),
                (x - half + wide * 0.34, y + high),
                (x - half, y + high),
            ]
            sheet.fill(gleam, colour=mix(glass, (255, 255, 255), 0.3))
        curtain = dice.below(4)
        if curtain == 0:
            cloth = dice.pick(((240, 230, 214), (206, 150, 130), (176, 190, 170)))
            sheet.fill([(x - half, y), (x - half * 0.2, y), (x - half, y + high * 0.8)], colour=cloth, shines=lamp)
            sheet.fill([(x + half, y), (x + half * 0.2, y), (x + half, y + high * 0.8)], colour=cloth, shines=lamp)
        sheet.box(x - 0.55, y, x + 0.55, y + high, colour=trim)
        sheet.box(x - half, y + high * 0.42, x + half, y + high * 0.42 + 1, colour=trim)
        sheet.box(x - half - 2.2, y + high, x + half + 2.2, y + high + 2, colour=trim)
        sheet.box(x - half - 2, y + high + 2, x + half + 2, y + high + 3, colour=shade(wall, 0.72))
        if dice.chance(0.28):
            sheet.box(x - half, y + high - 2, x + half, y + high + 1, colour=(140, 84, 60))
            for _ in range(7):
                petal = dice.pick(((96, 140, 74), (76, 122, 66), (226, 84, 98), (246, 196, 90), (236, 140, 170)))
                sheet.disc(x + dice.between(-half, half), y + high - dice.between(1.5, 4), 1.3, colour=petal)

    def _balcony(self, left: float, right: float, y: float) -> None:
        iron = (62, 62, 72)
        self._sheet.box(left, y, right, y + 2, colour=(196, 184, 170))
        self._sheet.box(left, y + 2, right, y + 3.2, colour=(120, 104, 100))
        self._sheet.box(left, y - 9, right, y - 8, colour=iron)
        for x in range(int(left), int(right) + 1, 3):
            self._sheet.box(x, y - 9, x + 0.6, y, colour=iron)

    def _shop(self, left: float, right: float, top: float) -> None:
        sheet, dice = self._sheet, self._dice
        paint, lamp = dice.pick(_AWNINGS), dice.chance(max(0.35, self._palette.lit))
        frame = shade(paint, 0.5)
        sheet.box(left + 3, top, right - 3, FRONTS, colour=frame)
        sheet.box(left + 4, top + 1, right - 4, top + 9, colour=shade(paint, 0.82))
        letters = left + (right - left) * 0.3
        while letters < right - (right - left) * 0.3:
            step = dice.between(2.2, 4.2)
            sheet.box(
                letters, top + 3.2, letters + step, top + 7, colour=(250, 238, 206), shines=self._palette.night > 0.3
            )
            letters += step + 1.3
        door = dice.between(left + 12, right - 24)
        glass = mix((255, 222, 150), (120, 140, 150), 0.15) if lamp else (108, 136, 150)
        for x0, x1 in ((left + 6, door - 1.5), (door + 14, right - 6)):
            if x1 - x0 < 6:
                continue
            sheet.box(x0, top + 12, x1, FRONTS - 8, colour=glass, shines=lamp and self._palette.night > 0.3)
            sheet.fill(
                [(x0 + 5, top + 12), (x0 + 12, top + 12), (x0 + 6, FRONTS - 8), (x0, FRONTS - 8)],
                colour=mix(glass, (255, 255, 255), 0.25),
            )
            x = x0 + 2.0
            while x < x1 - 3:
                ware = dice.pick(((214, 96, 80), (238, 190, 96), (104, 150, 120), (96, 116, 166), (236, 226, 206)))
                size = dice.between(2, 4)
                sheet.box(x, FRONTS - 8 - size * 1.6, x + size, FRONTS - 8, colour=ware)
                x += size + dice.between(0.6, 2)
        sheet.box(door, top + 12, door + 12, FRONTS, colour=shade(paint, 0.66))
        sheet.box(door + 1.8, top + 14, door + 10.2, FRONTS - 10, colour=mix(glass, (60, 70, 84), 0.35))
        sheet.disc(door + 9.8, FRONTS - 9, 0.8, colour=(236, 206, 120))
        stripes = max(3, int((right - left - 8) / 6))
        step, white = (right - left - 8) / stripes, dice.pick(((250, 242, 226), (244, 222, 184)))
        for index in range(stripes):
            colour, x = (paint if index % 2 else white), left + 4 + index * step
            sheet.fill([(x, top + 9), (x + step, top + 9), (x + step, top + 18), (x, top + 18)], colour=colour)
            sheet.disc(x + step / 2, top + 18, step / 2, 2.2, colour=colour)
            sheet.box(x, top + 9, x + step, top + 11, colour=shade(colour, 0.86))

    def _ground_floor(
        self,
        left: float,
        wide: float,
        columns: int,
        pitch: float,
        top: float,
        wall: Colour,
        trim: Colour,
        style: int,
        shutter: Colour,
    ) -> None:
        sheet, dice = self._sheet, self._dice
        entry = dice.below(columns)
        for column in range(columns):
            centre = left + (wide - columns * pitch) / 2 + (column + 0.5) * pitch
            if column != entry:
                self._window(centre, top + 10, pitch * 0.46, 20, style, wall, trim, shutter)
                continue
            door = dice.pick(_AWNINGS)
            sheet.fill(rounded(centre - 8, top + 7, centre + 8, FRONTS + 4, 4), colour=trim)
            sheet.box(centre - 6.4, top + 10, centre + 6.4, FRONTS, colour=shade(door, 0.8))
            sheet.box(
                centre - 4.6, top + 12, centre + 4.6, top + 20, colour=(255, 222, 150), shines=self._palette.night > 0.3
            )
            sheet.box(centre - 4.6, top + 23, centre + 4.6, FRONTS - 4, colour=shade(door, 0.66))
            sheet.disc(centre + 4.8, top + 25, 0.9, colour=(240, 210, 120))
            sheet.box(centre - 9, FRONTS - 2.5, centre + 9, FRONTS, colour=(188, 178, 168))
