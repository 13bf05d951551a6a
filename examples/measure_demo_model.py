"""Measure a detector of the synthetic world on streets that no training has seen.

    python examples/measure_demo_model.py src/throughline/bundled/detector.onnx

Runs the ONNX file through onnxruntime, reads it as the product does, and lets pycocotools judge.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import cv2
import onnxruntime
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from throughline.testing.world import LABELS, World
from throughline.vision.decoders import DECODERS
from throughline.vision.letterbox import Letterbox

UNSEEN_STREETS = range(9_000, 9_100)
FRAMES_PER_STREET = 4
LIMITS = {"conf": 0.001, "iou": 0.7, "max_det": 100}


def measure(path: Path, streets: range = UNSEEN_STREETS) -> dict[str, Any]:
    """COCO's averages of the ONNX file over these streets."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    session = onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
    decode, fit = DECODERS.make("yolo"), Letterbox.fit((384, 640), (384, 640))
    images, annotations, results = [], [], []
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
            answer = session.run(None, {"images": cv2.dnn.blobFromImage(frame.image, 1 / 255)})[0]
            (seen,) = decode({"output0": answer}, [fit], labels=LABELS, **LIMITS)
            for one in seen:
                x1, y1, x2, y2 = one.bbox
                about = {"image_id": number, "category_id": one.class_id + 1, "score": one.confidence}
                results.append({**about, "bbox": [x1, y1, x2 - x1, y2 - y1]})
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
    }


def main() -> None:
    """Measure the file that is named."""
    parser = argparse.ArgumentParser(description="Measure a detector of the synthetic world on unseen streets.")
    parser.add_argument("model", type=Path)
    print(json.dumps(measure(parser.parse_args().model), indent=2))


if __name__ == "__main__":
    main()
