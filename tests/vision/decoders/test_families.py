"""Each family's published layout, through a real runtime, against boxes worked out here by other means."""

from __future__ import annotations

import math
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from constant_models import run, write

from throughline.contracts.errors import InputError
from throughline.models.artifact import read_artifact
from throughline.vision.decoders import DECODERS
from throughline.vision.decoders.detr import target_sizes
from throughline.vision.letterbox import Letterbox
from throughline.vision.preprocess import Preprocess

LABELS = ("cat", "dog", "hen")
OPTIONS: dict[str, Any] = {"labels": LABELS, "conf": 0.25, "iou": 0.5, "max_det": 10}
# A frame four times the picture, which lies 8 rows below the canvas's upper edge.
CANVAS, FRAME = (64, 96), (192, 384)
FIT = Letterbox.fit(FRAME, CANVAS)
CELLS = {8: (8, 12), 16: (4, 6), 32: (2, 3)}


def on_frame(x1: float, y1: float, x2: float, y2: float) -> list[float]:
    """By hand: up from the canvas by 4, after taking the grey rows off."""
    return [4 * x1, 4 * (y1 - 8), 4 * x2, 4 * (y2 - 8)]


def place(stride: int, row: int, column: int) -> int:
    before = sum(high * wide for at, (high, wide) in CELLS.items() if at < stride)
    return before + row * CELLS[stride][1] + column


def test_the_frame_lies_as_these_tests_say() -> None:
    assert (FIT.picture, FIT.corner) == ((48, 96), (8, 0))


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_yolo_plain(tmp_path: Path, dtype: type) -> None:
    raw = np.zeros((1, 7, 126), dtype)
    raw[0, :, 5] = [40, 30, 20, 10, 0.1, 0.75, 0.0]
    raw[0, :, 90] = [41, 30, 20, 10, 0.0, 0.5, 0.0]
    raw[0, :, 125] = [41, 30, 20, 10, 0.0, 0.0, 0.5]
    (found,) = DECODERS.make("yolo")(run(tmp_path / "m.onnx", {"output0": raw}, canvas=CANVAS), [FIT], **OPTIONS)
    np.testing.assert_allclose(found.xyxy, [on_frame(30, 25, 50, 35), on_frame(31, 25, 51, 35)])
    assert [one.class_name for one in found] == ["dog", "hen"]
    assert found.confidence.tolist() == [0.75, 0.5]


def test_yolo_with_built_in_suppression_is_taken_at_its_word(tmp_path: Path) -> None:
    raw = np.zeros((1, 300, 6), np.float32)
    raw[0, 0] = [31, 25, 51, 35, 0.5, 2]
    raw[0, 1] = [30, 25, 50, 35, 0.75, 2]  # close to the first, and kept: the model decided
    raw[0, 2] = [30, 25, 50, 35, 0.2, 0]
    outputs = run(tmp_path / "m.onnx", {"output0": raw}, canvas=CANVAS)
    (found,) = DECODERS.make("yolo")(outputs, [FIT], **OPTIONS)
    np.testing.assert_allclose(found.xyxy, [on_frame(30, 25, 50, 35), on_frame(31, 25, 51, 35)])
    assert found.class_id.tolist() == [2, 2]
    (every,) = DECODERS.make("yolo")(outputs, [FIT], **OPTIONS | {"conf": 0.0, "max_det": 1000})
    assert len(every) == 3  # the rows that fill the table up are no detections
    (most,) = DECODERS.make("yolo")(outputs, [FIT], **OPTIONS | {"max_det": 1})
    assert most.confidence.tolist() == [0.75]


def test_yolov5(tmp_path: Path) -> None:
    raw = np.zeros((1, 378, 8), np.float32)
    raw[0, 7] = [40, 30, 20, 10, 0.8, 0.1, 0.75, 0.0]
    raw[0, 300] = [41, 30, 20, 10, 0.9, 0.0, 0.5, 0.0]
    raw[0, 301] = [80, 30, 20, 10, 0.4, 0.5, 0.0, 0.0]  # 0.4 x 0.5 is not enough
    raw[0, 302] = [80, 30, 20, 10, 0.2, 1.0, 0.0, 0.0]
    (found,) = DECODERS.make("yolov5")(run(tmp_path / "m.onnx", {"output0": raw}, canvas=CANVAS), [FIT], **OPTIONS)
    np.testing.assert_allclose(found.xyxy, [on_frame(30, 25, 50, 35)])
    np.testing.assert_allclose(found.confidence, [0.6])
    assert found.class_id.tolist() == [1]


def test_yolox(tmp_path: Path) -> None:
    raw = np.zeros((1, 126, 8), np.float32)
    # Centre (40, 30) in the cells of 16: column 2, row 1, then half a cell and 0.875 of one. 20 x 10 pixels.
    raw[0, place(16, 1, 2)] = [0.5, 0.875, math.log(20 / 16), math.log(10 / 16), 0.8, 0.0, 0.75, 0.0]
    raw[0, place(8, 7, 11)] = [0.0, 0.0, math.log(2), math.log(1), 1.0, 0.5, 0.0, 0.0]  # centre (88, 56), 16 x 8
    raw[0, place(32, 1, 2)] = [0.0, 0.0, 400, 400, 0.1, 1.0, 0.0, 0.0]  # would overflow, and is not wanted
    (found,) = DECODERS.make("yolox")(run(tmp_path / "m.onnx", {"output": raw}, canvas=CANVAS), [FIT], **OPTIONS)
    np.testing.assert_allclose(found.xyxy, [on_frame(30, 25, 50, 35), on_frame(80, 52, 96, 56)], atol=1e-3)
    np.testing.assert_allclose(found.confidence, [0.6, 0.5], rtol=1e-6)
    assert found.class_id.tolist() == [1, 0]


def test_nanodet_without_a_batch_axis_and_in_any_order(tmp_path: Path) -> None:
    scores = {stride: np.zeros((high * wide, 3), np.float32) for stride, (high, wide) in CELLS.items()}
    sides = {stride: np.zeros((high * wide, 32), np.float32) for stride, (high, wide) in CELLS.items()}
    # Column 2, row 1 of 16: centre (40, 24). One strike at 1 stride left and up; right an even mix of 0 and 2; down 2.
    cell = 1 * 6 + 2
    scores[16][cell, 1] = 0.75
    weights = np.full((4, 8), -50, np.float32)
    weights[0, 1] = weights[1, 1] = weights[3, 2] = 50
    weights[2, [0, 2]] = 50
    sides[16][cell] = weights.ravel()
    outputs = {
        "a": scores[8], "b": scores[16], "bbox0": sides[32], "c": scores[32], "bbox1": sides[8], "bbox2": sides[16]
    }  # fmt: skip
    (found,) = DECODERS.make("nanodet")(run(tmp_path / "m.onnx", outputs, canvas=CANVAS), [FIT], **OPTIONS)
    np.testing.assert_allclose(found.xyxy, [on_frame(24, 8, 56, 56)], atol=1e-3)
    assert (found.class_id.tolist(), found.confidence.tolist()) == ([1], [0.75])
    batched = {name: output[None] for name, output in outputs.items()}
    (again,) = DECODERS.make("nanodet")(batched, [FIT], **OPTIONS)
    np.testing.assert_array_equal(again.xyxy, found.xyxy)
    with pytest.raises(InputError, match="--batch 1"):
        DECODERS.make("nanodet")(outputs, [FIT, FIT], **OPTIONS)


STRETCHED = Preprocess(stretch=True).fit(FRAME, CANVAS)


@pytest.mark.parametrize("family", ["detr", "rfdetr"])
@pytest.mark.parametrize("names", [("logits", "pred_boxes"), ("labels", "dets")])
def test_detr_raw(tmp_path: Path, family: str, names: tuple[str, str]) -> None:
    logits = np.full((1, 5, 3), -100, np.float32)
    boxes = np.full((1, 5, 4), 0.5, np.float32)
    boxes[0, 3] = [0.25, 0.5, 0.5, 1.0]
    logits[0, 3] = [math.log(3), -1000, math.log(0.6 / 0.4)]  # 0.75 and 0.6: one query may be two things
    outputs = run(tmp_path / "m.onnx", {names[0]: logits, names[1]: boxes}, canvas=CANVAS)
    (found,) = DECODERS.make(family)(outputs, [STRETCHED], **OPTIONS)
    np.testing.assert_allclose(found.xyxy, [[0, 0, 192, 192]] * 2, atol=1e-4)
    np.testing.assert_allclose(found.confidence, [0.75, 0.6], rtol=1e-5)
    assert found.class_id.tolist() == [0, 2]


def test_detr_of_four_classes_is_told_apart_by_name() -> None:
    logits, boxes = np.full((1, 2, 4), -9, np.float32), np.full((1, 2, 4), 0.5, np.float32)
    logits[0, 1, 3] = 9
    options = OPTIONS | {"labels": ("a", "b", "c", "d")}
    (found,) = DECODERS.make("detr")({"logits": logits, "pred_boxes": boxes}, [STRETCHED], **options)
    assert found.class_id.tolist() == [3]
    np.testing.assert_allclose(found.xyxy, [[96, 48, 288, 144]])


def test_detr_in_one_tensor(tmp_path: Path) -> None:
    raw = np.zeros((1, 300, 7), np.float32)
    raw[0, 17] = [0.25, 0.5, 0.5, 1.0, 0.0, 0.75, 0.0]
    (found,) = DECODERS.make("detr")(run(tmp_path / "m.onnx", {"output0": raw}, canvas=CANVAS), [STRETCHED], **OPTIONS)
    np.testing.assert_allclose(found.xyxy, [[0, 0, 192, 192]])
    assert found.class_id.tolist() == [1]


def test_detr_deployed(tmp_path: Path) -> None:
    sizes = target_sizes(CANVAS, 1)
    assert sizes.tolist() == [[96, 64]]
    outputs = {
        "labels": np.array([[2, 0, 1]], np.int64),
        "boxes": np.array([[[0, 0, 9, 9], [0, 0, 48, 64], [48, 32, 96, 64]]], np.float32),
        "scores": np.array([[0.1, 0.5, 0.75]], np.float32),
    }
    from_runtime = run(tmp_path / "m.onnx", outputs, canvas=CANVAS)
    (found,) = DECODERS.make("detr")(from_runtime, [STRETCHED], **OPTIONS)
    np.testing.assert_allclose(found.xyxy, [[192, 96, 384, 192], [0, 0, 192, 192]])
    assert found.class_id.tolist() == [1, 0]


@pytest.mark.parametrize("finished", [False, True])
def test_yolo_segmentation(tmp_path: Path, finished: bool) -> None:
    # Two prototypes of a quarter of the canvas: the left half, and everything but the left half.
    prototypes = np.zeros((1, 2, 16, 24), np.float32)
    prototypes[0, 0, :, :12], prototypes[0, 0, :, 12:] = 1, -1
    prototypes[0, 1] = -prototypes[0, 0]
    if finished:
        raw = np.zeros((1, 300, 8), np.float32)
        raw[0, 0] = [24, 20, 72, 44, 0.75, 1, 3, 0]
        raw[0, 1] = [24, 20, 72, 44, 0.5, 2, 0, 3]
    else:
        raw = np.zeros((1, 9, 126), np.float32)
        raw[0, :, 3] = [48, 32, 48, 24, 0, 0.75, 0, 3, 0]
        raw[0, :, 4] = [48, 32, 48, 24, 0, 0, 0.5, 0, 3]
    outputs = run(tmp_path / "m.onnx", {"output0": raw, "output1": prototypes}, canvas=CANVAS)
    (found,) = DECODERS.make("yolo_seg")(outputs, [FIT], **OPTIONS)
    np.testing.assert_allclose(found.xyxy, [on_frame(24, 20, 72, 44)] * 2)
    expected = np.zeros((2, *FRAME), bool)
    expected[0, 48:144, 96:192] = True
    expected[1, 48:144, 192:288] = True
    assert found.mask is not None
    np.testing.assert_array_equal(found.mask, expected)


def test_yolo_segmentation_of_nothing_still_has_masks() -> None:
    outputs = {"output0": np.zeros((1, 9, 126), np.float32), "output1": np.zeros((1, 2, 16, 24), np.float32)}
    (found,) = DECODERS.make("yolo_seg")(outputs, [FIT], **OPTIONS)
    assert found.mask is not None
    assert found.mask.shape == (0, *FRAME)


def test_masks_of_a_large_frame_take_the_room_of_their_boxes() -> None:
    raw = np.zeros((1, 9, 126), np.float32)
    raw[0, :4, :60], raw[0, 4, :60], raw[0, 7, :60] = [[1], [1], [8], [8]], 0.75, 1
    raw[0, 0, :60], raw[0, 1, :60] = np.arange(60) % 10 * 9 + 5, np.arange(60) // 10 * 9 + 5
    fit = Letterbox.fit((2160, 3840), CANVAS)
    tracemalloc.start()
    (found,) = DECODERS.make("yolo_seg")(
        {"output0": raw, "output1": np.ones((1, 2, 16, 24), np.float32)}, [fit], **OPTIONS | {"max_det": 60}
    )
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.masks is not None
    assert len(found) == len(found.masks) > 40
    assert found.masks.size == (2160, 3840)
    assert most < 40 * 2**20, "full pictures would be 8 MiB each"


@pytest.mark.parametrize("finished", [False, True])
def test_yolo_pose(tmp_path: Path, finished: bool) -> None:
    points = [30, 28, 0.9, 50, 34, 0.1]
    raw = np.zeros((1, 300, 12) if finished else (1, 11, 126), np.float32)
    if finished:
        raw[0, 4] = [30, 25, 50, 35, 0.75, 0, *points]
    else:
        raw[0, :, 4] = [40, 30, 20, 10, 0.75, *points]
    outputs = run(tmp_path / "m.onnx", {"output0": raw}, canvas=CANVAS)
    (found,) = DECODERS.make("yolo_pose")(outputs, [FIT], **OPTIONS | {"labels": ("person",)})
    np.testing.assert_allclose(found.xyxy, [on_frame(30, 25, 50, 35)])
    np.testing.assert_allclose(found.data["keypoints"], [[[120, 80, 0.9], [200, 104, 0.1]]], rtol=1e-6)


@pytest.mark.parametrize("family", ["classify", "yolo_cls"])
@pytest.mark.parametrize("logits", [False, True])
def test_classification(tmp_path: Path, family: str, logits: bool) -> None:
    shares = np.array([[0.3, 0.1, 0.6]], np.float32)
    raw = np.log(shares) + 7 if logits else shares
    outputs = run(tmp_path / "m.onnx", {"output0": raw.astype(np.float32)}, canvas=CANVAS)
    (found,) = DECODERS.make(family)(outputs, [FIT], **OPTIONS)
    assert found.class_id.tolist() == [2, 0]
    np.testing.assert_allclose(found.confidence, [0.6, 0.3], rtol=1e-5)
    np.testing.assert_array_equal(found.xyxy, [[0, 0, 384, 192]] * 2)
    assert found.of_frame.tolist() == [True, True]
    (unsure,) = DECODERS.make(family)(outputs, [FIT], **OPTIONS | {"conf": 0.9})
    assert unsure.data["of_frame"].shape == (0,), "that nothing is sure is said too"


@pytest.mark.parametrize("family", DECODERS.names())
def test_outputs_of_another_layout_are_refused_with_the_one_expected(family: str) -> None:
    with pytest.raises(InputError, match=r"o has shape \(1, 2, 3, 4, 5\); .* gives?") as caught:
        DECODERS.make(family)({"o": np.zeros((1, 2, 3, 4, 5), np.float32)}, [FIT], **OPTIONS)
    assert "--decoder" in caught.value.fix


@pytest.mark.parametrize("family", DECODERS.names())
def test_every_family_says_what_it_looks_at(family: str) -> None:
    assert isinstance(DECODERS.get(family).facts["preprocess"], Preprocess)


SHAPES: dict[str, tuple[tuple[int, ...], ...]] = {
    "yolo": ((1, 7, 126),),
    "yolov5": ((1, 378, 8),),
    "yolox": ((1, 126, 8),),
    "nanodet": ((96, 3), (24, 3), (6, 3), (96, 32), (24, 32), (6, 32)),
    "detr": ((1, 200, 3), (1, 200, 4)),
    "rfdetr": ((1, 200, 3), (1, 200, 4)),
    "yolo_seg": ((1, 9, 126), (1, 2, 16, 24)),
    "yolo_pose": ((1, 13, 126),),
    "classify": ((1, 3),),
    "yolo_cls": ((1, 3),),
}


@pytest.mark.parametrize("family", DECODERS.names())
@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf, 3e38])
def test_what_is_no_number_is_no_object(family: str, broken: float) -> None:
    random = np.random.default_rng(1)
    outputs = {f"o{n}": random.uniform(0, 1, shape).astype(np.float32) for n, shape in enumerate(SHAPES[family])}
    assert all(DECODERS.make(family)(outputs, [FIT], **OPTIONS))
    for output in outputs.values():
        flat = output.reshape(-1)
        flat[random.integers(0, flat.size, 1 + flat.size // 8)] = broken
    (found,) = DECODERS.make(family)(outputs, [FIT], **OPTIONS)
    assert np.isfinite(found.xyxy).all()
    assert np.isfinite(found.confidence).all()
    assert all(np.isfinite(column).all() for column in found.data.values())


NAMES = {"names": "{0: 'cat', 1: 'dog', 2: 'hen'}"}


@pytest.mark.parametrize(
    ("shapes", "metadata", "family"),
    [
        ({"output0": (1, 7, 126)}, NAMES, "yolo"),
        ({"output0": (1, 300, 6)}, NAMES | {"task": "detect"}, "yolo"),
        ({"output0": (1, 378, 8)}, NAMES, "yolov5"),
        ({"output": (1, 126, 8)}, NAMES, "yolox"),
        ({"output": (1, 126, 85)}, {}, "yolox"),
        ({"output0": (1, 9, 126), "output1": (1, 2, 16, 24)}, NAMES | {"task": "segment"}, "yolo_seg"),
        ({"output0": (1, 300, 8), "output1": (1, 2, 16, 24)}, NAMES | {"task": "segment"}, "yolo_seg"),
        ({"output0": (1, 11, 126)}, {"names": "{0: 'person'}", "task": "pose"}, "yolo_pose"),
        ({"output0": (1, 3)}, NAMES | {"task": "classify"}, "yolo_cls"),
        ({"probabilities": (1, 3)}, NAMES, "classify"),
        ({"logits": (1, 5, 3), "pred_boxes": (1, 5, 4)}, {}, "detr"),
        ({"labels": (1, 5), "boxes": (1, 5, 4), "scores": (1, 5)}, {}, "detr"),
        ({"output0": (1, 300, 7)}, NAMES, "detr"),
        ({"dets": (1, 5, 4), "labels": (1, 5, 91)}, {}, "rfdetr"),
        ({"cls_score0": (96, 80), "bbox_pred0": (96, 32)}, {}, "nanodet"),
        ({"output0": (1, 126, 12)}, {}, None),
        ({"output0": (1, 300, 6)}, {"names": "{0: 'a', 1: 'b'}"}, None),  # built-in NMS, or a DETR of two classes
        ({"output0": (1, 8, 126)}, NAMES | {"task": "obb"}, None),
        ({"heat": (1, 3, 16, 24)}, {}, None),
    ],
)
def test_the_family_is_found_in_the_file(
    tmp_path: Path, shapes: dict[str, tuple[int, ...]], metadata: dict[str, str], family: str | None
) -> None:
    outputs = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    assert (
        read_artifact(write(tmp_path / "m.onnx", outputs, canvas=CANVAS, metadata=metadata)).passport.decoder == family
    )
