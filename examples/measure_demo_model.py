"""Measure a detector of the synthetic world on streets that no training has seen.

    python examples/measure_demo_model.py src/throughline/bundled/detector.onnx

Runs the ONNX file through onnxruntime and lets pycocotools judge what it finds.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from throughline.testing.world import LABELS, World

UNSEEN_STREETS = range(9_000, 9_100)
FRAMES_PER_STREET = 4
LEAST_CONFIDENCE, MOST_OVERLAP, MOST_FOUND = 0.001, 0.7, 100


def survivors(answer: np.ndarray) -> np.ndarray:
    """Rows of x, y, width, height, score, class: the best of each heap of boxes, class by class."""
    scores, kinds = answer[4:].max(0), answer[4:].argmax(0)
    order = np.argsort(-scores, kind="stable")
    order = order[scores[order] > LEAST_CONFIDENCE][:1000]
    centre, size = answer[:2, order].T, answer[2:4, order].T
    corner, far, kinds = centre - size / 2, centre + size / 2, kinds[order]
    kept: list[int] = []
    for row in range(len(order)):
        rivals = [other for other in kept if kinds[other] == kinds[row]]
        inner = (np.minimum(far[row], far[rivals]) - np.maximum(corner[row], corner[rivals])).clip(0).prod(1)
        if (inner <= MOST_OVERLAP * (size[row].prod() + size[rivals].prod(1) - inner)).all():
            kept.append(row)
        if len(kept) == MOST_FOUND:
            break
    return np.column_stack((corner[kept], size[kept], scores[order[kept]], kinds[kept]))


def measure(path: Path, streets: range = UNSEEN_STREETS) -> dict[str, Any]:
    """COCO's averages of the ONNX file over these streets."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    session = onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
    images, annotations, results, took = [], [], [], []
    for seed in streets:
        world = World(seed)
        for part in range(FRAMES_PER_STREET):
            frame, truth = world.frame(part * 150 + seed % 97)
            found, number = truth.detections, len(images) + 1
            images.append({"id": number, "width": world.width, "height": world.height})
            for (x1, y1, x2, y2), kind in zip(found.xyxy.tolist(), found.class_id.tolist(), strict=True):
                place = {"bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1), "iscrowd": 0}
                about = {"id": len(annotations) + 1, "image_id": number, "category_id": kind + 1}
                annotations.append({**about, **place})
            started = time.perf_counter()
            answer = session.run(None, {"images": cv2.dnn.blobFromImage(frame.image, 1 / 255)})[0][0]
            took.append(time.perf_counter() - started)
            for *box, score, kind in survivors(answer).tolist():
                results.append({"image_id": number, "category_id": int(kind) + 1, "bbox": box, "score": score})
    reference = COCO()
    categories = [{"id": number, "name": name} for number, name in enumerate(LABELS, 1)]
    reference.dataset = {"info": {}, "images": images, "annotations": annotations, "categories": categories}
    reference.createIndex()
    judge = COCOeval(reference, reference.loadRes(results), "bbox")
    judge.evaluate()
    judge.accumulate()
    judge.summarize()
    precision = judge.eval["precision"][:, :, :, 0, 2]
    return {
        "mAP50-95": round(float(judge.stats[0]), 4),
        "mAP50": round(float(judge.stats[1]), 4),
        "AP50-95 per class": {name: round(float(precision[:, :, i].mean()), 4) for i, name in enumerate(LABELS)},
        "frames": len(images),
        "objects": len(annotations),
        "streets": [streets.start, streets.stop - 1],
        "protocol": "640x384, confidence 0.001, NMS IoU 0.7, 100 detections a frame, pycocotools, onnxruntime on CPU",
        "median ms per frame, 2 threads": round(1000 * float(np.median(took)), 2),
    }


def main() -> None:
    """Measure the file that is named."""
    parser = argparse.ArgumentParser(description="Measure a detector of the synthetic world on unseen streets.")
    parser.add_argument("model", type=Path)
    print(json.dumps(measure(parser.parse_args().model), indent=2))


if __name__ == "__main__":
    main()
