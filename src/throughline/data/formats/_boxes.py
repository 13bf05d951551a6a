"""Whether a box can be one of its picture; the same for every format."""

from __future__ import annotations

from typing import NamedTuple

from throughline.data.formats import Size

_ROUNDING = 1.0
"""So many pixels over the edge are a matter of rounding."""
_FARTHEST = 1e6


class Fault(NamedTuple):
    """What is wrong with a box (see ``Problem``)."""

    kind: str
    says: str
    severe: bool


def fault_of(box: tuple[float, float, float, float], size: Size, *, may_reach_out: bool = False) -> Fault | None:
    """That it is wholly outside its picture, reaches out of it, or holds nothing; None where it is a box."""
    x1, y1, x2, y2 = box
    height, width = size
    if max(map(abs, box)) > _FARTHEST:
        return Fault("box outside", f"the box {_say(box)} is far outside the picture of {width} x {height}", True)
    if x2 <= x1 or y2 <= y1:
        return Fault("box without area", f"a box of {x2 - x1:g} x {y2 - y1:g} pixels", x2 < x1 or y2 < y1)
    if x1 >= width or y1 >= height or x2 <= 0 or y2 <= 0:
        says = f"the box {_say(box)} is outside the picture of {width} x {height}"
        return Fault("box outside", says, not may_reach_out)
    if not may_reach_out and max(-x1, -y1, x2 - width, y2 - height) > _ROUNDING:
        return Fault("box outside", f"the box {_say(box)} reaches out of the picture of {width} x {height}", False)
    return None


def _say(box: tuple[float, ...]) -> str:
    return "(" + ", ".join(f"{one:.6g}" for one in box) + ")"
