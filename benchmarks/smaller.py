"""What smaller detectors are worth: the bundled one pruned, and a half as wide one that learned from it.

    python benchmarks/smaller.py [--pictures 600] [--epochs 8]

The teacher says what is on streets that nobody labelled, and all are measured on 80 pictures of 40 streets
that none of them has seen.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

import torch
from torch.nn import functional

from throughline.bundled import DETECTOR, WEIGHTS
from throughline.contracts.artifacts import Array, Predictor
from throughline.evaluation.feeding import feeds_of
from throughline.models.artifact import read_artifact
from throughline.models.chain import Link, follow
from throughline.models.session import open_model
from throughline.testing.world import World
from throughline.testing.world.yolo import write_yolo
from throughline.verbs.evaluate import evaluate
from throughline.verbs.train import train
from throughline.video.pictures import open_pictures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=600)
    parser.add_argument("--epochs", type=int, default=8)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        seen, unseen = streets(folder / "seen", 5000, asked.pictures // 10), streets(folder / "unseen", 9000, 40)
        common = {"trainer": "torch_loop", "data": str(seen), "epochs": asked.epochs, "log": "jsonl"}
        models = {"as it is": DETECTOR}
        for ratio in (0.1, 0.25):
            models[f"pruned by {ratio:.0%}"] = pruned(ratio, seen, folder / f"pruned-{ratio}", 0)
            models[f"pruned by {ratio:.0%}, tuned"] = pruned(ratio, seen, folder / f"tuned-{ratio}", 3)
        place = folder / "half"
        models["half as wide, taught"] = train(
            **common, name="half", out=place, imgsz="384x640", set_=["width=0.5", f"teacher={DETECTOR}"]
        ).model
        print(f"{'':22}{'MiB':>6}{'mAP50-95':>10}  95 %")
        for name, model in models.items():
            found = evaluate(model, data=str(unseen), out=folder / "evaluated").figures["mAP50-95"]
            size = model.stat().st_size / 2**20
            print(f"{name:22}{size:6.2f}{found.value:10.4f}  {found.low:.4f} to {found.high:.4f}", flush=True)


def pruned(ratio: float, data: Path, folder: Path, epochs: int) -> Path:
    """Channels out, batch normalisation measured anew on real pictures, perhaps taught by what it was, back to ONNX."""
    pictures = open_pictures(str(data), "train").few(160)
    whole = read_artifact(DETECTOR)
    with open_model(DETECTOR, backend="onnxruntime") as session:
        feeds = feeds_of(whole, session, lambda: pictures)
        options = {"ratio": ratio, "feeds": feeds, "class_": "throughline.testing.demo_detector:build"}
        if epochs:
            options["finetune"] = lambda module: taught(module, list(feeds()), session, epochs)
        links = [Link("prune", options), Link("to_onnx", {"trust": True})]
        folder.mkdir()
        return follow(read_artifact(WEIGHTS), links, folder, "detector").artifact.path


def taught(module: torch.nn.Module, feeds: list[Mapping[str, Array]], teacher: Predictor, epochs: int) -> None:
    """Let it answer as the teacher does: scores everywhere, boxes where there is something."""
    lessons = [
        (torch.from_numpy(one["images"]), torch.from_numpy(next(iter(teacher.predict(one).values())))) for one in feeds
    ]
    steps = torch.optim.AdamW(module.parameters(), lr=3e-4)
    torch.manual_seed(0)
    for _ in range(epochs):
        order = torch.randperm(len(lessons)).tolist()
        for start in range(0, len(order) - 3, 4):
            images, told = (torch.cat([lessons[row][part] for row in order[start : start + 4]]) for part in (0, 1))
            said = module(images)
            sure = told[:, 4:].amax(1, keepdim=True)
            scores = functional.binary_cross_entropy(said[:, 4:].clamp(1e-6, 1 - 1e-6), told[:, 4:], reduction="sum")
            boxes = ((said[:, :4] - told[:, :4]).abs() * (sure > 0.1)).sum() * 0.02
            steps.zero_grad()
            ((scores + boxes) / sure.sum().clamp(1)).backward()
            steps.step()


def streets(folder: Path, first: int, count: int) -> Path:
    """Of each street ten pictures to learn from, and two to judge by."""
    for number in range(max(1, count)):
        one = folder / f"{number}"
        write_yolo(World(first + number), one, train=10, val=2)
        for split in ("train", "val"):
            for kind in ("images", "labels"):
                place = folder / "data" / kind / split
                place.mkdir(parents=True, exist_ok=True)
                for path in (one / kind / split).iterdir():
                    path.rename(place / f"{number:04}-{path.name}")
        if not (yaml := folder / "data" / "data.yaml").exists():
            (one / "data.yaml").rename(yaml)
        shutil.rmtree(one)
    return folder / "data" / "data.yaml"


if __name__ == "__main__":
    main()
