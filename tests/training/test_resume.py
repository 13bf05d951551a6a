"""A run that was killed ends with the bytes that it would have ended with."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from throughline.testing.world import World
from throughline.testing.world.yolo import write_yolo

pytest.importorskip("torch")

HERE = Path(__file__).parent


def small_data(path: Path, rows: int = 60) -> Path:
    dice = np.random.default_rng(3)
    x = dice.standard_normal((rows, 6)).astype(np.float32)
    np.savez(path, x=x, y=(x[:, 0] > 0).astype(np.int64) + (x[:, 1] > 0.5))
    return path


def test_killed_anywhere_it_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    steps = 3 * 4  # 48 rows to learn from, 4 a batch, 3 batches a step: three times 4 steps
    told = {
        "trainer": "torch_loop", "data": str(small_data(tmp_path / "rows.npz")), "model": "networks_that_learn:dicing",
        "epochs": 3, "batch": 4, "accumulate": 3, "lr": 0.01, "seed": 5,
    }  # fmt: skip
    recipes = [told | {"name": precision, "precision": precision} for precision in ("float32", "float16")]
    dice = random.Random(7)
    kills = [
        ["step", 1],
        ["step", dice.randrange(2, steps)],
        ["step", dice.randrange(2, 6), dice.randrange(2, 6)],  # killed, gone on, killed again
        ["writing", 1],
        ["writing", dice.randrange(2, steps)],
        ["written", dice.randrange(2, steps)],
    ]
    # convolutions lie otherwise in memory than they are written, and other threads prepare the pictures
    data = write_yolo(World(31, 160, 96), tmp_path / "data", 12, 2)
    streets = {
        "trainer": "torch_loop", "data": str(data), "imgsz": "96", "name": "streets", "epochs": 2, "batch": 4,
        "weights": "bundled", "workers": 2, "lr": 0.001,
    }  # fmt: skip
    runs = [*((recipe, kills) for recipe in recipes), (streets, [["step", 3], ["writing", 5]])]
    said = subprocess.run(
        [sys.executable, str(HERE / "kill_and_go_on.py"), str(tmp_path), json.dumps(runs)],
        capture_output=True, text=True, cwd=HERE, check=False,
    )  # fmt: skip
    assert said.returncode == 0, said.stderr
    for (recipe, done), run in zip(runs, json.loads(said.stdout), strict=True):
        assert len(run["found"]) == 1 + len(done)
        assert all(one == run["found"]["whole"] for one in run["found"].values())
        kept = {name.partition("/")[0] for name in run["tensors"]}
        assert kept == {"network", "average", "optimizer", "dice"}
        assert bool(run["state"]["scaler"]) == (recipe.get("precision") == "float16")
