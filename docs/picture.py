"""Make the README's picture: a street, and what the bundled detector finds on it."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from throughline.bundled import DETECTOR
from throughline.models.artifact import read_artifact
from throughline.models.session import open_model
from throughline.testing.world import World
from throughline.vision.decoders import DECODERS
from throughline.vision.drawing import annotate
from throughline.vision.letterbox import Letterbox

PICTURE = Path(__file__).with_name("assets") / "annotated.png"


def main() -> None:
    """Render, detect, draw, write."""
    model = read_artifact(DETECTOR)
    world = World(seed=7, width=1280, height=768)
    frame, _ = world.frame(60)
    fit = Letterbox.fit((world.height, world.width), model.passport.imgsz or (384, 640))
    batch = np.empty((1, 3, *fit.canvas), np.float32)
    fit.apply(frame.image, batch[0])
    with open_model(DETECTOR, device="cpu") as session:
        outputs = session.predict({"images": batch})
    decode = DECODERS.make("yolo")
    (found,) = decode(outputs, [fit], labels=model.labels, conf=0.4, iou=0.6, max_det=100)
    PICTURE.parent.mkdir(exist_ok=True)
    cv2.imwrite(str(PICTURE), cv2.cvtColor(annotate(frame.image, found), cv2.COLOR_RGB2BGR))
    print(f"{PICTURE}: {len(found)} objects")


if __name__ == "__main__":
    main()
