"""The street without anyone in it: one picture, and what of it stands in front of whom.

Painted once for a world. The camera's tremble moves a window over it, so it is
larger than the frame by the margin that the tremble needs.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from throughline.testing.world.backdrop import Backdrop
from throughline.testing.world.canvas import Canvas, Colour
from throughline.testing.world.dice import Dice
from throughline.testing.world.furniture import ROWS, furnish
from throughline.testing.world.ground import Ground, roughen
from throughline.testing.world.palette import Palette

SHEET: float = 384.0
"""How many units high every street is laid out, whatever the size of its picture."""


@dataclass(frozen=True, slots=True, eq=False)
class Stage:
    """The empty street.

    Attributes:
        picture: RGB, frame size plus the margin on every side.
        screens: for each row of furniture, how much it and all nearer rows hide, of 128, in three equal channels.
        margin: pixels beyond the frame on every side.
        unit: pixels to a row of the sheet.
        palette: its colours.
    """

    picture: npt.NDArray[np.uint8]
    screens: tuple[npt.NDArray[np.uint16], ...]
    margin: int
    unit: float
    palette: Palette


def build(seed: int, width: int, height: int, palette: Palette, margin: int) -> Stage:
    """Paint the street of this seed."""
    unit, dice = height / SHEET, Dice(seed, 1)
    full, tone = (width + 2 * margin, height + 2 * margin), palette.scenery()

    def sheet() -> Canvas:
        return Canvas(*full, (unit, unit), (margin, margin), tone, detail=2 if height >= 256 else 3)

    back = sheet()
    backdrop = Backdrop(back, width / unit, palette, dice)
    backdrop.paint()
    Ground(back, width / unit, backdrop.vanish, dice).paint()
    picture = back.opaque()
    roughen(picture, unit, margin, Dice(seed, 6))
    x, y = (place * unit + margin for place in backdrop.sun)
    glow(picture, x, y, 70 * unit, palette.mood.sun, 0.75 * (1 - palette.night))
    glow(picture, x, y, 230 * unit, palette.mood.sun, 0.22 * (1 - palette.night))
    rows: list[npt.NDArray[np.uint16]] = []
    for row in range(len(ROWS)):
        front = sheet()
        pools = furnish(front, row, width / unit, palette, dice)
        for pool in (pool for pool in pools if not pool.lamp):
            darken = shadow(int(2 * pool.reach * unit), max(2, int(0.42 * pool.reach * unit)), palette.mood.gloom)
            lay_shadow(
                picture,
                darken,
                int((pool.x - pool.reach) * unit) + margin,
                int((pool.y - 0.16 * pool.reach) * unit) + margin,
            )
        painted = front.developed()
        picture = (painted[..., :3] + picture * (np.uint16(255) - painted[..., 3:]) // np.uint16(255)).astype(np.uint8)
        rows.append((painted[..., 3] * np.uint16(129) + np.uint16(128)) >> np.uint16(8))
        for pool in (pool for pool in pools if pool.lamp):
            strength = max(0.5 * palette.night, 0.3 if palette.mood.lit > 0.3 else 0.0)
            glow(picture, pool.x * unit + margin, pool.y * unit + margin, pool.reach * unit, (255, 206, 128), strength)
    screens: list[npt.NDArray[np.uint16]] = []
    hidden = np.zeros_like(rows[0])
    for alpha in reversed(rows):
        hidden = np.maximum(hidden, alpha)
        screens.insert(0, np.ascontiguousarray(np.repeat(hidden[..., None], 3, axis=2)))
    return Stage(picture, tuple(screens), margin, unit, palette)


def _falloff(wide: float, high: float, left: float, top: float, columns: int, rows: int) -> npt.NDArray[np.float64]:
    """1 in the middle of an ellipse, softly 0 at its edge."""
    x = (np.arange(columns) + 0.5 - left) / wide
    y = (np.arange(rows) + 0.5 - top) / high
    inside = np.maximum(0.0, 1.0 - (x * x)[None, :] - (y * y)[:, None])
    return inside * inside


def glow(picture: npt.NDArray[np.uint8], x: float, y: float, reach: float, colour: Colour, strength: float) -> None:
    """Let light spill over the picture."""
    left, top = max(0, int(x - reach)), max(0, int(y - reach))
    region = picture[top : int(y + reach), left : int(x + reach)]
    if strength <= 0 or not region.size:
        return
    weight = (_falloff(reach, reach, x - left, y - top, region.shape[1], region.shape[0]) * (strength * 256)).astype(
        np.int32
    )
    target = np.array(colour, np.int32)
    region[...] = (region + ((target - region) * weight[..., None] >> 8)).astype(np.uint8)


@lru_cache(maxsize=1024)
def shadow(width: int, height: int, gloom: float) -> npt.NDArray[np.uint16]:
    """How much light a soft shadow of this size lets through, of 128, in three equal channels."""
    wide, high = max(2, width), max(2, height)
    depth = _falloff(wide / 2, high / 2, wide / 2, high / 2, wide, high) * (gloom * 192)
    flat = np.uint16(128) - np.minimum(depth, 110).astype(np.uint16)
    return np.ascontiguousarray(np.repeat(flat[..., None], 3, axis=2))


def lay_shadow(picture: npt.NDArray[np.uint8], through: npt.NDArray[np.uint16], left: int, top: int) -> None:
    """Darken the ground where the shadow falls, as far as it is in the picture."""
    x0, y0 = max(0, left), max(0, top)
    x1, y1 = min(picture.shape[1], left + through.shape[1]), min(picture.shape[0], top + through.shape[0])
    if x0 < x1 and y0 < y1:
        region = picture[y0:y1, x0:x1]
        region[...] = region * through[y0 - top : y1 - top, x0 - left : x1 - left] >> np.uint16(7)
