from __future__ import annotations

import numpy as np
import pytest

from throughline.vision.preprocess import IMAGENET, PLAIN, Preprocess, normalise

PICTURES = np.random.default_rng(3).uniform(0, 1, (2, 3, 4, 5)).astype(np.float32)


@pytest.mark.parametrize(
    "preprocess",
    [
        PLAIN,
        IMAGENET,
        Preprocess(scale=255, bgr=True),
        Preprocess(scale=255, mean=(103.53, 116.28, 123.675), std=(57.375, 57.12, 58.395), bgr=True),
    ],
)
def test_it_is_the_formula_channel_by_channel(preprocess: Preprocess) -> None:
    buffer = PICTURES.copy()
    normalise(buffer, preprocess)
    order = (2, 1, 0) if preprocess.bgr else (0, 1, 2)
    for place, channel in enumerate(order):
        expected = (PICTURES[:, channel] * preprocess.scale - preprocess.mean[place]) / preprocess.std[place]
        np.testing.assert_allclose(buffer[:, place], expected, rtol=1e-5, atol=1e-5)


def test_plain_changes_nothing() -> None:
    buffer = PICTURES.copy()
    normalise(buffer, PLAIN)
    np.testing.assert_array_equal(buffer, PICTURES)


def test_a_stretched_picture_fills_the_canvas_and_comes_back_by_each_axis() -> None:
    fit = Preprocess(stretch=True).fit((100, 400), (64, 64))
    into = np.full((3, 64, 64), np.nan, np.float32)
    fit.apply(np.full((100, 400, 3), 51, np.uint8), into)
    np.testing.assert_allclose(into, 0.2, rtol=1e-6)
    np.testing.assert_allclose(fit.to_frame(np.array([[16.0, 32, 64, 48]])), [[100, 50, 400, 75]])
