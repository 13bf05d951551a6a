"""People on foot and on bicycles, drawn from the side, facing right, one metre to the unit.

Each is painted from the choices that its own dice make, at a phase of its
stride from 0 to 1, so that the same walker is the same walker in every frame.
"""

from __future__ import annotations

from math import sqrt
from typing import Final

from throughline.testing.world.canvas import Canvas, Colour, Point, rounded, shade, smooth
from throughline.testing.world.dice import Dice
from throughline.testing.world.gait import on_circle, swing
from throughline.testing.world.palette import CLOTH

_SKIN: Final = ((250, 214, 184), (236, 188, 150), (206, 152, 112), (160, 108, 78), (112, 74, 54), (244, 200, 168))
_HAIR: Final = ((52, 40, 38), (92, 60, 42), (152, 98, 54), (214, 172, 98), (186, 84, 50), (196, 192, 190), (36, 34, 44))
_TROUSERS: Final = (
    (58, 74, 112),
    (44, 50, 66),
    (120, 96, 78),
    (84, 94, 108),
    (176, 158, 132),
    (66, 84, 76),
    (98, 52, 60),
)
_SHOES: Final = ((60, 48, 44), (238, 232, 224), (150, 84, 52), (196, 62, 58), (36, 38, 46))


def person(sheet: Canvas, dice: Dice, phase: float, tall: float) -> None:
    """Someone walking, ``tall`` metres high."""
    skin, hair, top, legs, shoes = _looks(dice)
    h, build, pace = tall, dice.between(0.88, 1.18), swing(phase)
    skirt, bag, style = dice.below(4) == 0, dice.below(5), dice.below(7)
    bob = 0.012 * h * (1 - pace * pace)
    hip, shoulder = (0.0, 0.475 * h + bob), (0.015 * h, 0.775 * h + bob)
    far_leg, near_leg = swing(phase + 0.5), pace
    _arm(sheet, shoulder, -far_leg, h, shade(top, 0.74), shade(skin, 0.82))
    for side, lift, dark in ((far_leg, swing(phase + 0.75), 0.76), (near_leg, swing(phase + 0.25), 1.0)):
        foot = (0.155 * h * side, 0.035 * h + max(0.0, lift) * 0.055 * h)
        knee = (0.5 * foot[0] + (0.02 + 0.045 * max(0.0, lift)) * h, 0.5 * hip[1] + 0.5 * foot[1] + 0.01 * h)
        cloth = shade(skin if skirt else legs, dark)
        sheet.limb((hip[0], hip[1] - 0.01 * h), knee, 0.095 * h * build, 0.08 * h * build, colour=cloth)
        sheet.limb(knee, foot, 0.08 * h * build, 0.058 * h * build, colour=cloth)
        sole = foot[1] - 0.035 * h
        shoe = [
            (foot[0] - 0.035 * h, sole),
            (foot[0] + 0.085 * h, sole),
            (foot[0] + 0.075 * h, sole + 0.03 * h),
            (foot[0] + 0.02 * h, sole + 0.055 * h),
            (foot[0] - 0.035 * h, sole + 0.05 * h),
        ]
        sheet.fill(shoe, colour=shade(shoes, dark))
    if bag == 0:
        sheet.fill(
            rounded(-0.185 * h, 0.52 * h + bob, -0.03 * h, 0.77 * h + bob, 0.05 * h),
            colour=shade(dice.pick(CLOTH), 0.85),
        )
    _torso(sheet, h, bob, build, top)
    if skirt:
        sway = 0.02 * h * pace
        sheet.fill(
            [(-0.075 * h, 0.53 * h), (0.085 * h, 0.53 * h), (0.13 * h + sway, 0.29 * h), (-0.12 * h + sway, 0.29 * h)],
            colour=legs,
        )
        sheet.fill(
            [(-0.075 * h, 0.53 * h), (-0.02 * h, 0.53 * h), (-0.05 * h + sway, 0.29 * h), (-0.12 * h + sway, 0.29 * h)],
            colour=shade(legs, 0.82),
        )
    else:
        sheet.box(-0.07 * h, 0.465 * h + bob, 0.08 * h, 0.49 * h + bob, colour=shade(legs, 0.7))
    _head(sheet, (0.03 * h, 0.895 * h + bob), h, skin, hair, style, dice)
    if dice.below(5) == 0:
        scarf = dice.pick(CLOTH)
        sheet.limb((-0.03 * h, 0.805 * h + bob), (0.065 * h, 0.8 * h + bob), 0.055 * h, colour=scarf)
        sheet.limb(
            (-0.03 * h, 0.8 * h + bob), (-0.09 * h - 0.02 * h * pace, 0.72 * h + bob), 0.05 * h, 0.04 * h, colour=scarf
        )
    hand = _arm(sheet, shoulder, -near_leg, h, shade(top, 0.93), skin)
    if bag == 1:
        cloth = dice.pick(CLOTH)
        x, y = hand
        sheet.limb((x, y), (x, y - 0.09 * h), 0.014 * h, colour=shade(cloth, 0.7))
        sheet.fill(
            [
                (x - 0.075 * h, y - 0.08 * h),
                (x + 0.075 * h, y - 0.08 * h),
                (x + 0.065 * h, y - 0.24 * h),
                (x - 0.065 * h, y - 0.24 * h),
            ],
            colour=cloth,
        )


def rider(sheet: Canvas, dice: Dice, phase: float, tall: float) -> None:
    """Someone on the saddle of a bicycle, pedalling in step with it."""
    skin, hair, top, legs, shoes = _looks(dice)
    h = tall
    hip, shoulder, bars = (-0.24, 0.98), (0.1, 0.98 + 0.31 * h), (0.43, 1.08)
    for turn, dark in ((0.5, 0.74), (0.0, 1.0)):
        cx, cy = on_circle(phase + turn)
        foot = (0.02 + 0.16 * cy, 0.34 + 0.16 * cx)
        dx, dy = foot[0] - hip[0], foot[1] - hip[1]
        reach = sqrt(dx * dx + dy * dy)
        bend = sqrt(max(0.0, 0.3 - 0.25 * reach * reach))
        knee = (hip[0] + dx / 2 - dy / reach * bend, hip[1] + dy / 2 + dx / reach * bend)
        if knee[0] < hip[0] + dx / 2:
            knee = (hip[0] + dx / 2 + dy / reach * bend, hip[1] + dy / 2 - dx / reach * bend)
        sheet.limb(hip, knee, 0.19, 0.15, colour=shade(legs, dark))
        sheet.limb(knee, foot, 0.15, 0.1, colour=shade(legs, dark))
        sheet.limb(
            (foot[0] - 0.04, foot[1] - 0.03), (foot[0] + 0.12, foot[1] - 0.03), 0.09, 0.07, colour=shade(shoes, dark)
        )
        if dark < 1:
            sheet.limb(shoulder, bars, 0.12, 0.08, colour=shade(top, 0.72))
            sheet.limb((hip[0] + 0.02, hip[1] + 0.06), shoulder, 0.27, 0.24, colour=top)
            sheet.limb(
                (hip[0] - 0.06, hip[1] + 0.06), (shoulder[0] - 0.1, shoulder[1] - 0.02), 0.12, colour=shade(top, 0.84)
            )
            if dice.below(3) == 0:
                sheet.limb(
                    (hip[0] - 0.1, hip[1] + 0.22),
                    (shoulder[0] - 0.2, shoulder[1] - 0.06),
                    0.22,
                    colour=shade(dice.pick(CLOTH), 0.9),
                )
    head = (shoulder[0] + 0.1, shoulder[1] + 0.115 * h)
    _head(sheet, head, h, skin, hair, 6 if dice.below(2) else dice.below(6), dice)
    elbow = (shoulder[0] + 0.13, shoulder[1] - 0.26)
    sheet.limb(shoulder, elbow, 0.13, 0.11, colour=shade(top, 0.92))
    sheet.limb(elbow, bars, 0.11, 0.08, colour=shade(top, 0.92))
    sheet.disc(bars[0], bars[1], 0.055, colour=skin)


def _looks(dice: Dice) -> tuple[Colour, Colour, Colour, Colour, Colour]:
    return dice.pick(_SKIN), dice.pick(_HAIR), dice.pick(CLOTH), dice.pick(_TROUSERS), dice.pick(_SHOES)


def _arm(sheet: Canvas, shoulder: Point, swing: float, h: float, cloth: Colour, skin: Colour) -> Point:
    elbow = (shoulder[0] + 0.075 * h * swing - 0.012 * h, shoulder[1] - 0.155 * h)
    hand = (elbow[0] + (0.045 + 0.075 * swing) * h, elbow[1] - 0.13 * h)
    sheet.limb((shoulder[0], shoulder[1] - 0.02 * h), elbow, 0.078 * h, 0.066 * h, colour=cloth)
    sheet.limb(elbow, hand, 0.066 * h, 0.052 * h, colour=cloth)
    sheet.disc(hand[0], hand[1], 0.032 * h, colour=skin)
    return hand


def _torso(sheet: Canvas, h: float, bob: float, build: float, top: Colour) -> None:
    def outline(left: float, right: float) -> list[Point]:
        wide = build * h
        return smooth(
            [
                (left * 0.8 * wide, 0.47 * h + bob),
                (right * 0.8 * wide, 0.47 * h + bob),
                (right * wide, 0.64 * h + bob),
                (right * 0.85 * wide, 0.8 * h + bob),
                (0.02 * h, 0.825 * h + bob),
                (left * 0.85 * wide, 0.8 * h + bob),
                (left * wide, 0.64 * h + bob),
            ],
            4,
        )

    sheet.fill(outline(-0.105, 0.12), colour=top)
    sheet.fill(outline(-0.105, -0.03), colour=shade(top, 0.82))


def _head(sheet: Canvas, centre: Point, h: float, skin: Colour, hair: Colour, style: int, dice: Dice) -> None:
    x, y = centre
    r = 0.088 * h
    sheet.limb((x - 0.012 * h, y - 0.11 * h), (x, y), 0.07 * h, colour=shade(skin, 0.84))
    if style == 1:
        sheet.fill(
            smooth(
                [
                    (x - 1.1 * r, y + 0.4 * r),
                    (x - 0.2 * r, y + 0.9 * r),
                    (x + 0.2 * r, y),
                    (x - 0.3 * r, y - 1.9 * r),
                    (x - 1.35 * r, y - 1.8 * r),
                ]
            ),
            colour=hair,
        )
    sheet.disc(x, y, r * 0.95, r * 1.05, colour=skin)
    sheet.disc(x + 0.95 * r, y - 0.12 * r, 0.2 * r, colour=skin)
    sheet.disc(x + 0.52 * r, y + 0.14 * r, 0.11 * r, 0.17 * r, colour=(44, 34, 34))
    sheet.disc(x - 0.22 * r, y - 0.1 * r, 0.2 * r, 0.26 * r, colour=shade(skin, 0.86))
    cap = [
        (x + 0.75 * r, y + 0.5 * r),
        (x + 0.3 * r, y + 1.12 * r),
        (x - 0.5 * r, y + 1.1 * r),
        (x - 1.12 * r, y + 0.3 * r),
        (x - 0.9 * r, y - 0.55 * r),
        (x - 0.4 * r, y - 0.1 * r),
        (x - 0.2 * r, y + 0.45 * r),
    ]
    if style == 4:
        sheet.disc(x - 0.35 * r, y - 0.5 * r, 0.5 * r, 0.3 * r, colour=hair)
    else:
        sheet.fill(smooth(cap), colour=hair)
    if style == 2:
        sheet.disc(x - 1.0 * r, y + 0.75 * r, 0.48 * r, colour=hair)
    elif style == 3:
        sheet.limb((x - 0.9 * r, y + 0.4 * r), (x - 1.6 * r, y - 0.9 * r), 0.55 * r, 0.25 * r, colour=hair)
    elif style in (5, 6):
        felt = dice.pick(CLOTH)
        sheet.fill(
            smooth(
                [
                    (x + 0.95 * r, y + 0.4 * r),
                    (x + 0.6 * r, y + 1.2 * r),
                    (x - 0.5 * r, y + 1.3 * r),
                    (x - 1.15 * r, y + 0.45 * r),
                    (x - 0.2 * r, y + 0.5 * r),
                ]
            ),
            colour=felt,
        )
        if style == 5:
            sheet.limb((x - 1.35 * r, y + 0.42 * r), (x + 1.35 * r, y + 0.5 * r), 0.2 * r, colour=shade(felt, 0.75))
        else:
            sheet.limb((x - 0.3 * r, y + 1.0 * r), (x + 0.5 * r, y + 0.9 * r), 0.14 * r, colour=shade(felt, 0.7))
