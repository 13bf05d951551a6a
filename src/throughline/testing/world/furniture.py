"""What stands in the street and hides what passes behind it: trees, lamps, benches, planters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from throughline.testing.world.canvas import Canvas, Colour, mix, rounded, shade
from throughline.testing.world.dice import Dice
from throughline.testing.world.ground import FAR_KERB, NEAR_KERB, scale_at
from throughline.testing.world.palette import Palette

ROWS: Final = (FAR_KERB, NEAR_KERB, 392.0)
"""The picture rows that furniture stands on, far to near."""

_IRON: Final = (58, 64, 72)
_LEAVES: Final = (
    ((56, 98, 66), (86, 136, 76), (140, 178, 92)),
    ((50, 92, 78), (74, 128, 96), (122, 168, 112)),
    ((70, 104, 54), (112, 146, 66), (174, 194, 96)),
    ((160, 84, 48), (212, 124, 56), (246, 178, 84)),
    ((176, 98, 122), (226, 150, 168), (252, 200, 208)),
)


@dataclass(frozen=True, slots=True)
class Pool:
    """A round of shade on the ground, or of light about a lamp."""

    x: float
    y: float
    reach: float
    lamp: bool = False


def furnish(sheet: Canvas, row: int, width: float, palette: Palette, dice: Dice) -> list[Pool]:
    """Paint one row of furniture; returns the shade and the lamplight that it throws."""
    ground, season = ROWS[row], dice.below(len(_LEAVES))
    pools: list[Pool] = []
    if row == 2:
        _verge(sheet, width, ground, _LEAVES[season if season < 3 else 0], dice)
        return pools
    metre = scale_at(ground)
    step = metre * (7.0 if row == 0 else 8.5)
    x = dice.between(0.1, 0.9) * step - step
    while x < width + step:
        kind = dice.below(10)
        if kind < (5 if row == 0 else 3):
            _tree(sheet, x, ground, metre * dice.between(0.85, 1.1), _LEAVES[season], dice)
            pools.append(Pool(x, ground, metre * 1.5))
        elif kind < 7:
            _lamp(sheet, x, ground, metre, palette)
            pools.append(Pool(x, ground, metre * 0.3))
            pools.append(Pool(x, ground - 4.1 * metre, metre * 2.0, lamp=True))
        elif kind < 8:
            _bench(sheet, x, ground, metre)
            pools.append(Pool(x, ground, metre * 1.1))
        elif kind < 9:
            _planter(sheet, x, ground, metre, _LEAVES[dice.below(3)], dice)
            pools.append(Pool(x, ground, metre * 0.7))
        else:
            _post_box(sheet, x, ground, metre, dice)
            pools.append(Pool(x, ground, metre * 0.5))
        for offset in (0.25, 0.5, 0.75):
            if dice.chance(0.5):
                _bollard(sheet, x + step * offset, ground, metre)
        x += step * dice.between(0.9, 1.2)
    return pools


def _crown(
    sheet: Canvas, x: float, y: float, rx: float, ry: float, leaves: tuple[Colour, Colour, Colour], dice: Dice
) -> None:
    """Leaves in three tones, the lit ones towards the upper left."""
    spots: list[tuple[float, float, float]] = []
    while len(spots) < 34:
        u, v = dice.between(-1, 1), dice.between(-1, 1)
        if u * u + v * v < 1:
            spots.append((x + u * rx * 0.8, y + v * ry * 0.8, dice.between(0.2, 0.36) * min(rx, ry)))
    passes: tuple[tuple[Colour, float, float, Callable[[float, float], bool]], ...] = (
        (shade(leaves[0], 0.86), 0.08, 1.12, lambda u, v: True),
        (leaves[0], 0.0, 1.0, lambda u, v: True),
        (leaves[1], -0.08, 0.8, lambda u, v: u * 0.5 + v < 0.45),
        (mix(leaves[1], leaves[2], 0.55), -0.15, 0.6, lambda u, v: u * 0.6 + v < 0.05),
        (leaves[2], -0.2, 0.4, lambda u, v: u * 0.7 + v < -0.3),
    )
    for colour, lift, size, lit in passes:
        for sx, sy, r in spots:
            if lit((sx - x) / rx, (sy - y) / ry):
                sheet.disc(sx + lift * r, sy + lift * r * 2, r * size, colour=colour)
    for _ in range(40):
        u, v = dice.between(-0.8, 0.8), dice.between(-0.8, 0.8)
        if u * u + v * v < 0.56:
            colour = mix(leaves[1], leaves[2] if u * 0.6 + v < dice.between(-0.6, 0.4) else leaves[0], 0.6)
            r = 0.036 * min(rx, ry) * dice.between(0.7, 1.5)
            sheet.disc(x + u * rx, y + v * ry, r * 1.3, r, colour=colour)


def _tree(
    sheet: Canvas, x: float, ground: float, metre: float, leaves: tuple[Colour, Colour, Colour], dice: Dice
) -> None:
    bark, lean = (112, 84, 70), dice.between(-0.15, 0.15) * metre
    fork = ground - 2.7 * metre
    sheet.fill(
        rounded(x - 0.62 * metre, ground - 0.14 * metre, x + 0.62 * metre, ground + 0.16 * metre, 0.14 * metre),
        colour=(98, 80, 70),
    )
    sheet.limb((x, ground), (x + lean, fork), 0.3 * metre, 0.22 * metre, colour=bark)
    sheet.limb(
        (x + 0.06 * metre, ground), (x + lean + 0.05 * metre, fork), 0.13 * metre, 0.1 * metre, colour=shade(bark, 0.8)
    )
    for side in (-0.8, -0.3, 0.45, 0.9):
        sheet.limb(
            (x + lean, fork + 0.3 * metre),
            (x + lean + side * metre, fork - dice.between(0.9, 1.4) * metre),
            0.15 * metre,
            0.07 * metre,
            colour=bark,
        )
    _crown(sheet, x + lean, fork - 1.35 * metre, 1.62 * metre, 1.5 * metre, leaves, dice)


def _lamp(sheet: Canvas, x: float, ground: float, metre: float, palette: Palette) -> None:
    top = ground - 3.9 * metre
    sheet.box(x - 0.17 * metre, ground - 0.5 * metre, x + 0.17 * metre, ground, colour=_IRON)
    sheet.limb((x, ground), (x, top), 0.13 * metre, 0.09 * metre, colour=_IRON)
    sheet.limb(
        (x - 0.34 * metre, top + 0.42 * metre), (x + 0.34 * metre, top + 0.42 * metre), 0.07 * metre, colour=_IRON
    )
    glow = palette.night > 0.2 or palette.mood.lit > 0.3
    lantern = [
        (x - 0.15 * metre, top),
        (x + 0.15 * metre, top),
        (x + 0.24 * metre, top - 0.46 * metre),
        (x - 0.24 * metre, top - 0.46 * metre),
    ]
    sheet.fill(lantern, colour=(255, 232, 170) if glow else (226, 226, 214), shines=glow)
    sheet.fill(
        [(x - 0.3 * metre, top - 0.44 * metre), (x + 0.3 * metre, top - 0.44 * metre), (x, top - 0.74 * metre)],
        colour=_IRON,
    )
    sheet.limb((x, top), (x, top - 0.46 * metre), 0.04 * metre, colour=_IRON)
    sheet.limb((x - 0.18 * metre, top), (x + 0.18 * metre, top), 0.08 * metre, colour=_IRON)
    if metre > 30:
        for side in (-1, 1):
            basket = x + side * 0.44 * metre
            sheet.disc(basket, top + 0.62 * metre, 0.2 * metre, 0.17 * metre, colour=(84, 126, 70))
            for dx, dy, colour in (
                (-0.1, 0.5, (228, 92, 112)),
                (0.08, 0.54, (246, 188, 92)),
                (0.0, 0.66, (232, 140, 176)),
                (0.13, 0.66, (228, 92, 112)),
            ):
                sheet.disc(basket + dx * metre, top + dy * metre, 0.055 * metre, colour=colour)


def _bench(sheet: Canvas, x: float, ground: float, metre: float) -> None:
    wood = (172, 112, 72)
    for side in (-0.8, 0.8):
        sheet.limb((x + side * metre, ground), (x + side * metre, ground - 0.85 * metre), 0.08 * metre, colour=_IRON)
    for up in (0.42, 0.6, 0.76):
        sheet.box(x - 0.95 * metre, ground - (up + 0.1) * metre, x + 0.95 * metre, ground - up * metre, colour=wood)
        sheet.box(
            x - 0.95 * metre,
            ground - (up + 0.02) * metre,
            x + 0.95 * metre,
            ground - up * metre,
            colour=shade(wood, 0.75),
        )


def _planter(
    sheet: Canvas, x: float, ground: float, metre: float, leaves: tuple[Colour, Colour, Colour], dice: Dice
) -> None:
    _crown(sheet, x, ground - 0.72 * metre, 0.55 * metre, 0.34 * metre, leaves, dice)
    for _ in range(9):
        bloom = dice.pick(((232, 96, 108), (250, 200, 96), (240, 232, 222), (206, 130, 190)))
        sheet.disc(
            x + dice.between(-0.5, 0.5) * metre, ground - dice.between(0.55, 1.0) * metre, 0.06 * metre, colour=bloom
        )
    clay = (186, 110, 84)
    sheet.fill(
        [
            (x - 0.52 * metre, ground - 0.5 * metre),
            (x + 0.52 * metre, ground - 0.5 * metre),
            (x + 0.42 * metre, ground),
            (x - 0.42 * metre, ground),
        ],
        colour=clay,
    )
    sheet.fill(
        [
            (x + 0.12 * metre, ground - 0.5 * metre),
            (x + 0.52 * metre, ground - 0.5 * metre),
            (x + 0.42 * metre, ground),
            (x + 0.1 * metre, ground),
        ],
        colour=shade(clay, 0.84),
    )
    sheet.box(x - 0.58 * metre, ground - 0.6 * metre, x + 0.58 * metre, ground - 0.46 * metre, colour=shade(clay, 1.1))


def _post_box(sheet: Canvas, x: float, ground: float, metre: float, dice: Dice) -> None:
    paint = dice.pick(((196, 62, 58), (232, 178, 62), (60, 96, 150)))
    sheet.fill(
        rounded(x - 0.3 * metre, ground - 1.3 * metre, x + 0.3 * metre, ground + 0.1 * metre, 0.26 * metre),
        colour=paint,
    )
    sheet.fill(
        rounded(x + 0.06 * metre, ground - 1.24 * metre, x + 0.3 * metre, ground, 0.1 * metre),
        colour=shade(paint, 0.82),
    )
    sheet.box(x - 0.2 * metre, ground - 0.98 * metre, x + 0.16 * metre, ground - 0.9 * metre, colour=(48, 40, 44))
    sheet.box(x - 0.16 * metre, ground - 0.8 * metre, x + 0.1 * metre, ground - 0.56 * metre, colour=(240, 232, 216))
    sheet.box(x - 0.34 * metre, ground - 0.08 * metre, x + 0.34 * metre, ground + 0.06 * metre, colour=(70, 60, 62))


def _bollard(sheet: Canvas, x: float, ground: float, metre: float) -> None:
    sheet.fill(
        rounded(x - 0.09 * metre, ground - 0.75 * metre, x + 0.09 * metre, ground + 0.04 * metre, 0.08 * metre),
        colour=_IRON,
    )
    sheet.box(x - 0.09 * metre, ground - 0.6 * metre, x + 0.09 * metre, ground - 0.52 * metre, colour=(214, 206, 190))


def _verge(sheet: Canvas, width: float, ground: float, leaves: tuple[Colour, Colour, Colour], dice: Dice) -> None:
    """Hedge and flowers along the near edge of the picture."""
    x = dice.between(-60, 0)
    while x < width + 40:
        wide = dice.between(50, 120)
        if dice.chance(0.5):
            tufts = [(x + dice.between(0, wide), dice.between(7, 13)) for _ in range(int(wide / 5))]
            for colour, lift, size in (
                (leaves[0], 0.0, 1.0),
                (leaves[1], 2.0, 0.8),
                (mix(leaves[1], leaves[2], 0.6), 4.5, 0.5),
            ):
                for tx, r in tufts:
                    sheet.disc(tx, ground - 3 - lift, r * size, colour=colour)
            bloom = dice.pick(((232, 96, 108), (250, 206, 110), (244, 236, 228), (204, 140, 196)))
            for _ in range(int(wide / 6)):
                bx, by = x + dice.between(0, wide), ground - dice.between(5, 15)
                sheet.disc(bx, by, 1.5, colour=bloom)
                sheet.disc(bx, by, 0.6, colour=shade(bloom, 0.8))
        x += wide + dice.between(10, 90)
