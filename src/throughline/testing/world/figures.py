"""People, their dogs and their bicycles, drawn from the side, facing right, one metre to the unit.

Each is painted from the choices that its own dice make, at a phase of its
stride from 0 to 1, so that the same walker is the same walker in every frame.
"""

from __future__ import annotations

from math import sqrt
from typing import Final

from throughline.testing.world.canvas import CIRCLE, Canvas, Colour, Point, rounded, shade, smooth
from throughline.testing.world.dice import Dice

_SKIN: Final = ((250, 214, 184), (236, 188, 150), (206, 152, 112), (160, 108, 78), (112, 74, 54), (244, 200, 168))
_HAIR: Final = ((52, 40, 38), (92, 60, 42), (152, 98, 54), (214, 172, 98), (186, 84, 50), (196, 192, 190), (36, 34, 44))
_CLOTH: Final = (
    (214, 74, 66), (236, 160, 60), (244, 208, 92), (92, 156, 108), (54, 124, 132), (64, 100, 172), (120, 84, 150),
    (226, 120, 142), (240, 234, 222), (72, 78, 92), (176, 120, 84), (140, 178, 200), (150, 44, 70), (38, 54, 84),
)  # fmt: skip
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
_FUR: Final = (
    (186, 128, 76),
    (92, 66, 52),
    (232, 208, 172),
    (58, 54, 58),
    (150, 144, 142),
    (214, 160, 96),
    (244, 236, 224),
)


def _swing(phase: float) -> float:
    """From -1 to 1 and back over one phase, as a pendulum does."""
    turn = phase - int(phase)
    half = turn * 2 if turn < 0.5 else (turn - 0.5) * 2
    arch = 4 * half * (1 - half)
    return arch if turn < 0.5 else -arch


def _on_circle(phase: float) -> Point:
    return CIRCLE[int(phase * len(CIRCLE)) % len(CIRCLE)]


def person(sheet: Canvas, dice: Dice, phase: float, tall: float) -> None:
    """Someone walking, ``tall`` metres high."""
    skin, hair, top, legs, shoes = _looks(dice)
    h, build, swing = tall, dice.between(0.88, 1.18), _swing(phase)
    skirt, bag, style = dice.below(4) == 0, dice.below(5), dice.below(7)
    bob = 0.012 * h * (1 - swing * swing)
    hip, shoulder = (0.0, 0.475 * h + bob), (0.015 * h, 0.775 * h + bob)
    far_leg, near_leg = _swing(phase + 0.5), swing
    _arm(sheet, shoulder, -far_leg, h, shade(top, 0.74), shade(skin, 0.82))
    for side, lift, dark in ((far_leg, _swing(phase + 0.75), 0.76), (near_leg, _swing(phase + 0.25), 1.0)):
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
            colour=shade(dice.pick(_CLOTH), 0.85),
        )
    _torso(sheet, h, bob, build, top)
    if skirt:
        sway = 0.02 * h * swing
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
        scarf = dice.pick(_CLOTH)
        sheet.limb((-0.03 * h, 0.805 * h + bob), (0.065 * h, 0.8 * h + bob), 0.055 * h, colour=scarf)
        sheet.limb(
            (-0.03 * h, 0.8 * h + bob), (-0.09 * h - 0.02 * h * swing, 0.72 * h + bob), 0.05 * h, 0.04 * h, colour=scarf
        )
    hand = _arm(sheet, shoulder, -near_leg, h, shade(top, 0.93), skin)
    if bag == 1:
        cloth = dice.pick(_CLOTH)
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
    """Someone on the saddle of :func:`bicycle`, pedalling in step with it."""
    skin, hair, top, legs, shoes = _looks(dice)
    h = tall
    hip, shoulder, bars = (-0.24, 0.98), (0.1, 0.98 + 0.31 * h), (0.43, 1.08)
    for turn, dark in ((0.5, 0.74), (0.0, 1.0)):
        cx, cy = _on_circle(phase + turn)
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
                    colour=shade(dice.pick(_CLOTH), 0.9),
                )
    head = (shoulder[0] + 0.1, shoulder[1] + 0.115 * h)
    _head(sheet, head, h, skin, hair, 6 if dice.below(2) else dice.below(6), dice)
    elbow = (shoulder[0] + 0.13, shoulder[1] - 0.26)
    sheet.limb(shoulder, elbow, 0.13, 0.11, colour=shade(top, 0.92))
    sheet.limb(elbow, bars, 0.11, 0.08, colour=shade(top, 0.92))
    sheet.disc(bars[0], bars[1], 0.055, colour=skin)


def bicycle(sheet: Canvas, dice: Dice, phase: float) -> None:
    """A city bicycle, its wheels turning with the phase."""
    paint, rubber = dice.pick(_CLOTH), (46, 44, 50)
    back, front, crank, seat, neck = (-0.56, 0.36), (0.56, 0.36), (0.02, 0.34), (-0.2, 0.84), (0.38, 0.9)
    for x, y in (back, front):
        for spoke in range(4):
            cx, cy = _on_circle(spoke / 8 - phase / 4)
            sheet.limb((x - 0.3 * cx, y - 0.3 * cy), (x + 0.3 * cx, y + 0.3 * cy), 0.022, colour=(168, 168, 172))
        sheet.ring(x, y, 0.36, 0.285, colour=rubber)
        sheet.ring(x, y, 0.3, 0.272, colour=(206, 204, 200))
    cx, cy = _on_circle(phase + 0.5)
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
    cx, cy = _on_circle(phase)
    sheet.limb(crank, (0.02 + 0.16 * cy, 0.34 + 0.16 * cx), 0.04, colour=(90, 88, 92))
    sheet.disc(0.5, 0.86, 0.05, colour=(255, 244, 196), shines=True)


def dog(sheet: Canvas, dice: Dice, phase: float) -> None:
    """A dog at a trot, its tail up."""
    fur, size = dice.pick(_FUR), dice.between(0.8, 1.15)
    patch, ears, long = shade(dice.pick(_FUR), 0.9), dice.below(2), dice.between(0.92, 1.2)
    collar, swing, spotted = dice.pick(_CLOTH), _swing(phase), dice.below(2)
    s = size
    back, front = -0.3 * s * long, 0.26 * s * long

    def leg(x: float, side: float, dark: float) -> None:
        foot = (x + 0.13 * s * side, 0.03 * s + (0.05 * s if side * swing > 0.55 else 0.0))
        sheet.limb((x, 0.34 * s), foot, 0.13 * s, 0.075 * s, colour=shade(fur, dark))
        sheet.limb(foot, (foot[0] + 0.05 * s, foot[1]), 0.065 * s, colour=shade(fur, dark))

    leg(back, -swing, 0.72)
    leg(front, swing, 0.72)
    wag = 0.05 * s * swing
    sheet.limb((back - 0.08 * s, 0.5 * s), (back - 0.2 * s, 0.68 * s + wag), 0.1 * s, 0.08 * s, colour=fur)
    sheet.limb((back - 0.2 * s, 0.68 * s + wag), (back - 0.16 * s, 0.8 * s + wag), 0.08 * s, 0.045 * s, colour=fur)
    body = [
        (back - 0.12 * s, 0.46 * s),
        (back, 0.59 * s),
        (0.0, 0.57 * s),
        (front, 0.61 * s),
        (front + 0.13 * s, 0.5 * s),
        (front + 0.04 * s, 0.3 * s),
        (0.0, 0.33 * s),
        (back + 0.06 * s, 0.31 * s),
        (back - 0.1 * s, 0.34 * s),
    ]
    sheet.fill(smooth(body), colour=fur)
    sheet.fill(
        smooth(
            [
                (back + 0.02 * s, 0.37 * s),
                (front, 0.38 * s),
                (front + 0.02 * s, 0.31 * s),
                (0.0, 0.34 * s),
                (back + 0.06 * s, 0.32 * s),
            ]
        ),
        colour=shade(fur, 0.84),
    )
    if spotted:
        sheet.disc(back * 0.3, 0.52 * s, 0.14 * s * long, 0.07 * s, colour=patch)
    leg(back, swing, 1.0)
    leg(front, -swing, 1.0)
    nod = 0.012 * s * swing
    head = (front + 0.2 * s, 0.76 * s + nod)
    sheet.limb((front + 0.02 * s, 0.52 * s), (head[0] - 0.04 * s, head[1] - 0.04 * s), 0.2 * s, 0.17 * s, colour=fur)
    sheet.limb((front + 0.03 * s, 0.63 * s), (front + 0.19 * s, 0.6 * s), 0.05 * s, colour=collar)
    sheet.limb(head, (head[0] + 0.17 * s, head[1] - 0.05 * s), 0.21 * s, 0.11 * s, colour=fur)
    sheet.disc(head[0], head[1] + 0.01 * s, 0.125 * s, colour=fur)
    sheet.disc(head[0] + 0.225 * s, head[1] - 0.03 * s, 0.036 * s, colour=(40, 34, 36))
    sheet.disc(head[0] + 0.06 * s, head[1] + 0.035 * s, 0.022 * s, colour=(34, 28, 30))
    dark = shade(patch if spotted else fur, 0.72)
    if ears:
        sheet.fill(
            smooth(
                [
                    (head[0] - 0.1 * s, head[1] + 0.09 * s),
                    (head[0] + 0.01 * s, head[1] + 0.08 * s),
                    (head[0] - 0.04 * s, head[1] - 0.13 * s),
                    (head[0] - 0.12 * s, head[1] - 0.1 * s),
                ]
            ),
            colour=dark,
        )
    else:
        sheet.fill(
            [
                (head[0] - 0.11 * s, head[1] + 0.06 * s),
                (head[0] + 0.03 * s, head[1] + 0.1 * s),
                (head[0] - 0.07 * s, head[1] + 0.25 * s),
            ],
            colour=dark,
        )


def _looks(dice: Dice) -> tuple[Colour, Colour, Colour, Colour, Colour]:
    return dice.pick(_SKIN), dice.pick(_HAIR), dice.pick(_CLOTH), dice.pick(_TROUSERS), dice.pick(_SHOES)


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
        felt = dice.pick(_CLOTH)
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
