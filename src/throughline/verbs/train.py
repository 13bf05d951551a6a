"""``throughline train``: carry out a recipe; what comes of it is a model whose passport says how it came to be."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from throughline import __version__, hardware
from throughline.contracts.errors import InputError, MissingExtra
from throughline.contracts.records import RunState
from throughline.data.lock import check_lock
from throughline.terminal import fields, note, table
from throughline.training.folder import RECIPE, RunFolder, run_folder, steps_of
from throughline.training.issuing import issue_passport
from throughline.training.origin import code_version
from throughline.training.recipe import Recipe, read_recipe
from throughline.training.recording import Recorder, run_log
from throughline.training.report import write_report
from throughline.training.run import Pruned, Run, Trained
from throughline.training.trainers import TRAINERS


@dataclass(frozen=True, slots=True)
class TrainReport:
    """What came of a training run.

    Attributes:
        name: the run's.
        trainer: who carried it out.
        folder: everything it wrote.
        model: the model's file, with its passport beside it.
        sha256: the hash of that file.
        metric: the metric that decides.
        metrics: what was measured at the end, on data that it was not trained on.
        baseline: the same of the plainest thing that could do the job.
        seconds: how long it took, without the sittings that were killed.
        report: the page.
        run: its id in the log of runs.
        notes: what has to be said besides.
    """

    name: str
    trainer: str
    folder: Path
    model: Path
    sha256: str
    metric: str
    metrics: Mapping[str, float]
    baseline: Mapping[str, float]
    seconds: float
    report: Path
    run: str
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        names = [self.metric, *(name for name in self.metrics if name != self.metric)]
        rows = [(name, f"{self.metrics[name]:.4f}", _figure(self.baseline.get(name))) for name in names]
        head, width = (("metric", "model", "baseline"), 3) if self.baseline else (("metric", "model"), 2)
        return "\n".join(
            [
                table(head, [row[:width] for row in rows]),
                "",
                fields(
                    [
                        ("model", str(self.model)),
                        ("run", str(self.folder)),
                        ("report", str(self.report)),
                        ("took", f"{self.seconds:.1f} s"),
                        ("note", "\n".join(self.notes)),
                        ("again", f"throughline train {shlex.quote(str(self.folder / RECIPE))} --name NAME"),
                        ("next", f"throughline inspect {shlex.quote(str(self.model))}"),
                    ]
                ),
            ]
        )


def train(
    recipe: Path | None = None,
    /,
    *,
    trainer: str | None = None,
    data: str | None = None,
    epochs: int | None = None,
    batch: int | None = None,
    lr: float | None = None,
    imgsz: str | None = None,
    set_: list[str] | None = None,
    seed: int | None = None,
    name: str | None = None,
    out: Path | None = None,
    resume: bool = False,
    device: str = "auto",
    log: str = "mlflow",
    trust: bool = False,
) -> TrainReport:
    """Train a model by a recipe; what is killed goes on, and ends as it would have.

    Args:
        recipe: A YAML file: trainer, data, seed, name, and the trainer's own options.
        trainer: Who carries it out: torch_loop, detection, text, tabular and so on.
        data: What it learns from.
        epochs: How often it sees everything.
        batch: Samples in one step.
        lr: The highest learning rate.
        imgsz: The size of pictures: 640, or 384x640 (height x width).
        set_: Any other option of the trainer, as NAME=VALUE; given again, one more.
        seed: Everything random follows from it.
        name: What the run and its model are called.
        out: The run's folder; runs/train-NAME when not given.
        resume: Go on with the run in that folder, exactly as it was begun.
        device: Where to train: auto, cpu, gpu or gpu:N.
        log: Who writes the run down: mlflow, jsonl, wandb.
        trust: Open weights that are a program and that no passport of this machine vouches for.
    """
    changes: dict[str, Any] = {"trainer": trainer, "data": data, "epochs": epochs, "batch": batch, "lr": lr}
    changes |= {"imgsz": imgsz, "seed": seed, "name": name, **pairs(set_ or [])}
    if resume and recipe is None and trainer is None:
        recipe = _recipe_to_resume(name, out)
    told = read_recipe(recipe, changes)
    plugin = TRAINERS.get(told.trainer)
    if (lacking := plugin.missing()) is not None:
        raise MissingExtra(lacking, f"the trainer '{told.trainer}'", plugin.extra or "train")
    folder = out or Path("runs") / f"train-{told.name}"
    place = device_of(device)
    hold_to_lock(told.data)
    with run_folder(folder, told, resume=resume) as opened:
        if opened.finished:
            note(f"{folder}: this run is finished; there is nothing to go on with")
            return _finished(told, opened)
        return carried_out(told, opened, device=place, log=log, resume=resume, trust=trust)


def device_of(asked: str) -> str:
    """Where to train: the first GPU that there is, else the CPU, unless somebody says where."""
    from throughline.settings import Config

    Config().updated({"device": asked}, "--device")
    if asked != "auto":
        return asked
    if not hardware.detect().gpus:
        return "cpu"
    try:
        import torch

        sees = torch.cuda.is_available()
    except ModuleNotFoundError:
        sees = False
    if not sees:
        note("this machine has a GPU that PyTorch does not see: training on the CPU")
    return "gpu" if sees else "cpu"


def hold_to_lock(data: str) -> None:
    """Refuse data that are not as their ``data.lock`` says; those without one are taken as they are."""
    if not Path(data).exists():
        return  # a pattern, or what the trainer brings along
    differing = check_lock(data)
    if differing:
        count = "one difference" if len(differing) == 1 else f"{len(differing):,} differences"
        raise InputError(
            f"{data}: not as it was locked, {count}: {differing[0]}",
            f"put it back, or lock it as it is: throughline inspect {data} --lock",
        )


def carried_out(
    recipe: Recipe,
    folder: RunFolder,
    *,
    device: str,
    log: str,
    resume: bool = False,
    trust: bool = False,
    parent: str | None = None,
    watch: Callable[[Mapping[str, float], int], None] | None = None,
    quiet: bool = False,
) -> TrainReport:
    """Carry a recipe out in its folder, and write it down.

    Args:
        recipe: what to do.
        folder: where, held by this process.
        device: where to train.
        log: who writes the run down.
        resume: go on where it was.
        trust: open what no passport vouches for.
        parent: the run that it belongs to, by its id in the log.
        watch: hears the metrics of every step, and may raise ``Pruned``.
        quiet: tell nobody how it goes.
    """
    needs = TRAINERS.get(recipe.trainer).needs
    code, began, notes = code_version(needs), time.monotonic(), list[str]()
    before = float(folder.state.get("seconds", 0.0))
    folder.tell(state=RunState.RUNNING, device=device, code=code)

    def say(text: str) -> None:
        notes.append(text)
        note(text)

    with ExitStack() as stack:
        recorder = Recorder(run_log(log), folder.path, say)
        tags = {"trainer": recipe.trainer, "seed": str(recipe.seed), "device": device, **code}
        run = recorder.start(recipe.name, recipe.values(), tags, parent)
        state = RunState.FAILED
        stack.callback(lambda: recorder.finish(state))

        def write_down(values: Mapping[str, float], step: int) -> None:
            folder.metrics(values, step)
            recorder.metrics(values, step)
            if watch is not None:
                watch(values, step)

        try:
            trained: Trained = TRAINERS.make(
                recipe.trainer, recipe, Run(folder.path, write_down, _silence if quiet else note, resume, device, trust)
            )
            seconds = before + time.monotonic() - began
            artifact = issue_passport(recipe, trained, code, device)
            page = write_report(
                folder.path, recipe, trained, artifact,
                {"seconds": seconds, "code": code, "footer": f"throughline {__version__}, on {device}"},
            )  # fmt: skip
            report = TrainReport(
                recipe.name, recipe.trainer, folder.path, trained.path, artifact.sha256, trained.metric,
                dict(trained.metrics), dict(trained.baseline), seconds, page, run, tuple(notes),
            )  # fmt: skip
            for path in (folder.path / RECIPE, page, artifact.path):
                recorder.artifact(path)
            recorder.metrics({f"final/{name}": value for name, value in trained.metrics.items()}, _last_step(folder))
            folder.tell(state=RunState.FINISHED, seconds=seconds, result=_plain(report))
            state = RunState.FINISHED
        except Pruned:
            state = RunState.FINISHED
            folder.tell(state=RunState.KILLED, seconds=before + time.monotonic() - began)
            raise
        except KeyboardInterrupt:
            state = RunState.KILLED
            folder.tell(state=state, seconds=before + time.monotonic() - began)
            note(f"go on: throughline train {shlex.quote(str(folder.path / RECIPE))} --resume{_where(recipe, folder)}")
            raise
        except Exception:
            folder.tell(state=state, seconds=before + time.monotonic() - began)
            raise
    return report


def _silence(_: str) -> None:
    """Where somebody else tells how it goes."""


def _recipe_to_resume(name: str | None, out: Path | None) -> Path:
    """The recipe of the run that is to go on, where nothing but its folder is said."""
    if name is None and out is None:
        raise InputError("--resume: nothing says which run", "give its recipe.yaml, --name or --out")
    return (out or Path("runs") / f"train-{name}") / RECIPE


def pairs(given: Sequence[str]) -> dict[str, str]:
    """The options that were set by name."""
    found: dict[str, str] = {}
    for pair in given:
        name, sign, value = pair.partition("=")
        if not sign or not name:
            raise InputError(f"--set {pair!r} sets nothing", "write it as --set name=value")
        if name in found:
            raise InputError(f"--set {name} was given twice", "keep one of them")
        found[name] = value
    return found


def _last_step(folder: RunFolder) -> int:
    rows = steps_of(folder.path)
    return int(rows[-1]["step"]) if rows else 0


def _plain(report: TrainReport) -> dict[str, Any]:
    """What another call needs to say the same again."""
    return {
        "model": report.model.name,
        "sha256": report.sha256,
        "metric": report.metric,
        "metrics": dict(report.metrics),
        "baseline": dict(report.baseline),
        "run": report.run,
    }


def _finished(recipe: Recipe, folder: RunFolder) -> TrainReport:
    """The report of a run that has ended before."""
    state = folder.state["result"]
    return TrainReport(
        recipe.name, recipe.trainer, folder.path, folder.path / state["model"], state["sha256"], state["metric"],
        state["metrics"], state["baseline"], float(folder.state["seconds"]), folder.path / "report.html", state["run"],
        ("this run was finished before",),
    )  # fmt: skip


def _where(recipe: Recipe, folder: RunFolder) -> str:
    usual = Path("runs") / f"train-{recipe.name}"
    return "" if folder.path == usual else f" --out {shlex.quote(str(folder.path))}"


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
