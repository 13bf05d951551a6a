from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from throughline.contracts.errors import InputError
from throughline.vision.letterbox import GREY, Letterbox

sides = st.integers(1, 8192)
inputs = st.integers(1, 80).map(lambda blocks: blocks * 32)


@given(sides, sides, inputs, inputs, st.lists(st.tuples(*[st.floats(0, 1)] * 4), min_size=1, max_size=8))
def test_boxes_come_back_where_they_were(height: int, width: int, rows: int, columns: int, shares: list) -> None:
    fit = Letterbox.fit((height, width), (rows, columns))
    boxes = np.sort(np.array(shares).reshape(-1, 2, 2), axis=1).reshape(-1, 4) * [width, height, width, height]
    there = fit.to_canvas(boxes)
    assert (there >= -1e-3).all()
    assert (there <= np.array([columns, rows, columns, rows]) + 1e-3).all()
    # float32 on the canvas, blown up by the frame-to-canvas ratio on the way back
    tolerance = 1e-6 * max(rows, columns) * max(height / fit.picture[0], width / fit.picture[1]) + 1e-3
    assert np.abs(fit.to_frame(there) - boxes).max() <= tolerance


@given(sides, sides, inputs, inputs)
def test_the_picture_lies_inside_the_canvas_and_touches_it(height: int, width: int, rows: int, columns: int) -> None:
    fit = Letterbox.fit((height, width), (rows, columns))
    (top, left), (high, wide) = fit.corner, fit.picture
    assert top >= 0 <= left
    assert top + high <= rows
    assert left + wide <= columns
    assert high == rows or wide == columns


def test_pixels_land_where_the_boxes_say() -> None:
    image = np.zeros((200, 300, 3), np.uint8)
    image[40:120, 90:210] = (255, 128, 0)
    fit = Letterbox.fit((200, 300), (384, 640))
    into = np.full((3, 384, 640), np.nan, np.float32)
    fit.apply(image, into)
    x1, y1, x2, y2 = fit.to_canvas(np.array([[90.0, 40, 210, 120]]))[0].round().astype(int)
    np.testing.assert_allclose(
        into[:, y1 + 3 : y2 - 3, x1 + 3 : x2 - 3].mean(axis=(1, 2)), [1, 128 / 255, 0], atol=1e-6
    )
    assert (into[:, : fit.corner[0]] == np.float32(GREY / 255)).all()
    assert (into[:, :, : fit.corner[1]] == np.float32(GREY / 255)).all()
    assert np.isfinite(into).all()


def test_a_frame_of_the_models_size_is_copied_exactly() -> None:
    image = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
    into = np.empty((3, 64, 96), np.float32)
    Letterbox.fit((64, 96), (64, 96)).apply(image, into)
    np.testing.assert_array_equal((into * 255).round().astype(np.uint8), image.transpose(2, 0, 1))


def test_a_frame_of_another_size_is_refused() -> None:
    fit = Letterbox.fit((64, 96), (64, 96))
    with pytest.raises(InputError, match=r"the frame is \(10, 10\)"):
        fit.apply(np.zeros((10, 10, 3), np.uint8), np.empty((3, 64, 96), np.float32))
    with pytest.raises(InputError, match="at least one pixel"):
        Letterbox.fit((0, 96), (64, 96))
