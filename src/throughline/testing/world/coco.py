"""The world as a COCO data set: images/ and annotations.json, with exact masks as run lengths."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from throughline.testing.world.folder import appearing, at_least, save_picture
from throughline.testing.world.traffic import LABELS
from throughline.testing.world.world import World


def write_coco(world: World, folder: str | Path, count: int) -> Path:
    """Write ``count`` pictures, a second apart, and what is in them; returns the path of annotations.json.

    Categories count from 1, as COCO's do. Beyond its format every annotation
    has the object's ``track_id`` and ``visibility``.
    """
    at_least(1, count=count)
    target = Path(folder)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    with appearing(target) as draft:
        (draft / "images").mkdir()
        for number in range(1, count + 1):
            frame, truth = world.frame((number - 1) * world.fps)
            name = f"{number:012}.png"
            save_picture(draft / "images" / name, frame.image)
            images.append({"id": number, "file_name": name, "width": world.width, "height": world.height})
            found = truth.detections
            masks = found.mask
            assert masks is not None
            assert found.tracker_id is not None
            for row, (x1, y1, x2, y2) in enumerate(found.xyxy.tolist()):
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": number,
                        "category_id": int(found.class_id[row]) + 1,
                        "bbox": [x1, y1, x2 - x1, y2 - y1],
                        "area": int(np.count_nonzero(masks[row])),
                        "segmentation": run_lengths(masks[row]),
                        "iscrowd": 0,
                        "track_id": int(found.tracker_id[row]),
                        "visibility": round(float(found.data["visibility"][row]), 4),
                    }
                )
        whole = {
            "info": {"description": f"Throughline synthetic world, seed {world.seed}"},
            "licenses": [],
            "images": images,
            "categories": [{"id": number, "name": name} for number, name in enumerate(LABELS, 1)],
            "annotations": annotations,
        }
        (draft / "annotations.json").write_text(json.dumps(whole))
    return target / "annotations.json"


def run_lengths(mask: npt.NDArray[np.bool_]) -> dict[str, Any]:
    """COCO's uncompressed run lengths: columns first, and the first run is of what is not the object."""
    flat = mask.ravel(order="F")
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    runs = np.diff(np.concatenate(([0], edges, [flat.size]))).tolist()
    return {"size": list(mask.shape), "counts": [0, *runs] if flat[0] else runs}
