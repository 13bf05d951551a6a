"""Where boxes will be after so many seconds, and how far off that may be.

One Kalman filter per box and coordinate (centre and size), each with a place and
a velocity. The coordinates do not mix, so a covariance is three numbers and all
filters of all boxes are stepped at once, in closed form, without a matrix.
Uncertainties are in units of the box's own size: a far walker and a near bus are alike.
"""

from __future__ import annotations

from typing import Final, Self, final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

KNOWN: Final = ("place", "velocity", "place_variance", "covariance", "velocity_variance")
"""What is known of each coordinate of a box: where it is, how fast it moves, and how far off both may be."""

_MEASURED: Final = np.array((0.05, 0.05, 0.08, 0.08))
"""Standard deviation of a detector's box, in sizes."""
_SPEED: Final = np.array((1.6, 0.6, 0.3, 0.3))
"""How fast something new may move and grow, in sizes per second."""
_PUSH: Final = np.array((0.35, 0.35, 0.5, 0.5))
"""How much velocities wander, in sizes per second and root second."""
_FADE: Final = np.array((8.0, 8.0, 0.5, 0.5))
"""Seconds in which a velocity fades: what walks goes on walking; what is being hidden does not shrink to nothing."""
_TAIL: Final = 4.0
"""Degrees of freedom of the error: boxes are often a little off, and sometimes, half hidden, far off."""


def centred(xyxy: npt.NDArray[np.float32]) -> Floats:
    """Corners to centre and size."""
    corners = xyxy.astype(np.float64)
    return np.hstack(((corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]))


def overlap(first: Floats, second: Floats) -> Floats:
    """Intersection over union of every centred box with every other."""
    common, areas = _common(first, second)
    return common / (areas[0] + areas[1] - common)


def covered(first: Floats, second: Floats) -> Floats:
    """How much of the smaller of the two lies in the other, for every centred box and every other."""
    common, areas = _common(first, second)
    return common / np.minimum(*areas)


def _common(first: Floats, second: Floats) -> tuple[Floats, tuple[Floats, Floats]]:
    """The area that every two boxes share, and the areas of each side's own."""
    halves = first[:, 2:] / 2, second[:, 2:] / 2
    low = np.maximum(_down(first[:, :2] - halves[0]), _across(second[:, :2] - halves[1]))
    sides = np.minimum(_down(first[:, :2] + halves[0]), _across(second[:, :2] + halves[1]))
    sides -= low
    np.maximum(sides, 0, out=sides)
    return sides[0] * sides[1], ((first[:, 2] * first[:, 3])[:, None], (second[:, 2] * second[:, 3])[None])


def _down(rows: Floats) -> Floats:
    """Coordinates first, so that each is one plane of pairs: this side down the rows ..."""
    return rows.T[:, :, None]


def _across(rows: Floats) -> Floats:
    """... and the other across the columns."""
    return rows.T[:, None]


@final
class Motion:
    """What is known of n boxes: five times n x 4, in the order of ``KNOWN``, in one array."""

    def __init__(self, known: Floats) -> None:
        self.known = known
        self.place, self.velocity, self.place_variance, self.covariance, self.velocity_variance = known

    @classmethod
    def starting(cls, boxes: Floats) -> Self:
        """Boxes seen for the first time: they may be going anywhere."""
        size, still = _size(boxes), np.zeros_like(boxes)
        return cls(np.stack((boxes, still, (_MEASURED * size) ** 2, still, (_SPEED * size) ** 2)))

    def predict(self, seconds: float) -> None:
        """Let time pass."""
        noise = (_PUSH * _size(self.place)) ** 2
        left = np.exp(-seconds / _FADE)
        way = _FADE * (1 - left)
        self.place += self.velocity * way
        np.maximum(self.place[:, 2:], 1.0, out=self.place[:, 2:])
        self.place_variance += 2 * way * self.covariance + way**2 * self.velocity_variance + noise * seconds**3 / 3
        self.covariance += way * self.velocity_variance
        self.covariance *= left
        self.covariance += noise * seconds**2 / 2
        self.velocity *= left
        self.velocity_variance *= left**2
        self.velocity_variance += noise * seconds

    def surprise(self, boxes: Floats) -> Floats:
        """How unlikely it is that each of these boxes is where each of ours went; 0 for the expected exactly."""
        measured = (_MEASURED * _size(self.place)) ** 2
        expected = self.place_variance + measured
        strange = _across(boxes) - _down(self.place)
        strange *= strange
        strange /= _down(expected)
        strange /= _TAIL
        strange += 1
        vague = np.log(expected / measured).sum(axis=1) / 2
        surprise: Floats = np.log(strange.prod(axis=0))
        surprise *= (_TAIL + 1) / 2
        surprise += vague[:, None]
        return surprise

    def correct(self, rows: npt.NDArray[np.intp], boxes: Floats) -> None:
        """Learn from the boxes that these rows were found at; the further off a coordinate, the less it is believed."""
        known = self.known[:, rows]
        place, velocity, place_variance, covariance, velocity_variance = known
        measured = (_MEASURED * _size(boxes)) ** 2
        error = boxes - place
        expected = place_variance + measured
        doubt = (_TAIL + error**2 / expected) / (_TAIL + 1)
        total = place_variance + measured * np.maximum(doubt, 1.0)
        gain, push = place_variance / total, covariance / total
        place += gain * error
        velocity += push * error
        velocity_variance -= push * covariance
        covariance *= 1 - gain
        place_variance *= 1 - gain
        self.known[:, rows] = known


def _size(boxes: Floats) -> Floats:
    """The side of a square as large as each box, and at least four pixels."""
    side: Floats = np.sqrt(np.maximum(boxes[:, 2:3] * boxes[:, 3:4], 16.0))
    return side
