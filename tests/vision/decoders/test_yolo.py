from __future__ import annotations

import numpy as np
import pytest

from throughline.contracts.errors import InputError
from throughline.vision.decoders import DECODERS
from throughline.vision.letterbox import Letterbox

OPTIONS = {"labels": ("cat", "dog"), "conf": 0.25, "iou": 0.5, "max_det": 10}


def test_the_published_layout_becomes_boxes_in_each_frames_pixels() -> None:
    raw = np.zeros((2, 6, 4), np.float32)
    raw[0, :, 0] = [320, 192, 64, 32, 0.1, 0.9]
    raw[0, :, 1] = [322, 192, 64, 32, 0.1, 0.8]  # the same object again
    raw[0, :, 2] = [322, 192, 64, 32, 0.7, 0.1]  # another class in the same place
    raw[1, :, 3] = [320, 192, 640, 384, 0.3, 0.2]
    fits = [Letterbox.fit((384, 640), (384, 640)), Letterbox.fit((1080, 1920), (384, 640))]
    first, second = DECODERS.make("yolo")({"output0": raw}, fits, **OPTIONS)
    np.testing.assert_allclose(first.xyxy, [[288, 176, 352, 208], [290, 176, 354, 208]])
    assert first.class_id.tolist() == [1, 0]
    assert [one.class_name for one in first] == ["dog", "cat"]
    np.testing.assert_allclose(second.xyxy, [[0, 0, 1920, 1080]])  # clipped to the frame, not to the canvas


def test_nothing_above_the_threshold_is_an_empty_result_with_labels() -> None:
    (found,) = DECODERS.make("yolo")(
        {"o": np.zeros((1, 6, 5), np.float32)}, [Letterbox.fit((9, 9), (32, 32))], **OPTIONS
    )
    assert len(found) == 0
    assert found.labels == ("cat", "dog")


@pytest.mark.parametrize("shape", [(1, 7, 5), (6, 5), (1, 4, 5)])
def test_another_layout_is_refused_with_the_one_expected(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"4 \+ 2"):
        DECODERS.make("yolo")({"o": np.zeros(shape, np.float32)}, [Letterbox.fit((9, 9), (32, 32))], **OPTIONS)
