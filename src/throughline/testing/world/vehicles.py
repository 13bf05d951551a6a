"""Bicycles, cars, buses and trucks, drawn from the side, facing right, one metre to the unit."""

from __future__ import annotations

from typing import Final

from throughline.testing.world.canvas import CIRCLE, Canvas, Point, mix, rounded, shade, smooth
from throughline.testing.world.dice import Dice
from throughline.testing.world.gait import on_circle
from throughline.testing.world.palette import CLOTH

_PAINT: Final = (
    (206, 60, 56), (236, 168, 56), (64, 108, 178), (74, 142, 122), (238, 234, 226), (70, 74, 84), (150, 158, 168),
    (142, 66, 90), (96, 164, 200), (222, 122, 76), (196, 206, 178), (44, 66, 100), (244, 206, 96), (232, 150, 160),
)  # fmt: skip
_GLASS: Final = (150, 190, 208)
_DARK: Final = (46, 46, 54)


def _wheel(sheet: Canvas, x: float, radius: float, phase: float) -> None:
    sheet.disc(x, radius, radius, colour=(40, 40, 46))
    sheet.disc(x, radius, radius * 0.66, colour=(92, 92, 98))
    sheet.disc(x, radius, radius * 0.58, colour=(206, 206, 208))
    for spoke in range(5):
        cx, cy = CIRCLE[int((spoke / 5 - phase / 5 + 1) * len(CIRCLE)) % len(CIRCLE)]
        sheet.limb(
            (x + radius * 0.18 * cx, radius + radius * 0.18 * cy),
            (x + radius * 0.5 * cx, radius + radius * 0.5 * cy),
            radius * 0.13,
            colour=(120, 120, 126),
        )
    sheet.disc(x, radius, radius * 0.15, colour=(78, 78, 84))


def _pane(sheet: Canvas, corners: list[Point]) -> None:
    """A side window: sky above, a gleam across."""
    sheet.fill(corners, colour=_GLASS)
    (ax, ay), (bx, by), (cx, cy), (dx, dy) = corners
    gleam = [
        (ax + (bx - ax) * 0.2, ay),
        (ax + (bx - ax) * 0.5, ay),
        (dx + (cx - dx) * 0.34, dy),
        (dx + (cx - dx) * 0.04, dy),
    ]
    sheet.fill(gleam, colour=mix(_GLASS, (255, 255, 255), 0.42))
    sheet.fill(
        [
            (dx, dy),
            (cx, cy),
            (cx + (bx - cx) * 0.18, cy + (by - cy) * 0.18),
            (dx + (ax - dx) * 0.18, dy + (ay - dy) * 0.18),
        ],
        colour=shade(_GLASS, 0.74),
    )


def _heads(sheet: Canvas, xs: tuple[float, ...], y: float, size: float, dice: Dice) -> None:
    for x in xs:
        if dice.chance(0.7):
            skin = dice.pick(((196, 150, 120), (120, 84, 66), (226, 184, 154)))
            sheet.limb((x, y - 1.35 * size), (x, y - 1.15 * size), 2.0 * size, colour=shade(dice.pick(_PAINT), 0.62))
            sheet.disc(x, y, size, colour=shade(skin, 0.8))
            sheet.disc(x - 0.12 * size, y + 0.36 * size, size * 0.95, size * 0.75, colour=(70, 54, 50))


def car(sheet: Canvas, dice: Dice, phase: float) -> None:
    """A hatchback, a saloon, an estate or a taxi."""
    paint, kind = dice.pick(_PAINT), dice.below(4)
    shapes = ((-1.35, 0.5, -1.95), (-0.95, 0.45, -2.1), (-1.7, 0.5, -2.05), (-0.95, 0.45, -2.1))
    roof_back, roof_front, tail = shapes[kind]
    high = 1.5 + (0.1 if kind == 2 else 0.0)
    deck = 0.92 if kind in (1, 3) else 1.0
    if kind == 3:
        paint = dice.pick(((244, 196, 64), (238, 232, 220), (58, 60, 68)))
    boot = roof_back - (0.45 if kind in (1, 3) else 0.24)
    body = [
        (tail + 0.2, 0.26), (tail - 0.02, 0.34), (tail - 0.04, 0.62), (tail + 0.06, deck), (boot, deck + 0.05),
        (roof_back, high - 0.05), (-0.4, high), (roof_front - 0.15, high - 0.05), (1.1, 0.98), (1.85, 0.84),
        (2.08, 0.62), (2.08, 0.34), (1.9, 0.26),
    ]  # fmt: skip
    sheet.box(tail + 0.15, 0.2, 1.95, 0.42, colour=_DARK)
    sheet.fill(smooth(body, 5), colour=paint)
    sill = [(tail + 0.08, 0.28), (tail - 0.03, 0.36), (tail - 0.04, 0.52), (2.09, 0.52), (2.08, 0.36), (1.98, 0.28)]
    sheet.fill(sill, colour=shade(paint, 0.74))
    sheet.fill([(tail + 0.06, 0.86), (1.72, 0.8), (1.95, 0.75), (tail + 0.02, 0.8)], colour=shade(paint, 1.18))
    window_top = high - 0.13
    slope = 0.3 if kind in (1, 3) else 0.14
    _pane(sheet, [(roof_back + 0.1, window_top), (-0.42, window_top), (-0.42, 0.98), (roof_back - slope + 0.06, 0.98)])
    _pane(sheet, [(-0.32, window_top), (roof_front - 0.2, window_top), (0.92, 0.98), (-0.32, 0.98)])
    _heads(sheet, (0.14, -0.78), 1.23, 0.115, dice)
    seam = shade(paint, 0.66)
    for x in (-0.38, 0.62):
        sheet.limb((x, 0.94), (x - 0.04, 0.5), 0.022, colour=seam)
    for x in (-0.62, 0.38):
        sheet.limb((x - 0.07, 0.86), (x + 0.07, 0.86), 0.04, colour=shade(paint, 0.6))
    sheet.disc(0.86, 1.02, 0.1, 0.07, colour=shade(paint, 0.86))
    if kind == 3:
        sheet.fill(rounded(-0.5, high - 0.02, -0.02, high + 0.17, 0.05), colour=(255, 240, 190), shines=True)
        for check in range(12):
            sheet.box(
                -1.3 + check * 0.2,
                0.6 + 0.05 * (check % 2),
                -1.2 + check * 0.2,
                0.65 + 0.05 * (check % 2),
                colour=_DARK,
            )
    sheet.fill(rounded(1.86, 0.58, 2.09, 0.74, 0.06), colour=(255, 246, 204), shines=True)
    sheet.fill(rounded(tail - 0.04, 0.62, tail + 0.14, 0.8, 0.05), colour=(214, 52, 46), shines=True)
    sheet.limb((1.9, 0.36), (2.1, 0.36), 0.09, colour=shade(paint, 0.5))
    sheet.limb((tail, 0.36), (tail + 0.2, 0.36), 0.09, colour=shade(paint, 0.5))
    for x in (-1.27, 1.32):
        sheet.disc(x, 0.36, 0.43, colour=shade(paint, 0.42))
        _wheel(sheet, x, 0.345, phase)


def bus(sheet: Canvas, dice: Dice, phase: float) -> None:
    """A city bus with its passengers."""
    paint, band = dice.pick(_PAINT[:5] + _PAINT[7:10]), dice.pick(((246, 238, 222), (250, 214, 120), (54, 60, 78)))
    length, high = 4.1, 3.05
    sheet.box(-3.9, 0.28, 3.9, 0.6, colour=_DARK)
    sheet.fill(rounded(-length, 0.42, length, high, 0.34), colour=paint)
    sheet.fill(rounded(-length, 0.42, length, 0.95, 0.14), colour=shade(paint, 0.78))
    sheet.box(-length, 1.02, length, 1.3, colour=band)
    sheet.fill(rounded(-3.2, high - 0.06, -0.6, high + 0.14, 0.08), colour=shade(band, 0.86))
    sheet.box(-length + 0.3, high - 0.22, length - 0.34, high - 0.13, colour=shade(paint, 1.2))
    sheet.fill(rounded(-length + 0.16, 1.4, length - 0.04, 2.62, 0.2), colour=(58, 62, 74))
    for index in range(5):
        x = -3.84 + index * 1.12
        _pane(sheet, [(x, 2.52), (x + 1.02, 2.52), (x + 1.02, 1.5), (x, 1.5)])
        _heads(sheet, (x + 0.5,), 1.86, 0.15, dice)
    _pane(sheet, [(3.22, 2.52), (3.98, 2.52), (4.04, 1.36), (3.22, 1.36)])
    _heads(sheet, (3.5,), 1.84, 0.16, dice)
    for x in (1.86, 2.5):
        sheet.fill(rounded(x, 0.5, x + 0.58, 2.5, 0.08), colour=(52, 56, 68))
        _pane(sheet, [(x + 0.07, 2.4), (x + 0.51, 2.4), (x + 0.51, 0.66), (x + 0.07, 0.66)])
    sheet.fill(rounded(2.0, 2.66, 3.9, 2.94, 0.06), colour=(40, 38, 40))
    letter = 2.14
    for _ in range(6):
        step = dice.between(0.12, 0.28)
        sheet.box(letter, 2.73, letter + step, 2.87, colour=(255, 188, 70), shines=True)
        letter += step + 0.07
    sheet.fill(rounded(3.84, 0.72, 4.1, 0.96, 0.08), colour=(255, 246, 204), shines=True)
    sheet.box(-4.1, 0.8, -3.98, 1.22, colour=(214, 52, 46), shines=True)
    sheet.limb((4.08, 2.3), (4.26, 2.16), 0.06, colour=_DARK)
    sheet.fill(rounded(4.17, 1.72, 4.33, 2.2, 0.06), colour=_DARK)
    for x in (-2.5, 2.95 - 1.75):
        sheet.disc(x, 0.5, 0.6, colour=shade(paint, 0.4))
        _wheel(sheet, x, 0.48, phase)


def truck(sheet: Canvas, dice: Dice, phase: float) -> None:
    """A delivery truck: a box with somebody's sign on it, a tank, or a load of crates."""
    cab, kind = dice.pick(_PAINT), dice.below(3)
    cargo = dice.pick(((244, 238, 226), (226, 196, 140), (120, 164, 176), (206, 108, 88), (176, 194, 150)))
    sheet.box(-3.2, 0.4, 3.0, 0.68, colour=_DARK)
    if kind == 0:
        sheet.fill(rounded(-3.35, 0.66, 1.22, 2.95, 0.08), colour=cargo)
        sheet.box(-3.35, 0.66, 1.22, 0.86, colour=shade(cargo, 0.68))
        sheet.box(-3.35, 2.8, 1.22, 2.95, colour=shade(cargo, 1.12))
        for rib in range(-6, 3):
            sheet.box(rib * 0.5 - 0.2, 0.9, rib * 0.5 - 0.17, 2.78, colour=shade(cargo, 0.93))
        sign = dice.pick(_PAINT)
        x = dice.between(-2.2, 0.1)
        sheet.disc(x, 1.85, 0.62, colour=sign)
        leaf = [(x - 0.35, 1.6), (x - 0.2, 2.05), (x + 0.34, 2.18), (x + 0.2, 1.68)]
        sheet.fill(smooth(leaf), colour=mix(cargo, (255, 255, 255), 0.5))
        sheet.limb((x - 0.4, 1.52), (x + 0.16, 1.98), 0.06, colour=sign)
        sheet.box(-3.35, 1.02, 1.22, 1.12, colour=sign)
    elif kind == 1:
        steel = mix(cargo, (226, 228, 232), 0.6)
        sheet.fill(rounded(-3.3, 0.78, 1.16, 2.5, 0.8), colour=steel)
        sheet.fill(rounded(-3.1, 0.86, 0.96, 1.5, 0.3), colour=shade(steel, 0.8))
        sheet.limb((-2.7, 2.2), (0.5, 2.2), 0.14, colour=mix(steel, (255, 255, 255), 0.6))
        for x in (-2.2, -1.07, 0.1):
            sheet.box(x - 0.04, 0.78, x + 0.04, 2.5, colour=shade(steel, 0.68))
        sheet.fill(rounded(-1.4, 2.46, -0.7, 2.7, 0.1), colour=shade(steel, 0.7))
        sheet.box(-3.3, 1.5, 1.16, 1.7, colour=dice.pick(_PAINT))
    else:
        sheet.box(-3.3, 0.68, 1.2, 0.9, colour=shade(cab, 0.7))
        x = -3.2
        while x < 0.5:
            wide, high = dice.between(0.6, 1.0), dice.between(0.7, 1.5)
            wood = dice.pick(((198, 148, 92), (176, 122, 76), (214, 170, 112)))
            sheet.box(x, 0.9, x + wide, 0.9 + high, colour=wood)
            for plank in range(1, 4):
                sheet.box(x, 0.9 + high * plank / 4, x + wide, 0.93 + high * plank / 4, colour=shade(wood, 0.72))
            sheet.limb((x + 0.05, 0.95), (x + wide - 0.05, 0.85 + high), 0.07, colour=shade(wood, 0.84))
            x += wide + 0.04
        sheet.box(-3.3, 0.86, 1.2, 1.26, colour=shade(cab, 0.86))
        for post in range(6):
            sheet.box(-3.3 + post * 0.88, 0.8, -3.2 + post * 0.88, 1.3, colour=shade(cab, 0.6))
    nose = [(1.36, 0.62), (1.36, 2.42), (1.6, 2.55), (2.5, 2.5), (3.02, 1.55), (3.22, 1.38), (3.25, 0.62)]
    sheet.fill(nose, colour=cab)
    sheet.fill([(1.36, 0.62), (1.36, 1.02), (3.25, 1.02), (3.25, 0.62)], colour=shade(cab, 0.76))
    sheet.box(1.36, 1.22, 3.18, 1.3, colour=shade(cab, 1.2))
    _pane(sheet, [(1.86, 2.32), (2.42, 2.32), (2.86, 1.5), (1.86, 1.5)])
    _heads(sheet, (2.2,), 1.78, 0.15, dice)
    sheet.limb((1.76, 2.36), (1.76, 0.8), 0.025, colour=shade(cab, 0.66))
    sheet.limb((1.86, 1.36), (2.04, 1.36), 0.05, colour=shade(cab, 0.6))
    sheet.limb((2.7, 1.98), (3.0, 1.98), 0.05, colour=_DARK)
    sheet.limb((3.02, 2.0), (3.02, 1.66), 0.12, colour=_DARK)
    sheet.fill(rounded(3.0, 0.82, 3.26, 1.06, 0.08), colour=(255, 246, 204), shines=True)
    sheet.box(-3.36, 0.72, -3.24, 0.95, colour=(214, 52, 46), shines=True)
    sheet.box(2.7, 0.42, 3.3, 0.68, colour=shade(cab, 0.5))
    for x in (-2.3, -1.25, 2.1):
        sheet.disc(x, 0.5, 0.58, colour=_DARK)
        _wheel(sheet, x, 0.47, phase)


def bicycle(sheet: Canvas, dice: Dice, phase: float) -> None:
    """A city bicycle, its wheels turning with the phase."""
    paint, rubber = dice.pick(CLOTH), (46, 44, 50)
    back, front, crank, seat, neck = (-0.56, 0.36), (0.56, 0.36), (0.02, 0.34), (-0.2, 0.84), (0.38, 0.9)
    for x, y in (back, front):
        for spoke in range(4):
            cx, cy = on_circle(spoke / 8 - phase / 4)
            sheet.limb((x - 0.3 * cx, y - 0.3 * cy), (x + 0.3 * cx, y + 0.3 * cy), 0.022, colour=(168, 168, 172))
        sheet.ring(x, y, 0.36, 0.285, colour=rubber)
        sheet.ring(x, y, 0.3, 0.272, colour=(206, 204, 200))
    cx, cy = on_circle(phase + 0.5)
    sheet.limb(crank, (0.02 + 0.16 * cy, 0.34 + 0.16 * cx), 0.04, colour=rubber)
    for a, b, wide in (
        (back, crank, 0.05),
        (back, seat, 0.045),
        (crank, seat, 0.06),
        (crank, neck, 0.065),
        (seat, (0.36, 0.8), 0.055),
        (neck, front, 0.055),
    ):
        sheet.limb(a, b, wide, colour=paint)
    sheet.limb((-0.2, 0.84), (-0.22, 0.93), 0.04, colour=rubber)
    sheet.limb((-0.34, 0.95), (-0.12, 0.95), 0.075, 0.05, colour=(96, 60, 46))
    sheet.limb(neck, (0.37, 1.04), 0.045, colour=rubber)
    sheet.limb((0.37, 1.04), (0.47, 1.08), 0.045, colour=rubber)
    if dice.below(2):
        sheet.fill([(0.5, 0.98), (0.8, 0.98), (0.74, 0.74), (0.54, 0.74)], colour=(186, 132, 82))
        sheet.box(0.49, 0.93, 0.81, 0.99, colour=(152, 102, 62))
    else:
        sheet.box(-0.84, 0.76, -0.34, 0.8, colour=rubber)
    sheet.disc(*crank, 0.09, colour=shade(paint, 0.7))
    cx, cy = on_circle(phase)
    sheet.limb(crank, (0.02 + 0.16 * cy, 0.34 + 0.16 * cx), 0.04, colour=(90, 88, 92))
    sheet.disc(0.5, 0.86, 0.05, colour=(255, 244, 196), shines=True)
