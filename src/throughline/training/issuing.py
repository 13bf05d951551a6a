"""The passport of a model that was trained: what it learned from, by which recipe and code, and what it is worth."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from throughline.contracts.artifacts import Artifact, Step
from throughline.models import passport as passports
from throughline.models.artifact import read_artifact
from throughline.training.recipe import Recipe
from throughline.training.run import Trained


def issue_passport(recipe: Recipe, trained: Trained, code: Mapping[str, str], device: str = "cpu") -> Artifact:
    """Give a trained model its passport, sealed with this machine's key; everything that made it is in its first step.

    Args:
        recipe: what the run was told.
        trained: what came of it.
        code: which code and packages, as ``code_version`` says.
        device: where it was trained.
    """
    described = read_artifact(trained.path).passport
    step = Step(
        "train",
        {
            "recipe": recipe.values(),
            "data_sha256": trained.data_sha256,
            "seed": recipe.seed,
            "device": device,
            "code": dict(code),
            "metric": trained.metric,
            "higher_is_better": trained.higher_is_better,
            "metrics": _finite(trained.metrics),
            "baseline": _finite(trained.baseline),
        },
        f"throughline train ({recipe.trainer})",
    )
    about: dict[str, Any] = {name: value for name, value in trained.about.items() if value is not None}
    for name in ("labels", "imgsz"):
        if name in about:
            about[name] = tuple(about[name])
    if trained.companions:
        about["companions"] = {part.name: passports.digest(part) for part in trained.companions}
    passport = dataclasses.replace(
        described, **about, parent=trained.parent, steps=(step, *trained.steps), evidence=tuple(trained.evidence)
    )
    return Artifact(trained.path, passports.issue(trained.path, passport, vouch=True), True)


def _finite(values: Mapping[str, float]) -> dict[str, float | str]:
    """Numbers as JSON can say them: what is none becomes text."""
    return {name: float(value) if value - value == 0 else str(value) for name, value in values.items()}
