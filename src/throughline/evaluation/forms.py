"""The forms of a model in a search: each made when it is first asked for, and proven before anything is measured."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import final

from throughline.contracts.errors import ThroughlineError
from throughline.contracts.samples import DataSet
from throughline.evaluation.recipes import Recipe
from throughline.evaluation.verification import verify_models
from throughline.models.chain import Drafted, follow


@final
class Forms:
    """What was made so far, and why the rest was not.

    Attributes:
        refused: by a recipe's name, why its form is not to be had.
    """

    def __init__(self, folder: Path, few: DataSet, say: Callable[[str], None]) -> None:
        self.refused: dict[str, str] = {}
        self._folder, self._few, self._say = folder, few, say
        self._made: dict[str, Drafted] = {}

    def get(self, recipe: Recipe) -> Drafted | None:
        """The recipe's file; None where it is refused."""
        if recipe.name not in self._made and recipe.name not in self.refused:
            self._say(f"making {recipe.name}")
            try:
                self._make(recipe)
            except ThroughlineError as error:
                self.refused[recipe.name] = error.problem
        return self._made.get(recipe.name)

    def _make(self, recipe: Recipe) -> None:
        plain = recipe.source
        if not recipe.links:
            self._made[recipe.name] = Drafted(plain, (), ())
            return
        form = follow(plain, recipe.links, self._folder / recipe.name.replace(" ", "-"), plain.path.stem)
        proof = verify_models(
            plain, form.artifact, data=self._few, asked=recipe.precision, trust=True, steps=form.steps, part=False
        )
        failed = [f"{check.name}: {check.observed}" for check in proof.verdict.checks if not check.passed]
        if failed:
            self.refused[recipe.name] = f"its proof failed: {'; '.join(failed)}"
        else:
            self._made[recipe.name] = form
