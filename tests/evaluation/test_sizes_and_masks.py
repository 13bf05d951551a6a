"""Small, medium and large, of boxes and of masks: every figure is pycocotools'."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from throughline.contracts.detections import Detections
from throughline.contracts.errors import InputError
from throughline.contracts.masks import Masks
from throughline.evaluation.boxes import BoxScores, score_boxes
from throughline.evaluation.masks import score_masks

LABELS = ("person", "car")
HIGH, WIDE = 150, 170
Frames = list[Detections]


def made_up(seed: int, frames: int, areas: bool) -> tuple[Frames, Frames]:
    """Objects of all sizes, some with an area that is not their box's, some crowds; boxes near them and anywhere."""
    chance = np.random.default_rng(seed)
    found, truth = [], []
    for _ in range(frames):
        count = int(chance.integers(0, 7))
        real = rectangles(chance, count)
        kinds = chance.integers(0, 2, count)
        data = {"crowd": chance.random(count) < 0.15}
        if areas:
            data["area"] = chance.choice([100.0, 1024.0, 5000.0, 9216.0, 12000.0], count)
        truth.append(filled(chance, real, kinds, np.ones(count), data))
        again = chance.integers(0, count, int(chance.integers(0, 2 * count))) if count else np.empty(0, np.int64)
        near = (real[again] + chance.integers(-3, 4, (len(again), 4))).clip(0, [WIDE, HIGH, WIDE, HIGH])
        near[:, 2:] = np.maximum(near[:, 2:], near[:, :2] + 1).clip(0, [WIDE, HIGH])
        near[:, :2] = np.minimum(near[:, :2], near[:, 2:] - 1)
        boxes = np.concatenate([near, rectangles(chance, int(chance.integers(0, 3)))])
        said = np.concatenate([kinds[again], chance.integers(0, 2, len(boxes) - len(near))])
        found.append(filled(chance, boxes, said, chance.random(len(boxes)).round(2), {}))
    return found, truth


def rectangles(chance: np.random.Generator, count: int) -> np.ndarray:
    side = chance.choice([12, 32, 60, 96, 120], (count, 2)) + chance.integers(-2, 3, (count, 2)) * (
        chance.random() < 0.5
    )
    corner = chance.integers(0, 25, (count, 2))
    return np.hstack([corner, corner + side])


def filled(
    chance: np.random.Generator, boxes: np.ndarray, kinds: np.ndarray, sure: np.ndarray, data: dict[str, np.ndarray]
) -> Detections:
    full = np.zeros((len(boxes), HIGH, WIDE), np.bool_)
    for mask, (x1, y1, x2, y2) in zip(full, boxes.tolist(), strict=True):
        mask[y1:y2, x1:x2] = True
        if chance.random() < 0.5:  # a corner is missing
            mask[y1 : (y1 + y2) // 2, x1 : (2 * x1 + x2) // 3] = False
    return Detections(
        boxes.astype(np.float32), sure.astype(np.float32), kinds.astype(np.int64), Masks.of(full), None, data, LABELS
    )


def by_coco(found: Sequence[Detections], truth: Sequence[Detections], kind: str) -> dict[str, np.ndarray]:
    """Average precision by size: classes x thresholds, -1 where there is nothing to find."""
    annotations: list[dict[str, object]] = []
    results: list[dict[str, object]] = []
    for number, (seen, real) in enumerate(zip(found, truth, strict=True), 1):
        for side, into in ((real, annotations), (seen, results)):
            assert side.masks is not None
            for row, (x1, y1, x2, y2) in enumerate(side.xyxy.astype(float).tolist()):
                pixels = int(side.masks.crops[row].pixels.sum())
                area = float(pixels) if kind == "segm" else (x2 - x1) * (y2 - y1)
                about = {
                    "id": len(into) + 1,
                    "image_id": number,
                    "category_id": int(side.class_id[row]),
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "segmentation": side.masks.rle(row),
                    "area": float(side.data["area"][row]) if "area" in side.data else area,
                    "iscrowd": int(side.data["crowd"][row]) if side is real else 0,
                }
                into.append(about if side is real else {**about, "score": float(side.confidence[row])})
    whole = {
        "info": {},
        "images": [{"id": number, "height": HIGH, "width": WIDE} for number in range(1, len(truth) + 1)],
        "categories": [{"id": number, "name": name} for number, name in enumerate(LABELS)],
    }
    reference, said = COCO(), COCO()
    reference.dataset, said.dataset = {**whole, "annotations": annotations}, {**whole, "annotations": results}
    with contextlib.redirect_stdout(io.StringIO()):
        reference.createIndex()
        said.createIndex()
        judge = COCOeval(reference, said, kind)
        judge.params.imgIds = [one["id"] for one in whole["images"]]
        judge.evaluate()
        judge.accumulate()
    precision = judge.eval["precision"][:, :, :, :, -1].mean(axis=1)  # thresholds x classes x sizes
    return {size: precision[:, :, at].T for at, size in enumerate(("all", "small", "medium", "large"))}


def same(scores: BoxScores, reference: dict[str, np.ndarray]) -> None:
    for size, table in reference.items():
        ours = scores if size == "all" else scores.sizes[size]
        known = {LABELS[kind]: row for kind, row in enumerate(table) if row[0] > -1}
        assert {name: one.ap50_95 for name, one in ours.classes.items()} == pytest.approx(
            {name: row.mean() for name, row in known.items()}, abs=1e-9
        )
        mean = np.mean([row.mean() for row in known.values()]) if known else float("nan")
        half = np.mean([row[0] for row in known.values()]) if known else float("nan")
        assert ours.map50_95 == pytest.approx(mean, abs=1e-9, nan_ok=True)
        assert ours.map50 == pytest.approx(half, abs=1e-9, nan_ok=True)


@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.booleans())
@settings(max_examples=80)
def test_boxes_of_every_size_score_as_with_pycocotools(seed: int, frames: int, areas: bool) -> None:
    found, truth = made_up(seed, frames, areas)
    same(score_boxes(found, truth), by_coco(found, truth, "bbox"))


@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.booleans())
@settings(max_examples=60)
def test_masks_of_every_size_score_as_with_pycocotools(seed: int, frames: int, areas: bool) -> None:
    found, truth = made_up(seed, frames, areas)
    same(score_masks(found, truth), by_coco(found, truth, "segm"))


def test_the_made_up_frames_hold_objects_of_every_size() -> None:
    scored = [score_boxes(*made_up(seed, 5, False)) for seed in range(20)]
    for size in ("small", "medium", "large"):
        values = np.array([one.sizes[size].map50_95 for one in scored])
        assert np.isfinite(values).sum() > 12
        assert 0.1 < np.nanmean(values) < 0.9
        assert sum(one.sizes[size].objects for one in scored) > 20


def test_masks_that_do_not_fit_together_are_refused() -> None:
    _, truth = made_up(3, 1, False)
    bare = Detections(np.float32([[0, 0, 4, 4]]), np.float32([1]), np.array([0]), labels=LABELS)
    with pytest.raises(InputError, match="1 objects of the results have no mask"):
        score_masks([bare], truth)
    small = Detections(bare.xyxy, bare.confidence, bare.class_id, Masks.of(np.ones((1, 4, 4), np.bool_)), labels=LABELS)
    with pytest.raises(InputError, match=r"masks of a picture of \(4, 4\) are compared with"):
        score_masks([small], truth)
