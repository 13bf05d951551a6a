"""The loop with rows, with class folders and with boxes; what it refuses; what it gives back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from throughline.models.session import open_model
from throughline.testing.trainers import TrainerConformance
from throughline.training.recipe import read_recipe
from throughline.training.run import Run, Trained
from throughline.training.trainers import TRAINERS

pytest.importorskip("torch")


def small_rows(path: Path, rows: int = 80, **more: Any) -> Path:
    dice = np.random.default_rng(3)
    x = dice.standard_normal((rows, 6)).astype(np.float32)
    np.savez(path, **{"x": x, "y": (x[:, 0] > 0).astype(np.int64) + (x[:, 1] > 0.5), **more})
    return path


def carried(folder: Path, **told: Any) -> tuple[Trained, list[tuple[Mapping[str, float], int]], list[str]]:
    folder.mkdir(exist_ok=True)
    logged: list[tuple[Mapping[str, float], int]] = []
    said: list[str] = []
    recipe = read_recipe(None, {"trainer": "torch_loop", "name": "small", **told})
    run = Run(folder, lambda values, step: logged.append((dict(values), step)), said.append)
    return TRAINERS.make("torch_loop", recipe, run), logged, said


class TestTorchLoop(TrainerConformance):
    trainer = "torch_loop"

    def told(self, folder: Path) -> Mapping[str, Any]:
        data = folder / "rows.npz"
        return {
            "data": str(data if data.exists() else small_rows(data)), "model": "networks_that_learn:perceptron",
            "epochs": 2, "lr": 0.02,
        }  # fmt: skip

    def test_the_file_answers_as_the_network_was_measured(self) -> None:
        run = self.carried()
        with np.load(run.recipe.data) as held, open_model(run.trained.path) as session:
            answers = session.predict({session.inputs[0].name: held["x"]})
        assert next(iter(answers.values())).shape == (80, 3)
        assert run.trained.evidence[0].passed
        assert run.trained.baseline["accuracy"] < 1
