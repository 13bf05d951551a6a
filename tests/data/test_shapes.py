from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as some
from hypothesis.extra.numpy import arrays

from throughline.contracts.errors import InputError
from throughline.contracts.masks import Masks
from throughline.data.shapes import Polygons, Runs, box_of, crop_of, runs_from
from throughline.testing.world.coco import run_lengths

HEIGHT, WIDTH = 23, 37
corner = some.tuples(some.floats(-6, WIDTH + 6, width=32), some.floats(-6, HEIGHT + 6, width=32))
SIZES = some.tuples(some.integers(1, 12), some.integers(1, 12))


def full(shape: Polygons | Runs, size: tuple[int, int] = (HEIGHT, WIDTH)) -> np.ndarray:
    return Masks(size, (crop_of(shape, size),)).full()[0]


@pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"
)  # in pycocotools
@given(some.lists(some.lists(corner, min_size=3, max_size=9), min_size=1, max_size=3))
@example([[(0, 0), (WIDTH, 0), (WIDTH, HEIGHT), (0, HEIGHT)]])
@example([[(5, 5), (5, 5), (5, 5)]])
def test_polygons_are_filled_as_cocos_own_tools_fill_them(parts: list[list[tuple[float, float]]]) -> None:
    from pycocotools import mask as coco

    flat = [[number for point in part for number in point] for part in parts]
    theirs = coco.decode(coco.merge(coco.frPyObjects(flat, HEIGHT, WIDTH))).astype(bool)
    ours = full(Polygons(tuple(np.asarray(part, np.float64) for part in parts)))
    assert np.array_equal(ours, theirs)


@given(SIZES.flatmap(lambda size: arrays(np.bool_, size)))
def test_run_lengths_give_the_mask_they_were_made_from(mask: np.ndarray) -> None:
    size = (mask.shape[0], mask.shape[1])
    packed = Masks.of(mask[None]).rle(0)
    assert packed is not None
    for counts in (packed["counts"], run_lengths(mask)["counts"]):
        assert np.array_equal(full(runs_from(counts, size), size), mask)


@given(SIZES.flatmap(lambda size: arrays(np.bool_, size)))
def test_a_box_holds_its_mask(mask: np.ndarray) -> None:
    size = (mask.shape[0], mask.shape[1])
    x1, y1, x2, y2 = map(int, box_of(runs_from(run_lengths(mask)["counts"], size), size))
    assert mask[y1:y2, x1:x2].sum() == mask.sum()
    if mask.any():
        assert mask[y1].any()
        assert mask[:, x2 - 1].any()


@pytest.mark.parametrize("counts", [[5], [-1, 7], [2.0, 4], [True, 5], "0", "\x00", "oo", "é", "o" * 40, [7, -1]])
def test_run_lengths_that_are_not_of_the_picture_are_refused(counts: str | list[int]) -> None:
    with pytest.raises(InputError, match="run lengths"):
        runs_from(counts, (2, 3))
