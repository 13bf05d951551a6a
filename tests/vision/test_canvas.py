from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from throughline.contracts.errors import InputError
from throughline.vision.canvas import canvas_for
from throughline.vision.letterbox import Letterbox

sides = st.integers(1, 8192)


@pytest.mark.parametrize(
    ("frame", "imgsz", "expected"),
    [
        ((1080, 1920), 640, (384, 640)),
        ((1920, 1080), 640, (640, 384)),
        ((720, 720), 640, (640, 640)),
        ((1, 8000), 640, (32, 640)),
        ((1080, 1920), 641, (384, 672)),
    ],
)
def test_the_canvas_has_the_frames_shape(frame: tuple[int, int], imgsz: int, expected: tuple[int, int]) -> None:
    assert canvas_for(frame, imgsz, 32, dynamic=True) == expected
    assert canvas_for(frame, imgsz, 32, dynamic=False) == (max(expected), max(expected))


@given(sides, sides, st.integers(1, 2048), st.sampled_from([8, 16, 32, 64]))
def test_it_is_the_smallest_that_shows_the_frame_as_large_as_the_square_does(
    height: int, width: int, imgsz: int, stride: int
) -> None:
    canvas = canvas_for((height, width), imgsz, stride, dynamic=True)
    square = canvas_for((height, width), imgsz, stride, dynamic=False)
    picture = Letterbox.fit((height, width), square).picture
    assert all(side % stride == 0 for side in canvas)
    assert max(canvas) == max(square)
    assert Letterbox.fit((height, width), canvas).picture == picture
    assert all(inner <= side <= inner + stride for inner, side in zip(picture, canvas, strict=True))


def test_no_size_at_all_is_refused() -> None:
    with pytest.raises(InputError, match="at least one pixel"):
        canvas_for((10, 10), 0, 32, dynamic=True)
