"""Runs in Weights & Biases, without a word to its servers unless ``WANDB_MODE=online`` asks for it.

Offline, wandb writes files that only its servers can list: ``wandb sync wandb/offline-run-*`` sends them there. So a
plain list of what was written is kept beside them, and read here.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, final

from throughline.contracts.records import NotTaken, RunRecord, RunState
from throughline.files import writing
from throughline.plugins import Plugin
from throughline.training.runlogs.jsonl import JsonLines

_MACHINE: Final = "system/"
_STEP: Final = "step"
_open: dict[str, Any] = {}  # wandb lets a process open each run once


@final
class Wandb:
    """wandb's own runs, each open from its start to its end."""

    def __init__(self, folder: Path | None = None) -> None:
        self._project = (folder or Path.cwd()).absolute()
        self._mode: Any = os.environ.get("WANDB_MODE") or "offline"
        self._list = JsonLines(self._project / "wandb")

    def __str__(self) -> str:
        return f"wandb ({self._mode}) in {self._project / 'wandb'}"

    def start(
        self,
        name: str,
        parameters: Mapping[str, Any],
        tags: Mapping[str, str],
        parent: str | None = None,
        *,
        at: float | None = None,
    ) -> str:
        """A new run; its id."""
        run = self._list.start(name, parameters, tags, parent, at=at)
        told = self._begun(run, name, parent)
        told.config.update({"from": dict(tags), **parameters}, allow_val_change=True)
        return run

    def metrics(self, run: str, values: Mapping[str, float], step: int, *, at: float | None = None) -> None:
        """Values of one step."""
        self._list.metrics(run, values, step, at=at)
        self._tell(run, values, step, at)

    def many(self, run: str, steps: Sequence[tuple[Mapping[str, float], int, float]]) -> None:
        """Values of several steps."""
        self._list.many(run, steps)
        for values, step, at in steps:
            self._tell(run, values, step, at)

    def artifact(self, run: str, path: Path) -> None:
        """A copy of a file that came of it."""
        self._list.artifact(run, path)
        place = Path(self._begun(run).dir)
        with writing(place):
            shutil.copy2(path, place)

    def finish(self, run: str, state: RunState, *, at: float | None = None) -> None:
        """The end of a run, or that it goes on."""
        told = self._begun(run)
        if state is not RunState.RUNNING:
            del _open[run]
            told.summary["state"] = str(state)
            told.finish(exit_code=0 if state is RunState.FINISHED else 1)
        self._list.finish(run, state, at=at)

    def runs(self) -> Iterator[RunRecord]:
        """Every run that was written from this folder, the newest first."""
        return self._list.runs()

    def _begun(self, run: str, name: str | None = None, parent: str | None = None) -> Any:
        """The run as wandb has it open; one that was ended, or begun by another process, is taken up."""
        if run not in self._list:
            raise NotTaken(f"{self}: there is no run '{run}'", "throughline runs --log wandb lists them")
        if run not in _open:
            os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
            with writing(self._project):
                (self._project / "wandb").mkdir(parents=True, exist_ok=True)
            import wandb

            logging.getLogger("wandb").setLevel(logging.ERROR)
            settings = wandb.Settings(
                silent=True,
                console="off",
                disable_code=True,
                disable_git=True,
                x_disable_stats=True,
                x_disable_meta=True,
            )  # our own record says all that, and says it to every log
            project = os.environ.get("WANDB_PROJECT") or self._project.name or "throughline"
            opened: Any = wandb.init(
                project=project, dir=str(self._project), id=run, name=name, group=parent, mode=self._mode,
                resume="allow", reinit="create_new", settings=settings,
            )  # fmt: skip
            opened.define_metric(_STEP, hidden=True)
            opened.define_metric("*", step_metric=_STEP)
            _open[run] = opened
        return _open[run]

    def _tell(self, run: str, values: Mapping[str, float], step: int, at: float | None) -> None:
        """The step is a value like others: wandb's own must only grow, and a machine's second is no model's epoch."""
        when = {} if at is None else {"_timestamp": at}
        machine = all(name.startswith(_MACHINE) for name in values)
        axis = {f"{_MACHINE}second": step} if machine else {_STEP: step}
        self._begun(run).log({**values, **axis, **when})


PLUGIN = Plugin(
    make=Wandb,
    summary="Weights & Biases, offline unless WANDB_MODE says otherwise",
    needs=("wandb",),
    extra="wandb",
)
