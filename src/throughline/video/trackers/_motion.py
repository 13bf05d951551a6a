"""Where boxes will be after so many seconds, and how far off that may be.

One Kalman filter per box and coordinate (centre and size), each with a place and
a velocity. The coordinates do not mix, so a covariance is three numbers and all
filters of all boxes are stepped at once, in closed form, without a matrix.
Uncertainties are in units of the box's own size: a far walker and a near bus are alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self, final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

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


def overlap(first: Floats, second: Floats) -> tuple[Floats, Floats]:
    """For every centred box and every other: intersection over union, and over the smaller of the two."""
    low = np.maximum((first[:, :2] - first[:, 2:] / 2)[:, None], (second[:, :2] - second[:, 2:] / 2)[None])
    high = np.minimum((first[:, :2] + first[:, 2:] / 2)[:, None], (second[:, :2] + second[:, 2:] / 2)[None])
    sides = np.maximum(high - low, 0)
    common = sides[..., 0] * sides[..., 1]
    areas = (first[:, 2] * first[:, 3])[:, None], (second[:, 2] * second[:, 3])[None]
    return common / (areas[0] + areas[1] - common), common / np.minimum(*areas)


@final
@dataclass(slots=True, eq=False)
class Motion:
    """Place, velocity and their covariance, n x 4 each."""

    place: Floats
    velocity: Floats
    place_variance: Floats
    covariance: Floats
    velocity_variance: Floats

    @classmethod
    def starting(cls, boxes: Floats) -> Self:
        """Boxes seen for the first time: they may be going anywhere."""
        size = _size(boxes)
        return cls(
            boxes.copy(),
            np.zeros_like(boxes),
            (_MEASURED * size) ** 2,
            np.zeros_like(boxes),
            (_SPEED * size) ** 2,
        )

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

    def surprise(self, rows: npt.NDArray[np.intp], boxes: Floats) -> Floats:
        """How unlikely it is that each of these boxes is where each of these rows went; 0 for the expected exactly."""
        place = self.place[rows]
        measured = (_MEASURED * _size(place)) ** 2
        expected = self.place_variance[rows] + measured
        strange = (boxes[None] - place[:, None]) ** 2 / expected[:, None]
        vague = np.log(expected / measured).sum(axis=1) / 2
        surprise: Floats = (_TAIL + 1) / 2 * np.log((1 + strange / _TAIL).prod(axis=2)) + vague[:, None]
        return surprise

    def correct(self, rows: npt.NDArray[np.intp], boxes: Floats) -> None:
        """Learn from the boxes that these rows were found at; the further off a coordinate, the less it is believed."""
        measured = (_MEASURED * _size(boxes)) ** 2
        error, spread = boxes - self.place[rows], self.place_variance[rows]
        doubt = (_TAIL + error**2 / (spread + measured)) / (_TAIL + 1)
        total = spread + measured * np.maximum(doubt, 1.0)
        covariance = self.covariance[rows]
        gain, push = spread / total, covariance / total
        self.place[rows] += gain * error
        self.velocity[rows] += push * error
        self.velocity_variance[rows] -= push * covariance
        self.covariance[rows] *= 1 - gain
        self.place_variance[rows] *= 1 - gain

    def columns(self) -> tuple[Floats, Floats, Floats, Floats, Floats]:
        """All five, in the order in which they are given to make one."""
        return self.place, self.velocity, self.place_variance, self.covariance, self.velocity_variance


def _size(boxes: Floats) -> Floats:
    """The side of a square as large as each box, and at least four pixels."""
    side: Floats = np.sqrt(np.maximum(boxes[:, 2:3] * boxes[:, 3:4], 16.0))
    return side
