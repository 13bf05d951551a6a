"""The rhythm of walking and pedalling."""

from __future__ import annotations

from throughline.testing.world.canvas import CIRCLE, Point


def swing(phase: float) -> float:
    """From -1 to 1 and back over one phase, as a pendulum does."""
    turn = phase - int(phase)
    half = turn * 2 if turn < 0.5 else (turn - 0.5) * 2
    arch = 4 * half * (1 - half)
    return arch if turn < 0.5 else -arch


def on_circle(phase: float) -> Point:
    """The point of the unit circle that a turning wheel has reached."""
    return CIRCLE[int(phase * len(CIRCLE)) % len(CIRCLE)]
