"""A training run on the disk: its recipe, its metrics, how far it is; everything that another process needs to go on.

Each file is whole or not there, but for the metrics, which are lines: what a kill tore off the last one is dropped,
and a run that goes on from an earlier step takes back the lines that it is about to write again.
"""

from __future__ import annotations

import fcntl
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, final

from throughline.contracts.errors import InputError
from throughline.contracts.records import RunState
from throughline.files import whole_file, writing
from throughline.training.recipe import Recipe, read_recipe

RECIPE, STATE, METRICS = "recipe.yaml", "run.json", "metrics.jsonl"


@final
class RunFolder:
    """One run's folder, held by this process alone."""

    def __init__(self, path: Path, state: dict[str, Any]) -> None:
        self.path, self.state = path, state
        self._steps: list[dict[str, Any]] | None = None

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to do."""
        return bool(self.state.get("state") == RunState.FINISHED)

    def tell(self, **facts: Any) -> None:
        """Write down how far the run is."""
        self.state |= facts
        with whole_file(self.path / STATE) as draft:
            draft.write_text(json.dumps(self.state, indent=2, allow_nan=False) + "\n", "utf-8")

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Values of one step; those that a run before a kill wrote of this step and later ones make way."""
        file = self.path / METRICS
        line = json.dumps({"step": step, **{name: float(value) for name, value in values.items()}})
        with writing(file):
            if self._steps is None:
                self._steps = [row for row in steps_of(self.path) if row["step"] < step]
                with whole_file(file) as draft:
                    draft.write_text("".join(json.dumps(row) + "\n" for row in self._steps), "utf-8")
            with file.open("a", encoding="utf-8") as lines:
                lines.write(line + "\n")
            self._steps.append(json.loads(line))


def steps_of(folder: Path) -> list[dict[str, Any]]:
    """The metrics of a run, step by step, as far as they were written whole."""
    file = folder / METRICS
    if not file.exists():
        return []
    rows = []
    for line in file.read_text("utf-8", "replace").splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue  # torn by a kill
        if isinstance(row, dict) and isinstance(row.get("step"), int):
            rows.append(row)
    return rows


@contextmanager
def run_folder(path: Path, recipe: Recipe, *, resume: bool) -> Iterator[RunFolder]:
    """The folder of a run: a new one, or that of a run that was killed and is the same run.

    Raises:
        InputError: there is another run in it, or none to go on with, or somebody is at work on it.
    """
    known = path / RECIPE
    if resume and not known.exists():
        raise InputError(f"{path}: there is no run to go on with", "leave --resume away to begin it")
    if not resume and known.exists():
        raise InputError(
            f"{path}: there is a run in it already", "--resume goes on with it; --name or --out begins another one"
        )
    if not resume and path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise InputError(f"{path}: something else is there already", "give another --name, or --out FOLDER")
    with writing(path):
        path.mkdir(parents=True, exist_ok=True)
    with _alone(path):
        if resume:
            _refuse_another(path, read_recipe(known, {}), recipe)
            yield RunFolder(path, _state_of(path))
            return
        folder = RunFolder(path, {})
        folder.tell(name=recipe.name, state=RunState.RUNNING, started=time.time())
        recipe.save(known)  # last: where it is, there is a run
        yield folder


def _state_of(path: Path) -> dict[str, Any]:
    try:
        state = json.loads((path / STATE).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path / STATE}: cannot be read: {error}", "begin the run again under another --name"
        ) from None
    return state if isinstance(state, dict) else {}


def _refuse_another(path: Path, begun: Recipe, now: Recipe) -> None:
    before, after = begun.values(), now.values()
    differing = [name for name in before | after if before.get(name) != after.get(name)]
    if differing:
        told = "; ".join(f"{name} was {before.get(name)!r} and is {after.get(name)!r}" for name in differing)
        raise InputError(
            f"{path}: this run cannot go on, because it would not be the same run: {told}",
            f"go on with the recipe it was begun with (throughline train {path / RECIPE} --resume), or begin another "
            "under another --name",
        )


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Held until this process ends, however it ends."""
    with writing(path), (path / ".lock").open("wb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"{path}: another process is working on this run", "wait for it to end") from None
        yield
