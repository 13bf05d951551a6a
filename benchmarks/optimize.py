"""What ``optimize`` finds, and what that is worth in the whole job: the winner over video against the plain loop.

    python benchmarks/optimize.py [--model MODEL --data DATA] [--budget 6m] [--accept point-estimate] [--rounds 5]

Without a model, the bundled detector on 240 pictures of streets that it was not trained on; other pictures
of such streets calibrate INT8. Then video.py runs the whole job at 1080p with the winner and with the model
it came from, in turn with the loop that everyone writes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--budget", default="6m")
    parser.add_argument("--accept")
    parser.add_argument("--rounds", default="5")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        model, data = asked.model or _bundled(), asked.data or _streets(Path(scratch))
        command = [sys.executable, "-m", "throughline.cli", "optimize", str(model), "--data", str(data), "--json"]
        command += ["--budget", asked.budget, "--out", f"{scratch}/search"]
        command += ["--accept", asked.accept] if asked.accept else []
        ran = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        found = json.loads(ran.stdout)
        if not found.get("winner"):
            raise SystemExit(ran.stdout)
        held = f"{found['difference']:+.4f} ({found['interval'][0]:+.4f} to {found['interval'][1]:+.4f})"
        print(f"winner: {found['setting']}, {found['ratio']:.2f} x the baseline; {found['metric']} {held}")
        for one in found["front"]:
            print(f"  front: {one['ratio']:.2f} x, {one['metric']:.4f}, {_written(one['setting'])}")
        video = [sys.executable, str(Path(__file__).with_name("video.py")), "--model", str(model)]
        subprocess.run([*video, "--best", found["winner"], "--sizes", "1080p", "--rounds", asked.rounds], check=True)


def _written(setting: dict[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in setting.items())


def _bundled() -> Path:
    from throughline.bundled import DETECTOR

    return DETECTOR


def _streets(folder: Path) -> Path:
    """Every picture is of a street of its own, a hundred streets and more: labels in YOLO's layout."""
    import shutil

    from throughline.testing.world import World, write_yolo

    for split, first, count in (("train", 5000, 96), ("val", 6000, 240)):
        for number in range(count):
            one = folder / f"{split}-{number}"
            write_yolo(World(seed=first + number), one, train=1, val=1)
            for kind, ending in (("images", "png"), ("labels", "txt")):
                place = folder / "streets" / kind / split
                place.mkdir(parents=True, exist_ok=True)
                (one / kind / "train" / f"000000.{ending}").rename(place / f"{number:06}.{ending}")
            if not (yaml := folder / "streets" / "data.yaml").exists():
                (one / "data.yaml").rename(yaml)
            shutil.rmtree(one)
    return folder / "streets" / "data.yaml"


if __name__ == "__main__":
    main()
