"""Dogs at a trot, drawn from the side, facing right, one metre to the unit."""

from __future__ import annotations

from typing import Final

from throughline.testing.world.canvas import Canvas, shade, smooth
from throughline.testing.world.dice import Dice
from throughline.testing.world.gait import swing
from throughline.testing.world.palette import CLOTH

_FUR: Final = (
    (186, 128, 76),
    (92, 66, 52),
    (232, 208, 172),
    (58, 54, 58),
    (150, 144, 142),
    (214, 160, 96),
    (244, 236, 224),
)


def dog(sheet: Canvas, dice: Dice, phase: float) -> None:
    """A dog at a trot, its tail up."""
    fur, size = dice.pick(_FUR), dice.between(0.8, 1.15)
    patch, ears, long = shade(dice.pick(_FUR), 0.9), dice.below(2), dice.between(0.92, 1.2)
    collar, pace, spotted = dice.pick(CLOTH), swing(phase), dice.below(2)
    s = size
    back, front = -0.3 * s * long, 0.26 * s * long

    def leg(x: float, side: float, dark: float) -> None:
        foot = (x + 0.13 * s * side, 0.03 * s + (0.05 * s if side * pace > 0.55 else 0.0))
        sheet.limb((x, 0.34 * s), foot, 0.13 * s, 0.075 * s, colour=shade(fur, dark))
        sheet.limb(foot, (foot[0] + 0.05 * s, foot[1]), 0.065 * s, colour=shade(fur, dark))

    leg(back, -pace, 0.72)
    leg(front, pace, 0.72)
    wag = 0.05 * s * pace
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
    leg(back, pace, 1.0)
    leg(front, -pace, 1.0)
    nod = 0.012 * s * pace
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
