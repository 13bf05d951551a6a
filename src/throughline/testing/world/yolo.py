"""The world as a YOLO folder: data.yaml, images/{train,val}, labels/{train,val}.

The pictures of a split are a second apart, so that none is nearly another's copy; the validation
pictures show the street of the next seed, so that nothing in them was seen in training.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from throughline.testing.world.folder import appearing, at_least, save_picture
from throughline.testing.world.traffic import LABELS
from throughline.testing.world.world import World


def write_yolo(world: World, folder: str | Path, train: int, val: int) -> Path:
    """Write ``train`` and ``val`` pictures with their labels; returns the path of data.yaml."""
    at_least(1, train=train, val=val)
    target = Path(folder)
    with appearing(target) as draft:
        for split, street, count in (("train", world, train), ("val", replace(world, seed=world.seed + 1), val)):
            images, labels = draft / "images" / split, draft / "labels" / split
            images.mkdir(parents=True)
            labels.mkdir(parents=True)
            for number in range(count):
                frame, truth = street.frame(number * street.fps)
                save_picture(images / f"{number:06}.png", frame.image)
                lines = _lines(truth.detections.xyxy, truth.detections.class_id, world.width, world.height)
                (labels / f"{number:06}.txt").write_text(lines)
        names = "".join(f"  {number}: {name}\n" for number, name in enumerate(LABELS))
        (draft / "data.yaml").write_text(f"train: images/train\nval: images/val\nnames:\n{names}")
    return target / "data.yaml"


def _lines(boxes: npt.NDArray[np.float32], classes: npt.NDArray[np.int64], width: int, height: int) -> str:
    """One line for each object: class, then centre and size as shares of the picture."""
    rows = zip(classes.tolist(), boxes.tolist(), strict=True)
    return "".join(
        f"{kind} {(x1 + x2) / 2 / width:.8f} {(y1 + y2) / 2 / height:.8f} "
        f"{(x2 - x1) / width:.8f} {(y2 - y1) / height:.8f}\n"
        for kind, (x1, y1, x2, y2) in rows
    )
