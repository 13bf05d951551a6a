"""Measure a detector of the synthetic world on streets that no training has seen.

    python examples/measure_demo_model.py src/throughline/bundled/detector.onnx

Runs the ONNX file through onnxruntime, reads it as the product does, and scores it as COCO does.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import cv2
import onnxruntime

from throughline.evaluation.boxes import score_boxes
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
    found, truth = [], []
    for seed in streets:
        world = World(seed)
        for part in range(FRAMES_PER_STREET):
            frame, real = world.frame(part * 150 + seed % 97)
            answer = session.run(None, {"images": cv2.dnn.blobFromImage(frame.image, 1 / 255)})[0]
            found += decode({"output0": answer}, [fit], labels=LABELS, **LIMITS)
            truth.append(real.detections)
    scores = score_boxes(found, truth)
    return {
        "mAP50-95": round(scores.map50_95, 4),
        "mAP50": round(scores.map50, 4),
        "AP50-95 per class": {name: round(score.ap50_95, 4) for name, score in scores.classes.items()},
        "frames": scores.frames,
        "objects": scores.objects,
        "streets": [streets.start, streets.stop - 1],
        "protocol": "640x384, confidence 0.001, NMS IoU 0.7, 100 boxes a frame, COCO's averages, onnxruntime on CPU",
    }


def main() -> None:
    """Measure the file that is named."""
    parser = argparse.ArgumentParser(description="Measure a detector of the synthetic world on unseen streets.")
    parser.add_argument("model", type=Path)
    print(json.dumps(measure(parser.parse_args().model), indent=2))


if __name__ == "__main__":
    main()
