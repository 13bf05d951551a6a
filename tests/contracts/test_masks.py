from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from hypothesis.extra.numpy import arrays

from throughline.contracts.errors import InputError
from throughline.contracts.masks import Crop, Masks

pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"
)  # in pycocotools
PICTURES = arrays(np.bool_, some.tuples(*[some.integers(1, 12)] * 3), elements=some.booleans())


@given(PICTURES)
def test_full_pictures_come_back_as_they_were(full: np.ndarray) -> None:
    masks = Masks.of(full)
    np.testing.assert_array_equal(masks.full(), full)
    np.testing.assert_array_equal(masks[::-2].full(), full[::-2])
    chosen = full.any(axis=(1, 2))
    np.testing.assert_array_equal(masks[chosen].full(), full[chosen])


@settings(max_examples=300)
@given(PICTURES)
def test_the_run_lengths_are_those_of_pycocotools(full: np.ndarray) -> None:
    from pycocotools import mask as coco

    masks = Masks.of(full)
    for row, picture in enumerate(full):
        theirs = coco.encode(np.asfortranarray(picture.astype(np.uint8)))
        assert masks.rle(row) == {"size": theirs["size"], "counts": theirs["counts"].decode()}


@pytest.mark.parametrize("size", [(2160, 3840), (4320, 7680), (1, 100_000), (100_000, 1)])
def test_large_frames_read_back_in_pycocotools(size: tuple[int, int]) -> None:
    from pycocotools import mask as coco

    dice = np.random.default_rng(sum(size))
    height, width = (min(side, 300) for side in size)
    for top, left in ((0, 0), (size[0] - height, size[1] - width), ((size[0] - height) // 2, (size[1] - width) // 2)):
        pixels = dice.random((height, width)) < 0.7
        text = Masks(size, (Crop(top, left, pixels),)).rle(0)
        assert text is not None
        expected = np.zeros(size, np.uint8)
        expected[top : top + height, left : left + width] = pixels
        np.testing.assert_array_equal(coco.decode({"size": text["size"], "counts": text["counts"].encode()}), expected)


def test_a_crop_that_is_larger_than_its_mask_says_the_same() -> None:
    pixels = np.zeros((6, 5), bool)
    pixels[2:4, 1:3] = True
    wide, tight = Masks((9, 9), (Crop(1, 2, pixels),)), Masks((9, 9), (Crop(3, 3, pixels[2:4, 1:3]),))
    assert wide.rle(0) == tight.rle(0)
    empty = Masks((9, 9), (Crop(1, 2, np.zeros((3, 3), bool)), Crop(0, 0, np.zeros((0, 0), bool))))
    assert empty.rle(0) == empty.rle(1) == Masks.of(np.zeros((1, 9, 9), bool)).rle(0)


def test_an_object_without_a_mask_covers_nothing_and_has_no_run_lengths() -> None:
    masks = Masks((4, 4), (None, Crop(0, 0, np.ones((2, 2), bool))))
    assert masks.rle(0) is None
    assert masks.full().sum(axis=(1, 2)).tolist() == [0, 4]
    assert masks[np.array([0])].crops == (None,)


@pytest.mark.parametrize("corner", [(-1, 0), (0, -1), (3, 0), (0, 3)])
def test_a_mask_beyond_the_frame_is_refused(corner: tuple[int, int]) -> None:
    with pytest.raises(InputError, match="the frame is 4 x 4"):
        Masks((4, 4), (Crop(*corner, np.ones((2, 2), bool)),))


def test_full_pictures_have_three_axes() -> None:
    with pytest.raises(InputError, match=r"must be \(n, height, width\)"):
        Masks.of(np.zeros((4, 4), bool))


@pytest.mark.parametrize("pixels", [np.ones((2, 2), np.float32), np.ones((2, 2, 1), bool), np.ones(4, bool)])
def test_a_mask_is_booleans_in_rows_and_columns(pixels: np.ndarray) -> None:
    with pytest.raises(InputError, match="it must be booleans"):
        Masks((4, 4), (Crop(0, 0, pixels),))
