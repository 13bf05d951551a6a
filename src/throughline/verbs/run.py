"""``throughline run``: models over video, every frame accounted for, and nothing lost to a kill."""

from __future__ import annotations

import dataclasses
import os
import shlex
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import throughline
from throughline.contracts.errors import InputError
from throughline.terminal import fields, note, table
from throughline.video.carry_out import Callback, made_ready
from throughline.video.halt import INTERRUPTED, halting_on_signals
from throughline.video.job import Outcome
from throughline.video.journal import only_one
from throughline.video.live_page import LivePage
from throughline.video.plan import Plan, folder_names, new_folder
from throughline.video.planning import planned
from throughline.video.report import RunSummary, SourceSummary, write_report

_SAID_ELSEWHERE = {"version", "sources", "models"}


@dataclass(frozen=True, slots=True)
class RunReport:
    """What became of a run: its folder, its sources, and how fast it went."""

    folder: Path
    report: Path | None
    models: tuple[str, ...]
    backend: str
    sources: tuple[Outcome, ...]
    seconds: float
    frames_per_second: float
    cpu_ms: float
    stage_ms: dict[str, float]
    resume: str
    exit_code: int

    def __str__(self) -> str:
        rows = [(one.source, one.said, str(one.accounting), str(one.detections), one.why) for one in self.sources]
        written = [str(path) for one in self.sources for path in one.files]
        return "\n".join(
            [
                table(("source", "ended", "frames", "objects", "why"), rows),
                "",
                fields(
                    [
                        ("run", str(self.folder)),
                        ("wrote", "\n".join(written[:20] + [f"and {len(written) - 20} more"] * (len(written) > 20))),
                        ("report", str(self.report or "")),
                        ("read", "\n".join(dict.fromkeys(one.about for one in self.sources if one.about))),
                        ("ran on", self.backend),
                        ("speed", f"{self.frames_per_second:.1f} frames per second, {self.seconds:.1f} s in all"),
                        ("cost", f"{self.cpu_ms:.1f} ms of processor time a frame"),
                        ("stages", ", ".join(f"{name} {ms:.1f} ms" for name, ms in self.stage_ms.items())),
                        ("go on", self.resume),
                    ]
                ),
            ]
        )


def run(
    *sources: str,
    model: list[Path] | Path | None = None,
    out: Path | None = None,
    name: str | None = None,
    resume: Path | None = None,
    save: str | None = None,
    show: bool | None = None,
    tracker: str | None = None,
    decoder: str | None = None,
    classes: str | None = None,
    conf: float | None = None,
    iou: float | None = None,
    max_det: int | None = None,
    imgsz: int | None = None,
    vid_stride: int | None = None,
    start: float | None = None,
    end: float | None = None,
    max_frames: int | None = None,
    hwaccel: str | None = None,
    policy: str | None = None,
    reconnect: int | None = None,
    stall_timeout: float | None = None,
    backend: str | None = None,
    device: str | None = None,
    threads: int | None = None,
    batch: int | None = None,
    profile: str | None = None,
    config: Path | None = None,
    class_: str | None = None,
    trust: bool | None = None,
    callback: Callback | None = None,
) -> RunReport:
    """Run models over video, follow what they find, and write the results; what is killed can go on.

    Args:
        sources: Video files, folders or globs of images, lists of sources, cameras, streams.
        model: The model's file; given again, one more model over the same frames.
        out: The run's folder; runs/NAME when not given.
        name: The run's name: a new folder in runs/.
        resume: Go on with the run in this folder, exactly as it was begun; takes no other option but --show.
        save: What to write, with commas between: jsonl, csv, mot, video and so on. [default: jsonl,samples]
        show: Serve a live page on this machine while it runs.
        tracker: What follows the objects, or none. [default: hybrid]
        decoder: How the model's outputs are read, where its file does not say; several with commas between.
        classes: Keep only these classes: names or numbers, with commas between.
        conf: The least confidence that counts as a detection.
        iou: Two boxes that overlap more are one object.
        max_det: The most detections of one frame.
        imgsz: The model's longer input side, where the model leaves it open.
        vid_stride: Look at every n-th frame. [default: 1]
        start: Begin at this second of each source.
        end: End at this second of each source.
        max_frames: End after so many frames of each source.
        hwaccel: Decode on this hardware: auto or its name, such as cuda or vaapi.
        policy: What a live source does when the model is slower: block, latest or drop-oldest. [default: drop-oldest]
        reconnect: How often in a row a lost stream is tried again before it has failed. [default: 8]
        stall_timeout: Seconds without data after which a stream counts as lost. [default: 10]
        backend: The runtime: auto or a backend's name.
        device: Where to run: auto, cpu, gpu or gpu:N.
        threads: CPU threads for the models; 0 is every core.
        batch: The most frames in one call of a model; 0 lets the machine decide.
        profile: Start from this profile: cpu, small_gpu, big_gpu or debug.
        config: Read settings from this TOML or JSON file.
        class_: What builds the network that a state dict belongs to (package.module:factory).
        trust: Open a model that is a program and that no passport of this machine vouches for.
        callback: A function that is called with each frame and what was found in it, in order.
    """
    given = {
        option: value
        for option, value in locals().items()
        if option not in ("resume", "show", "callback") and value is not None and value != () and value is not False
    }
    if resume is not None:
        if given:
            raise InputError(
                f"--resume goes on with a run exactly as it was begun; given too: {', '.join(given)}",
                f"throughline run --resume {shlex.quote(str(resume))}",
            )
        return _carried_out(Plan.read(Path(resume)), Path(resume), None, None, bool(show), callback)
    models = [model] if isinstance(model, str | Path) else [*(model or ())]
    if not sources or not models:
        raise InputError(
            "nothing to run: " + ("no --model was given" if sources else "no source was given"),
            "throughline run video.mp4 --model model.onnx",
        )
    return _carried_out(planned(throughline.__version__, sources, models, given), None, out, name, bool(show), callback)


def _carried_out(
    plan: Plan, resumed: Path | None, out: Path | None, name: str | None, show: bool, callback: Callback | None
) -> RunReport:
    """Open everything, only then touch the run's folder, and work."""
    began, cpu = time.perf_counter(), _worked()
    with made_ready(plan) as ready, ExitStack() as held:
        folder = resumed or new_folder(None if out is None else Path(out), name)
        if resumed is None:
            ready.plan.write(folder)
        held.enter_context(only_one(folder))
        again = f"throughline run --resume {shlex.quote(str(folder))}"
        halt = held.enter_context(halting_on_signals(f"coming to a clean end (again to stop at once); then: {again}"))
        page = held.enter_context(LivePage(folder.name)) if show else None
        note(f"writing to {folder}")
        if page is not None:
            note(f"live page: {page.address}")
        try:
            outcomes = ready.carry_out(folder, halt, page, callback)
        except Exception:
            note(f"what was committed is kept; to go on: {again}")
            raise
    report = _report(ready.plan, folder, str(ready), outcomes, time.perf_counter() - began, _worked() - cpu)
    page_path = write_report(folder, _summary(ready.plan, folder, outcomes, report))
    return dataclasses.replace(report, report=page_path)


def _worked() -> float:
    """Seconds of processor time so far, with those of processes that decoded."""
    return sum(os.times()[:4])


def _report(
    plan: Plan, folder: Path, ran_on: str, outcomes: Sequence[Outcome], seconds: float, cpu: float
) -> RunReport:
    short = any(outcome.ending is None for outcome in outcomes)
    worst = max((outcome.ending.exit_code for outcome in outcomes if outcome.ending is not None), default=0)
    done = sum(outcome.stages[0].items for outcome in outcomes if outcome.stages)
    busy: dict[str, float] = {}
    for stage in (stage for outcome in outcomes for stage in outcome.stages):
        busy[stage.name] = busy.get(stage.name, 0.0) + stage.busy
    return RunReport(
        folder=folder,
        report=None,
        models=tuple(model.path for model in plan.models),
        backend=ran_on,
        sources=tuple(outcomes),
        seconds=seconds,
        frames_per_second=done / seconds,
        cpu_ms=1000 * cpu / max(1, done),
        stage_ms={name: 1000 * spent / max(1, done) for name, spent in busy.items()},
        resume=f"throughline run --resume {shlex.quote(str(folder))}" if short else "",
        exit_code=INTERRUPTED if short else worst,
    )


def _summary(plan: Plan, folder: Path, outcomes: Sequence[Outcome], report: RunReport) -> RunSummary:
    """The run as its page tells it."""
    names = folder_names(plan.sources)
    asked = {name: value for name, value in dataclasses.asdict(plan).items() if name not in _SAID_ELSEWHERE}
    return RunSummary(
        name=folder.name,
        sources=tuple(
            SourceSummary(one.source, folder / name, one.ending, one.accounting, one.reason, one.about)
            for one, name in zip(outcomes, names, strict=True)
        ),
        seconds=report.seconds,
        stage_ms=report.stage_ms,
        models=tuple(
            {"file": Path(model.path).name, "sha256": model.sha256, "ran on": ran_on}
            for model, ran_on in zip(plan.models, report.backend.split("; "), strict=True)
        ),
        settings={
            name: ", ".join(value) if isinstance(value, tuple) else str(value)
            for name, value in asked.items()
            if value is not None
        },
        footer=f"throughline {plan.version}",
    )
