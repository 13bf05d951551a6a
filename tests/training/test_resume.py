"""A run that was killed ends with the bytes that it would have ended with."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

HERE = Path(__file__).parent


def small_data(path: Path, rows: int = 60) -> Path:
    dice = np.random.default_rng(3)
    x = dice.standard_normal((rows, 6)).astype(np.float32)
    np.savez(path, x=x, y=(x[:, 0] > 0).astype(np.int64) + (x[:, 1] > 0.5))
    return path


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_killed_anywhere_it_goes_on_to_the_same_bytes(tmp_path: Path, precision: str) -> None:
    steps = 3 * 5  # 48 rows of which 4 make a batch and 3 batches a step, rounded up, three times
    told = {
        "trainer": "torch_loop", "data": str(small_data(tmp_path / "rows.npz")), "name": "small",
        "model": "networks_that_learn:dicing", "epochs": 3, "batch": 4, "accumulate": 3, "precision": precision,
        "lr": 0.01, "seed": 5,
    }  # fmt: skip
    dice = random.Random(7)
    kills = [
        ["step", 1],
        ["step", dice.randrange(2, steps)],
        ["step", dice.randrange(2, 6), dice.randrange(2, 6)],  # killed, gone on, killed again
        ["writing", 1],
        ["writing", dice.randrange(2, steps)],
        ["written", dice.randrange(2, steps)],
    ]
    said = subprocess.run(
        [sys.executable, str(HERE / "kill_and_go_on.py"), str(tmp_path), json.dumps(told), json.dumps(kills)],
        capture_output=True, text=True, cwd=HERE, check=False,
    )  # fmt: skip
    assert said.returncode == 0, said.stderr
    told_back = json.loads(said.stdout)
    found = told_back["found"]
    assert len(found) == 1 + len(kills)
    assert all(one == found["whole"] for one in found.values())
    kept = {name.partition("/")[0] for name in told_back["tensors"]}
    assert kept == {"network", "average", "optimizer", "dice"}
    assert bool(told_back["state"]["scaler"]) == (precision == "float16")
