"""Flat shapes in, soft-edged pictures out, the same to the bit on every machine.

Shapes are filled at several times the final size by an integer rasteriser and
averaged down with integers. Curves are polynomials and circles are rational
points, because the last bit of a sine or of a float filter depends on the
processor.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import TypeAlias, final

import numpy as np
import numpy.typing as npt

Colour: TypeAlias = tuple[int, int, int]
Point: TypeAlias = tuple[float, float]
Tone: TypeAlias = Callable[[Colour], Colour]


def _circle(quarter: int) -> tuple[Point, ...]:
    rational = [step / quarter for step in range(quarter)]
    first = [((1 - t * t) / (1 + t * t), 2 * t / (1 + t * t)) for t in rational]
    second = [(-y, x) for x, y in first]
    return tuple(first + second + [(-x, -y) for x, y in first + second])


CIRCLE = _circle(8)
"""Points around the unit circle, anticlockwise where y points up."""

_ROUND = np.array(CIRCLE)
_CAP = _ROUND[: len(CIRCLE) // 2 + 1 : 2]


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """A colour on the way from the first to the second."""
    weight = int(share * 256)
    r, g, b = (a + ((c - a) * weight >> 8) for a, c in zip(first, second, strict=True))
    return r, g, b


def shade(colour: Colour, factor: float) -> Colour:
    """The colour, darker (below 1) or lighter (above 1)."""
    weight = int(factor * 256)
    r, g, b = (min(255, part * weight >> 8) for part in colour)
    return r, g, b


def smooth(points: Sequence[Point], steps: int = 6) -> list[Point]:
    """A closed Catmull-Rom curve through the points."""
    count = len(points)
    path: list[Point] = []
    for i in range(count):
        (ax, ay), (bx, by), (cx, cy), (dx, dy) = (points[(i + j) % count] for j in (-1, 0, 1, 2))
        for step in range(steps):
            t = step / steps
            u, v = t * t, t * t * t
            wa, wb, wc, wd = -t + 2 * u - v, 2 - 5 * u + 3 * v, t + 4 * u - 3 * v, v - u
            path.append(
                ((wa * ax + wb * bx + wc * cx + wd * dx) / 2, (wa * ay + wb * by + wc * cy + wd * dy) / 2),
            )
    return path


def rounded(x0: float, y0: float, x1: float, y1: float, radius: float) -> list[Point]:
    """A rectangle with round corners."""
    corners = (
        (x1 - radius, y1 - radius),
        (x0 + radius, y1 - radius),
        (x0 + radius, y0 + radius),
        (x1 - radius, y0 + radius),
    )
    quarter = len(CIRCLE) // 4
    path: list[Point] = []
    for i, (cx, cy) in enumerate(corners):
        arc = [CIRCLE[(i * quarter + j) % len(CIRCLE)] for j in range(0, quarter + 1, 2)]
        path += [(cx + radius * x, cy + radius * y) for x, y in arc]
    return path


@dataclass(frozen=True, slots=True, eq=False)
class Sprite:
    """A cut-out picture, ready to be laid over a frame.

    Attributes:
        left, top: where its corner lies from the point it stands on.
        colour: height x width x 3, already weighted by its opacity.
        through: height x width x 3, how much of what lies behind shows, of 128.
        solid: height x width, the pixels that are more object than not.
        area: how many those are.
    """

    left: int
    top: int
    colour: npt.NDArray[np.uint16]
    through: npt.NDArray[np.uint16]
    solid: npt.NDArray[np.bool_]
    area: int


@final
class Canvas:
    """A sheet of glass to paint on.

    ``unit`` is how many pixels one step along x and along y takes (below zero where
    y points up), and ``origin`` the pixel of the shapes' own zero.
    """

    def __init__(self, width: int, height: int, unit: Point, origin: Point, tone: Tone, detail: int = 4) -> None:
        self._tone, self._detail = tone, detail
        self._origin = np.array(origin, np.float64) * detail + 0.5
        self._scale = np.array(unit, np.float64) * detail
        self._pixels: npt.NDArray[np.uint8] = np.zeros((height * detail, width * detail, 4), np.uint8)

    def fill(self, *paths: Sequence[Point] | npt.NDArray[np.float64], colour: Colour, shines: bool = False) -> None:
        """Fill the shape between these outlines; one that ``shines`` keeps its colour in the dark."""
        import cv2

        outlines = [np.floor(np.asarray(path) * self._scale + self._origin).astype(np.int32) for path in paths]
        cv2.fillPoly(self._pixels, outlines, (*(colour if shines else self._tone(colour)), 255))

    def disc(
        self, x: float, y: float, rx: float, ry: float | None = None, *, colour: Colour, shines: bool = False
    ) -> None:
        """Fill an ellipse."""
        ry = rx if ry is None else ry
        self.fill(_ROUND * (rx, ry) + (x, y), colour=colour, shines=shines)

    def ring(self, x: float, y: float, outer: float, inner: float, *, colour: Colour) -> None:
        """Fill a ring and leave its inside empty."""
        self.fill(
            _ROUND * outer + (x, y),
            _ROUND * inner + (x, y),
            colour=colour,
        )

    def box(self, x0: float, y0: float, x1: float, y1: float, *, colour: Colour, shines: bool = False) -> None:
        """Fill an upright rectangle."""
        self.fill([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], colour=colour, shines=shines)

    def limb(self, start: Point, end: Point, thick: float, thin: float | None = None, *, colour: Colour) -> None:
        """A stroke with round ends that may taper."""
        thin = thick if thin is None else thin
        (ax, ay), (bx, by) = start, end
        length = sqrt((bx - ax) * (bx - ax) + (by - ay) * (by - ay)) or 1.0
        along = np.array(((bx - ax) / length, (by - ay) / length))
        across = np.array((-along[1], along[0]))
        cap = _CAP[:, :1] * across + _CAP[:, 1:] * along
        self.fill(np.concatenate((cap * (thin / 2) + end, cap * (-thick / 2) + start)), colour=colour)

    def developed(self) -> npt.NDArray[np.uint16]:
        """Height x width x 4: colour weighted by opacity, and the opacity, both from 0 to 255."""
        return self._averaged(self._pixels)

    def _averaged(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint16]:
        step = self._detail
        rows = pixels[0::step].astype(np.uint16)
        for offset in range(1, step):
            rows += pixels[offset::step]
        total = rows[:, 0::step].copy()
        for offset in range(1, step):
            total += rows[:, offset::step]
        return (total + np.uint16(step * step // 2)) // np.uint16(step * step)

    def opaque(self) -> npt.NDArray[np.uint8]:
        """The picture alone, for a sheet that was painted all over."""
        return self.developed()[..., :3].astype(np.uint8)

    def cut_out(self, anchor: tuple[int, int], flip: bool = False) -> Sprite | None:
        """What was painted, cropped; None when nothing was."""
        step, painted = self._detail, self._pixels.view(np.uint32)[..., 0] != 0
        rows, columns = np.flatnonzero(painted.any(axis=1)) // step, np.flatnonzero(painted.any(axis=0)) // step
        if not len(rows):
            return None
        top, bottom, left, right = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
        picture = self._averaged(self._pixels[top * step : bottom * step, left * step : right * step])
        first = left - anchor[0]
        if flip:
            picture, first = picture[:, ::-1], anchor[0] - right
        opacity = np.repeat((picture[..., 3:] * np.uint16(129) + np.uint16(128)) >> np.uint16(8), 3, axis=2)
        solid = np.ascontiguousarray(picture[..., 3] >= 128)
        return Sprite(
            left=first,
            top=top - anchor[1],
            colour=np.ascontiguousarray(picture[..., :3]),
            through=np.ascontiguousarray(np.uint16(128) - opacity),
            solid=solid,
            area=int(np.count_nonzero(solid)),
        )
