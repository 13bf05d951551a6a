"""How large a picture to show a model whose input size is open: no larger than the frame's shape needs."""

from __future__ import annotations

from throughline.contracts.errors import InputError


def canvas_for(frame: tuple[int, int], imgsz: int, stride: int, dynamic: bool) -> tuple[int, int]:
    """Height and width of the smallest input, in whole strides, whose longer side is ``imgsz``.

    A square where the model's axes are fixed to one. A wide frame in a rectangle costs
    a little more than half of what it costs in the square, and is seen at the same scale.
    """
    if min(*frame, imgsz, stride) < 1:
        raise InputError(f"cannot fit {frame} into {imgsz} by strides of {stride}", "each is at least one pixel")
    longer = -(-imgsz // stride) * stride
    if not dynamic:
        return longer, longer
    # In whole numbers, rounded up: a canvas a fraction too small would shrink the whole picture.
    height, width = (-(-side * longer // (max(frame) * stride)) * stride for side in frame)
    return height, width


def read_size(text: str) -> tuple[int, int]:
    """Height and width as they are written: 640, or 384x640."""
    sides = text.lower().split("x")
    if len(sides) > 2 or not all(side.isdigit() and 1 <= int(side) <= 65_536 for side in sides):
        raise InputError(f"--imgsz {text!r} is not a size", "give 640, or 384x640 for height x width")
    return int(sides[0]), int(sides[-1])
