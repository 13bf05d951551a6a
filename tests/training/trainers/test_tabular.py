"""Tables: every kind of model on scikit-learn's own data, held to its baseline; texts, gaps, groups; what ships."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from throughline.models import passport as passports
from throughline.models.artifact import read_artifact
from throughline.testing.trainers import TrainerConformance
from throughline.training.issuing import issue_passport
from throughline.training.recipe import read_recipe
from throughline.training.run import Run, Trained
from throughline.training.trainers import TRAINERS

pytest.importorskip("sklearn")
KINDS = ("linear", "forest", "xgboost", "lightgbm")


def bundled(name: str, folder: Path) -> Path:
    """One of scikit-learn's own tables as a CSV."""
    from sklearn import datasets

    data, path = getattr(datasets, f"load_{name}")(), folder / f"{name}.csv"
    lines = [",".join([*data.feature_names, "target"])]
    names = getattr(data, "target_names", None)
    for row, target in zip(data.data.tolist(), data.target.tolist(), strict=True):
        lines.append(",".join([*map(repr, row), repr(target) if names is None else str(names[target])]))
    path.write_text("\n".join(lines) + "\n")
    return path


def orders(path: Path, count: int = 300, strange: str = "blue") -> Path:
    """Numbers, texts and gaps, of which a price follows that no straight line tells; customers come back."""
    dice = np.random.default_rng(5)
    lines = ["customer,size,colour,gift,outcome"]
    for number in range(count):
        size, colour = dice.uniform(-2, 2), dice.choice(["red", "green", strange])
        gift = dice.random() < 0.5
        kept = (abs(size) < 1) != (colour == "red")
        told = "" if dice.random() < 0.05 else f"{size:.4f}"
        lines.append(f"c{number // 3},{told},{'' if dice.random() < 0.03 else colour},{str(gift).lower()},"
                     f"{'kept' if kept else 'returned'}")  # fmt: skip
    path.write_text("\n".join(lines) + "\n")
    return path


def carried(folder: Path, **told: Any) -> tuple[Trained, list[tuple[Mapping[str, float], int]], list[str]]:
    folder.mkdir(exist_ok=True)
    logged: list[tuple[Mapping[str, float], int]] = []
    said: list[str] = []
    recipe = read_recipe(None, {"trainer": "tabular", "name": "small", "trees": 30, **told})
    trained: Trained = TRAINERS.make(
        "tabular", recipe, Run(folder, lambda values, step: logged.append((dict(values), step)), said.append)
    )
    issue_passport(recipe, trained, {"throughline": "any"})
    return trained, logged, said


class TestLightGBM(TrainerConformance):
    trainer = "tabular"
    kind = "lightgbm"

    def told(self, folder: Path) -> Mapping[str, Any]:
        data = folder / "orders.csv"
        return {
            "data": str(data if data.exists() else orders(data)), "target": "outcome", "group": "customer",
            "model": self.kind, "rounds": 40, "trees": 20,
        }  # fmt: skip

    def test_it_is_better_than_a_straight_line_where_none_can_tell(self) -> None:
        trained = self.carried().trained
        lead = 0.05 if self.kind == "linear" else 0.15
        assert trained.metrics["accuracy"] > trained.baseline["accuracy"] + lead or self.kind == "linear"

    def test_its_onnx_is_beside_it_and_proven(self) -> None:
        trained = self.carried().trained
        beside = read_artifact(trained.path.with_suffix(".onnx"))
        passports.verify(beside.path, beside.passport)
        assert beside.passport.parent == self.carried().artifact.sha256
        assert all(verdict.passed for verdict in beside.passport.evidence)
        assert beside.labels == ("kept", "returned")


class TestXGBoost(TestLightGBM):
    kind = "xgboost"


class TestForest(TestLightGBM):
    kind = "forest"


class TestLinear(TestLightGBM):
    kind = "linear"
