"""Whether a box can be one of its picture; the same for every format."""

from __future__ import annotations

from pathlib import Path

from throughline.data.formats import Size
from throughline.data.problems import Problems

_ROUNDING = 1.0
"""So many pixels over the edge are a matter of rounding."""


def check_box(
    box: tuple[float, float, float, float],
    size: Size,
    file: Path,
    problems: Problems,
    *,
    line: int | None = None,
    where: str = "",
    may_reach_out: bool = False,
) -> None:
    """Note a box that is wholly outside its picture, reaches out of it, or holds nothing."""
    x1, y1, x2, y2 = box
    height, width = size
    at = f"{where}: " if where else ""
    if x2 <= x1 or y2 <= y1:
        says = f"{at}a box of {x2 - x1:g} x {y2 - y1:g} pixels"
        problems.add("box without area", file, says, line=line, severe=x2 < x1 or y2 < y1)
    elif x1 >= width or y1 >= height or x2 <= 0 or y2 <= 0:
        says = f"{at}the box {_say(box)} is outside the picture of {width} x {height}"
        problems.add("box outside", file, says, line=line, severe=not may_reach_out)
    elif not may_reach_out and max(-x1, -y1, x2 - width, y2 - height) > _ROUNDING:
        says = f"{at}the box {_say(box)} reaches out of the picture of {width} x {height}"
        problems.add("box outside", file, says, line=line)


def _say(box: tuple[float, ...]) -> str:
    return "(" + ", ".join(f"{one:.6g}" for one in box) + ")"
