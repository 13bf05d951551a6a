from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from throughline.vision.suppress import suppress

boxes = st.lists(
    st.tuples(st.integers(0, 40), st.integers(0, 40), st.integers(0, 20), st.integers(0, 20), st.integers(0, 2)),
    max_size=25,
)


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    width, height = (min(a[2 + axis], b[2 + axis]) - max(a[axis], b[axis]) for axis in (0, 1))
    shared = max(0.0, width) * max(0.0, height)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return shared / union if union else 0.0


@given(boxes, st.floats(0.05, 0.95), st.integers(1, 30))
def test_it_is_what_the_plain_definition_gives(rows: list, iou: float, most: int) -> None:
    table = np.array(rows, np.float64).reshape(-1, 5)
    xyxy = np.concatenate([table[:, :2], table[:, :2] + table[:, 2:4]], axis=1).astype(np.float32)
    confidence = np.linspace(0.9, 0.1, len(rows), dtype=np.float32)
    classes = table[:, 4].astype(np.int64)
    expected: list[int] = []
    for row in range(len(rows)):
        beaten = any(classes[row] == classes[best] and overlap(xyxy[row], xyxy[best]) > iou for best in expected)
        if not beaten and len(expected) < most:
            expected.append(row)
    assert suppress(xyxy, confidence, classes, iou=iou, most=most).tolist() == expected


@pytest.mark.parametrize("most", [5, 300, 3000])
@pytest.mark.parametrize("iou", [0.3, 0.7])
def test_many_more_boxes_than_are_compared_at_once(most: int, iou: float) -> None:
    random = np.random.default_rng(most)
    corner, size = random.uniform(0, 300, (700, 2)), random.uniform(20, 90, (700, 2))
    xyxy = np.concatenate([corner, corner + size], axis=1).astype(np.float32)
    confidence, classes = random.uniform(0, 1, 700).astype(np.float32), random.integers(0, 3, 700)
    expected: list[int] = []
    for row in np.argsort(-confidence, kind="stable").tolist():
        if all(classes[row] != classes[best] or overlap(xyxy[row], xyxy[best]) <= iou for best in expected):
            expected.append(row)
    assert len(expected) > 150
    assert suppress(xyxy, confidence, classes, iou=iou, most=most).tolist() == expected[:most]
