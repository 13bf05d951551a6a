"""What every trainer must do, as a test class: subclass it, name the trainer, and say what a small run of it is told.

    class TestMine(TrainerConformance):
        trainer = "mine"

        def told(self, folder):
            return {"data": str(small_data(folder)), "epochs": 1}

The run is carried out three times: twice by the same recipe, which must give the same bytes, and once to be broken off.
"""
# ruff: noqa: D102, PT017 - a test's name is its docstring, and this file imports without pytest

from __future__ import annotations

import dataclasses
import json
import math
import re
import subprocess
import sys
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from throughline.contracts.artifacts import Artifact
from throughline.contracts.errors import InputError, SettingsError
from throughline.models import passport as passports
from throughline.models.artifact import read_artifact
from throughline.settings import checked, told_of
from throughline.training.issuing import issue_passport
from throughline.training.recipe import Recipe, options_of, read_recipe
from throughline.training.run import Pruned, Run, Trained
from throughline.training.trainers import TRAINERS

_SEED = 11
_LIGHT = {"numpy", "yaml"}


@dataclasses.dataclass(frozen=True)
class Carried:
    """A run that was carried out."""

    recipe: Recipe
    folder: Path
    trained: Trained
    artifact: Artifact
    logged: tuple[tuple[Mapping[str, float], int], ...]


class TrainerConformance(ABC):
    """The suite. pytest collects the subclasses whose names begin with ``Test``."""

    trainer: ClassVar[str]
    device: ClassVar[str] = "cpu"
    same_bytes: ClassVar[bool] = True
    _room: ClassVar[tempfile.TemporaryDirectory[str]]
    _carried: ClassVar[dict[str, Carried]]

    @abstractmethod
    def told(self, folder: Path) -> Mapping[str, Any]:
        """What a run is told that takes a second or two: its data, written into this folder, and options."""

    @classmethod
    def setup_class(cls) -> None:
        """One folder for the whole class."""
        cls._room = tempfile.TemporaryDirectory(prefix=f"conformance-{cls.trainer}-")
        cls._carried = {}

    @classmethod
    def teardown_class(cls) -> None:
        """Remove it."""
        cls._room.cleanup()

    def recipe(self) -> Recipe:
        """The small run's recipe; its data are written once."""
        data = Path(self._room.name) / "data"
        data.mkdir(exist_ok=True)
        return read_recipe(None, {"trainer": self.trainer, "seed": _SEED, "name": "small", **self.told(data)})

    def carried(self, name: str = "first") -> Carried:
        """The small run in a folder of this name, carried out once."""
        if name not in self._carried:
            folder, logged = Path(self._room.name) / name, list[tuple[Mapping[str, float], int]]()
            folder.mkdir(exist_ok=True)
            recipe = self.recipe()
            run = Run(folder, lambda values, step: logged.append((dict(values), step)), _quiet, device=self.device)
            trained: Trained = TRAINERS.make(self.trainer, recipe, run)
            artifact = issue_passport(recipe, trained, {"throughline": "any"}, self.device)
            self._carried[name] = Carried(recipe, folder, trained, artifact, tuple(logged))
        return self._carried[name]

    def test_it_says_what_it_does_and_what_it_can_be_told(self) -> None:
        plugin, options = TRAINERS.get(self.trainer), options_of(self.trainer)
        assert plugin.summary
        assert plugin.extra
        assert dataclasses.fields(options) == tuple(told_of(options).values()), "make every field with setting()"
        for name, spec in told_of(options).items():
            assert name not in ("trainer", "data", "seed", "name"), name
            assert spec.metadata["meaning"], name
            assert spec.metadata["allowed"], name
            assert checked(spec, getattr(options(), name), name) == getattr(options(), name)

    def test_an_option_that_is_wrong_is_refused_before_anything_heavy_is_loaded(self) -> None:
        specs = told_of(options_of(self.trainer)).values()
        ranged = next(spec for spec in specs if math.isfinite(spec.metadata["high"]) and type(spec.default) is not bool)
        wrong = {"no_such_option": 1}, {ranged.name: ranged.metadata["high"] + 1}
        for change in wrong:
            program = (
                "import json, sys\nfrom throughline.contracts.errors import SettingsError\n"
                "from throughline.training.recipe import read_recipe\n"
                "try: read_recipe(None, json.loads(sys.argv[1]))\n"
                "except SettingsError: print(json.dumps(sorted(sys.modules)))\n"
            )
            told = json.dumps({"trainer": self.trainer, "data": "anything", **change})
            said = subprocess.run([sys.executable, "-c", program, told], capture_output=True, text=True, check=True)
            assert said.stdout, f"{change} was not refused"
            assert not (set(TRAINERS.get(self.trainer).needs) - _LIGHT) & set(json.loads(said.stdout))

    def test_its_recipe_is_what_was_saved_of_it(self) -> None:
        path = Path(self._room.name) / "saved.yaml"
        self.recipe().save(path)
        assert read_recipe(path) == self.recipe()

    def test_data_that_are_not_there_are_refused(self) -> None:
        folder = Path(self._room.name) / "without"
        folder.mkdir()
        recipe = dataclasses.replace(self.recipe(), data=str(folder / "nothing" / "here"))
        try:
            TRAINERS.make(self.trainer, recipe, Run(folder, _unlogged, _quiet, device=self.device))
        except InputError as error:
            assert error.problem
            assert error.fix
        else:
            raise AssertionError("it was trained on nothing")
        assert not list(folder.iterdir())

    def test_what_comes_of_it_is_a_model_with_a_passport_that_says_how(self) -> None:
        run = self.carried()
        about = read_artifact(run.trained.path).passport
        passports.verify(run.trained.path, about)
        assert about.seal
        step = about.steps[0]
        assert step.name == "train"
        assert step.options["recipe"] == run.recipe.values()
        assert step.options["seed"] == _SEED
        assert step.options["data_sha256"] == run.trained.data_sha256
        assert re.fullmatch("[0-9a-f]{64}", run.trained.data_sha256)
        assert about.parent is None or re.fullmatch("[0-9a-f]{64}", about.parent)

    def test_everything_is_written_in_the_folder_of_the_run_and_none_of_it_is_a_pickle(self) -> None:
        run = self.carried()
        assert run.trained.path.parent == run.folder
        assert all(part.parent == run.folder and part.exists() for part in run.trained.companions)
        for path in run.folder.rglob("*"):
            assert path.suffix not in {".pkl", ".pickle", ".pt", ".pth", ".joblib", ".bin"}, path
        assert run.artifact.format != "checkpoint"

    def test_it_was_measured_and_the_metric_that_decides_is_among_the_measures(self) -> None:
        trained = self.carried().trained
        assert math.isfinite(trained.metrics[trained.metric])
        assert all(isinstance(value, int | float) for value in (*trained.metrics.values(), *trained.baseline.values()))
        assert set(trained.baseline) <= set(trained.metrics)

    def test_it_writes_down_its_steps_in_order_as_it_goes(self) -> None:
        logged = self.carried().logged
        steps = [step for _, step in logged]
        assert steps
        assert steps == sorted(steps)
        assert all(type(step) is int for step in steps)
        assert all(isinstance(value, int | float) for values, _ in logged for value in values.values())

    def test_the_same_recipe_gives_the_same_bytes(self) -> None:
        if not self.same_bytes:
            import pytest

            pytest.skip(f"{self.trainer} does not promise it on {self.device}")
        one, other = self.carried(), self.carried("second")
        assert one.artifact.sha256 == other.artifact.sha256
        assert one.trained.metrics == other.trained.metrics
        assert one.trained.data_sha256 == other.trained.data_sha256
        assert one.logged == other.logged

    def test_a_run_that_is_broken_off_lets_that_pass_and_leaves_nothing_half_written(self) -> None:
        folder = Path(self._room.name) / "broken-off"
        folder.mkdir()

        def enough(values: Mapping[str, float], step: int) -> None:
            raise Pruned

        try:
            TRAINERS.make(self.trainer, self.recipe(), Run(folder, enough, _quiet, device=self.device))
        except Pruned:
            pass
        else:
            raise AssertionError("nobody was told that it was broken off")
        left = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
        assert self.carried().trained.path.relative_to(self.carried().folder) not in left
        assert not [path for path in left if path.name.startswith((".", "tmp"))], "half-written files were left"

    def test_an_option_outside_of_its_class_is_no_recipe(self) -> None:
        try:
            self.recipe().changed({"no_such_option": 1}, "trial 1")
        except SettingsError as error:
            assert "trial 1" in error.problem
        else:
            raise AssertionError("an option that is none was taken")


def _quiet(text: str) -> None:
    """Nobody waits."""


def _unlogged(values: Mapping[str, float], step: int) -> None:
    """Nobody looks."""
