"""``throughline tune``: many values of a recipe tried, the best of them kept; killed, it goes on."""

from __future__ import annotations

import fcntl
import json
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from throughline import __version__
from throughline.contracts.errors import InputError
from throughline.contracts.records import RunState
from throughline.models.artifact import read_artifact
from throughline.models.feeding import noise
from throughline.models.session import open_model
from throughline.terminal import fields, note, table
from throughline.training.folder import RECIPE, STATE, run_folder
from throughline.training.minimizing import minimize
from throughline.training.ranges import ranges_of
from throughline.training.recipe import Recipe, read_recipe
from throughline.training.recording import Recorder, run_log
from throughline.training.search import Objective, Outcome, Search, Step
from throughline.training.space import Space, short
from throughline.training.tune_report import write_report
from throughline.verbs.train import carried_out, device_of, pairs

_MEASURED = {"latency_ms": False, "size_mb": False}
"""What is measured of every trial's model beside what its trainer measures; of both, less is better."""
_SCORE = "score"
_RUN, _METRIC, _WANTED = "run", "metric", "wanted"
_SHOWN = 12


@dataclass(frozen=True, slots=True)
class TuneReport:
    """What a search found.

    Attributes:
        folder: everything it wrote; each trial's run is a folder in it.
        objectives: what was wanted: "max mAP50-95".
        best: what the best trial took.
        values: what it came to.
        model: its model, with its passport.
        recipe: it as a recipe, complete.
        front: of several objectives, the trials that none beats in everything.
        trials: every trial.
        importances: how much each value has to do with the first objective, as shares.
        report: the page.
    """

    folder: Path
    objectives: tuple[str, ...]
    best: Mapping[str, Any]
    values: Mapping[str, float]
    model: Path
    recipe: Path
    front: tuple[Outcome, ...]
    trials: tuple[Outcome, ...]
    importances: Mapping[str, float]
    report: Path

    def __str__(self) -> str:
        names = list(self.values)
        chosen = {one.number for one in self.front}
        shown = [*self.front, *(one for one in self.trials if one.number not in chosen)][:_SHOWN]
        rows = [
            (
                f"{one.number}",
                ("taken" if one.number == self.front[0].number else "front") if one.number in chosen else one.state,
                *(f"{one.values[name]:.4g}" if name in one.values else "" for name in names),
                ", ".join(f"{name} {short(value)}" for name, value in one.parameters.items()),
            )
            for one in shown
        ]
        states = [one.state for one in self.trials]
        counted = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
        return "\n".join(
            [
                table(("trial", "", *names, "took"), rows),
                "",
                fields(
                    [
                        ("trials", counted),
                        ("matters", ", ".join(f"{name} {share:.0%}" for name, share in self.importances.items())),
                        ("model", str(self.model)),
                        ("recipe", str(self.recipe)),
                        ("report", str(self.report)),
                        ("next", f"throughline inspect {shlex.quote(str(self.model))}"),
                    ]
                ),
            ]
        )


def tune(
    recipe: Path | None = None,
    /,
    *,
    trainer: str | None = None,
    data: str | None = None,
    set_: list[str] | None = None,
    trials: int = 20,
    objectives: str | None = None,
    tuner: str = "tpe",
    pruner: str = "median",
    workers: int = 1,
    seed: int | None = None,
    name: str | None = None,
    out: Path | None = None,
    device: str = "auto",
    log: str = "mlflow",
    trust: bool = False,
) -> TuneReport:
    """Try many values of a recipe and keep the best; killed, the same command goes on, and on more terminals it helps.

    Args:
        recipe: A recipe as train takes it, with ranges for values: lr: 1e-4 .. 1e-2 log, or batch: 4 | 8 | 16.
        trainer: Who carries it out, where no recipe says so.
        data: What it learns from.
        set_: Any other value or range, as NAME=VALUE; given again, one more.
        trials: How many to make in all.
        objectives: What is wanted, with commas between: the trainer's own metric when not given; any other that it
            measures, latency_ms and size_mb. "min" before a name says that less of it is better.
        tuner: Who proposes: tpe, gp, random or grid.
        pruner: Who ends trials that go badly: median, hyperband or none. Of several objectives, nobody.
        workers: Processes that try side by side.
        seed: Everything random follows from it.
        name: What the search is called.
        out: The search's folder; runs/tune-NAME when not given.
        device: Where to train: auto, cpu, gpu or gpu:N.
        log: Who writes the trials down: mlflow, jsonl, wandb.
        trust: Open weights that are a program and that no passport of this machine vouches for.
    """
    for flag, number in (("trials", trials), ("workers", workers)):
        if number < 1:
            raise InputError(f"--{flag} {number}: there would be nothing to do", "give 1 or more")
    changes = {"trainer": trainer, "data": data, "seed": seed, "name": name} | pairs(set_ or [])
    fixed, space = ranges_of(recipe, changes)
    plain = read_recipe(recipe, fixed | {name: one.points()[0] for name, one in space.items()})
    for part in space:  # both ends of each are values that the trainer takes
        for value in (space[part].points()[0], space[part].points()[-1]):
            plain.changed({part: value}, f"the range of {part}")
    wanted = _objectives(objectives)
    folder = out or Path("runs") / f"tune-{plain.name}"
    place = device_of(device)
    about = {"recipe": {part: value for part, value in plain.values().items() if part not in space}}
    search = Search(
        folder, space, wanted, tuner=tuner, pruner=pruner if len(wanted) == 1 else "none", seed=plain.seed, about=about
    )
    asked = {
        "trainer": trainer, "data": data, "trials": trials, "objectives": objectives, "tuner": tuner, "pruner": pruner,
        "seed": seed, "name": name, "out": out, "device": device, "log": log,
    }  # fmt: skip
    command = [*([str(recipe)] if recipe else []), *(part for pair in set_ or [] for part in ("--set", pair))]
    command += [part for flag, value in asked.items() if value is not None for part in (f"--{flag}", str(value))]
    trying = _Trying(plain, search, folder, place, log, trust)
    with _leading(search, folder, log, plain, space) as leads:
        with _others(workers - 1 if leads else 0, [*command, *(["--trust"] if trust else [])]):
            search.go_on(trials, trying, lambda one: note(str(_shown(search, one))))
        return _reported(search, plain, folder)


tune.minimize = minimize  # type: ignore[attr-defined]


@dataclass(frozen=True, slots=True)
class _Trying:
    """A trial: the recipe with what it took, carried out in a folder of its own."""

    recipe: Recipe
    search: Search
    folder: Path
    device: str
    log: str
    trust: bool

    def __call__(self, number: int, taken: Mapping[str, Any], step: Step) -> Mapping[str, float]:
        recipe = self.recipe.changed({**taken, "name": f"{self.recipe.name}-{number}"}, f"trial {number}")
        place = _trial_folder(self.folder, number)
        resume = (place / RECIPE).exists()
        wanted, larger = self.search.objectives[0].name, self.search.noted(_WANTED) == "larger"
        metric = self.search.noted(_METRIC) if wanted == _SCORE else wanted  # nobody knows it before a trial has ended

        def watch(values: Mapping[str, float], at: int) -> None:
            if (value := values.get(f"val/{metric}")) is not None:
                step(-value if wanted == _SCORE and not larger else value, at)

        with run_folder(place, recipe, resume=resume) as opened:
            if opened.finished:
                result = opened.state["result"]
                return self._values(result["metric"], result["metrics"], place / result["model"])
            report = carried_out(
                recipe, opened, device=self.device, log=self.log, resume=resume, trust=self.trust,
                parent=self.search.noted(_RUN), watch=watch, quiet=True,
            )  # fmt: skip
        return self._values(report.metric, report.metrics, report.model)

    def _values(self, metric: str, metrics: Mapping[str, float], model: Path) -> dict[str, float]:
        step = read_artifact(model).passport.steps[0]
        larger = bool(step.options["higher_is_better"])
        self.search.note(_METRIC, metric)
        self.search.note(_WANTED, "larger" if larger else "smaller")
        known: dict[str, float] = {**metrics, _SCORE: metrics[metric] if larger else -metrics[metric]}
        for name in {one.name for one in self.search.objectives} & _MEASURED.keys():
            known[name] = _latency(model) if name == "latency_ms" else model.stat().st_size / 2**20
        for one in self.search.objectives:
            if one.name not in known:
                raise InputError(
                    f"--objectives: the trainer measures no '{one.name}'",
                    f"one of: {', '.join(sorted({*metrics, *_MEASURED}))}",
                )
        return {one.name: known[one.name] for one in self.search.objectives}


@contextmanager
def _leading(search: Search, folder: Path, log: str, recipe: Recipe, space: Space) -> Iterator[bool]:
    """Whether this process is the first of those that search in this folder: it writes the search down as a run."""
    with (folder / ".leading").open("wb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        recorder = Recorder(run_log(log), folder, note)
        told = {**recipe.values(), **{name: str(one) for name, one in space.items()}}
        search.note(_RUN, recorder.start(recipe.name, told, {"search": recipe.trainer}))
        state = RunState.FAILED
        try:
            yield True
            state = RunState.FINISHED
            if best := search.front():
                recorder.metrics(best[0].values, len(search.outcomes()))
        except KeyboardInterrupt:
            state = RunState.KILLED
            raise
        finally:
            recorder.finish(state)


@contextmanager
def _others(count: int, command: Sequence[str]) -> Iterator[None]:
    """More processes on the same search, gone when this one is."""
    with ExitStack() as stack:
        for _ in range(count):
            process = subprocess.Popen(
                [sys.executable, "-m", "throughline.cli", "tune", *command], stdout=subprocess.DEVNULL
            )
            stack.callback(process.wait)
            stack.push(lambda kind, *_, process=process: process.terminate() if kind is not None else None)
        yield


def _reported(search: Search, recipe: Recipe, folder: Path) -> TuneReport:
    front, trials = ([_shown(search, one) for one in found] for found in (search.front(), search.outcomes()))
    if not front:
        raise InputError(f"{folder}: none of {len(trials)} trials came to an end", "give more trials")
    best = front[0]
    place = _trial_folder(folder, best.number)
    chosen = recipe.changed(best.parameters)
    chosen.save(folder / "best.yaml")
    name, larger = search.noted(_METRIC), search.noted(_WANTED) == "larger"
    wanted = [Objective(name, larger) if one.name == _SCORE and name else one for one in search.objectives]
    importances = search.importances()
    page = write_report(folder, recipe, wanted, search.space, front, trials, importances, f"throughline {__version__}")
    result = json.loads((place / STATE).read_text("utf-8"))["result"]
    return TuneReport(
        folder, tuple(map(str, wanted)), best.parameters, best.values, place / result["model"], folder / "best.yaml",
        tuple(front) if len(wanted) > 1 else (best,), tuple(trials), importances, page,
    )  # fmt: skip


def _shown(search: Search, one: Outcome) -> Outcome:
    """An outcome with the trainer's metric under its own name."""
    name, larger = search.noted(_METRIC), search.noted(_WANTED) == "larger"
    values = {
        (name or key) if key == _SCORE else key: value if key != _SCORE or larger else -value
        for key, value in one.values.items()
    }
    return replace(one, values=values)


def _trial_folder(folder: Path, number: int) -> Path:
    return folder / "trials" / f"{number:04}"


def _latency(model: Path) -> float:
    """The median of some calls with one sample."""
    with open_model(model, device="cpu", trust=True) as session:
        feeds = noise(session.inputs, imgsz=read_artifact(model).passport.imgsz)
        session.warm_up(5, feeds)
        for _ in range(30):
            session.predict(feeds)
        return session.get_performance_stats().p50_ms


def _objectives(text: str | None) -> list[Objective]:
    if text is None:
        return [Objective(_SCORE, larger=True)]
    found = []
    for part in text.split(","):
        words = part.split()
        asked = words[0] if len(words) == 2 else None
        if len(words) not in (1, 2) or asked not in (None, "min", "max"):
            raise InputError(f"--objectives {text!r}: '{part.strip()}' is no objective", "NAME, min NAME or max NAME")
        name = words[-1]
        found.append(Objective(name, asked == "max" if asked else _MEASURED.get(name, True)))
    if len({one.name for one in found}) < len(found):
        raise InputError(f"--objectives {text!r}: one of them is there twice", "name each once")
    return found
