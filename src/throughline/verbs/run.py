"""``throughline run``: a model over video, every frame accounted for, and nothing lost to a kill."""

from __future__ import annotations

import dataclasses
import os
import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import throughline
from throughline import settings
from throughline.contracts.artifacts import Artifact
from throughline.contracts.errors import (
    InputError,
    MissingExtra,
    PassportMismatch,
    SourceFailed,
    ThroughlineError,
)
from throughline.contracts.runs import Accounting, Ending
from throughline.contracts.streams import Sink, Source, SourceInfo
from throughline.models import passport as passports
from throughline.models.artifact import read_artifact
from throughline.models.identify import identify
from throughline.models.loading import require_trust
from throughline.models.session import Session, open_model
from throughline.plugins import Family
from throughline.terminal import fields, note, table
from throughline.video.detector import Detector, class_numbers, input_size
from throughline.video.halt import INTERRUPTED, Halt, halting_on_signals
from throughline.video.job import Job, Outcome
from throughline.video.journal import only_one
from throughline.video.plan import Plan, folder_names, new_folder
from throughline.video.progress import Progress
from throughline.video.report import RunSummary, SourceSummary, write_report
from throughline.video.sinks import SINKS
from throughline.video.sources import kind_of, listed, open_sources
from throughline.video.trackers import TRACKERS
from throughline.vision.canvas import canvas_for
from throughline.vision.decoders import DECODERS
from throughline.vision.preprocess import PLAIN

_NO_TRACKER = "none"
_SAVE = "jsonl,samples"
_SAID_ELSEWHERE = {"version", "sources", "model", "model_sha256", "labels"}


@dataclass(frozen=True, slots=True)
class RunReport:
    """What became of a run: its folder, its sources, and how fast it went."""

    folder: Path
    report: Path | None
    model: str
    backend: str
    sources: tuple[Outcome, ...]
    seconds: float
    frames_per_second: float
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
                        ("ran on", self.backend),
                        ("speed", f"{self.frames_per_second:.1f} frames per second, {self.seconds:.1f} s in all"),
                        ("stages", ", ".join(f"{name} {ms:.1f} ms" for name, ms in self.stage_ms.items())),
                        ("go on", self.resume),
                    ]
                ),
            ]
        )


def run(
    *sources: str,
    model: Path | None = None,
    out: Path | None = None,
    name: str | None = None,
    resume: Path | None = None,
    save: str | None = None,
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
    backend: str | None = None,
    device: str | None = None,
    threads: int | None = None,
    batch: int | None = None,
    profile: str | None = None,
    config: Path | None = None,
    trust: bool | None = None,
) -> RunReport:
    """Run a model over video, follow what it finds, and write the results; what is killed can go on.

    Args:
        sources: Video files, folders or globs of images, lists of sources, cameras, streams.
        model: The model's file.
        out: The run's folder; runs/NAME when not given.
        name: The run's name: a new folder in runs/.
        resume: Go on with the run in this folder, exactly as it was begun; takes no other option.
        save: What to write, with commas between: jsonl, csv, mot, video and so on. [default: jsonl,samples]
        tracker: What follows the objects, or none. [default: hybrid]
        decoder: How the model's outputs are read, where its file does not say.
        classes: Keep only these classes: names or numbers, with commas between.
        conf: The least confidence that counts as a detection.
        iou: Two boxes that overlap more are one object.
        max_det: The most detections of one frame.
        imgsz: The model's longer input side, where the model leaves it open.
        vid_stride: Look at every n-th frame. [default: 1]
        start: Begin at this second of each source.
        end: End at this second of each source.
        max_frames: End after so many frames of each source.
        backend: The runtime: auto or a backend's name.
        device: Where to run: auto, cpu, gpu or gpu:N.
        threads: CPU threads for the model; 0 is every core.
        batch: The most frames in one call of the model.
        profile: Start from this profile: cpu, small_gpu, big_gpu or debug.
        config: Read settings from this TOML or JSON file.
        trust: Open a model that is a program and that no passport of this machine vouches for.
    """
    given = {option: value for option, value in locals().items() if value not in (None, ()) and option != "resume"}
    if resume is not None:
        if given:
            raise InputError(
                f"--resume goes on with a run exactly as it was begun; given too: {', '.join(given)}",
                f"throughline run --resume {shlex.quote(str(resume))}",
            )
        return _work(Plan.read(resume), lambda: resume)
    if not sources or model is None:
        raise InputError(
            "nothing to run: " + ("no --model was given" if sources else "no source was given"),
            "throughline run video.mp4 --model model.onnx",
        )
    plan = _planned(sources, model, given)

    def begun() -> Path:
        folder = new_folder(out, name)
        plan.write(folder)
        return folder

    return _work(plan, begun)


def _planned(sources: Sequence[str], model: Path, given: dict[str, Any]) -> Plan:
    """Everything decided, and refused where it cannot be, before a file is written."""
    known = {field.name for field in dataclasses.fields(settings.Config)}
    flags = {name: value for name, value in given.items() if name in known}
    chosen = settings.resolve(profile=given.get("profile"), config=given.get("config"), flags=flags)
    artifact = read_artifact(model)
    holds = artifact.issued and passports.lacks(artifact.passport) is None
    require_trust(identify(model), holds, bool(given.get("trust")))
    saves = tuple(dict.fromkeys(part.strip() for part in given.get("save", _SAVE).split(",") if part.strip()))
    if not saves:
        raise InputError(f"--save {given['save']!r} names nothing", f"one or more of: {', '.join(SINKS.names())}")
    if not (given.get("decoder") or artifact.passport.decoder):
        raise _unknown_decoder(artifact)
    canvas = input_size(artifact)
    if canvas is not None and given.get("imgsz", max(canvas)) != max(canvas):
        raise InputError(
            f"--imgsz {given['imgsz']}: {model} takes pictures of {canvas[0]}x{canvas[1]} only",
            "leave --imgsz away, or export the model with open sides",
        )
    rows = artifact.inputs[0].shape[0]  # a model of a fixed batch is fed just that
    plan = Plan(
        version=throughline.__version__,
        sources=tuple(leaf for source in sources for leaf in _leaves(source)),
        model=str(model.absolute()),
        model_sha256=artifact.sha256,
        canvas=canvas,
        decoder=given.get("decoder") or artifact.passport.decoder or "",
        tracker=given.get("tracker", "hybrid"),
        save=saves,
        labels=artifact.labels,
        classes=class_numbers(given.get("classes"), artifact.labels),
        imgsz=max(artifact.passport.imgsz) if artifact.passport.imgsz and "imgsz" not in given else chosen.imgsz,
        model_stride=artifact.passport.stride or 32,
        conf=chosen.conf,
        iou=chosen.iou,
        max_det=chosen.max_det,
        vid_stride=_at_least_one("vid-stride", given.get("vid_stride", 1)),
        start=given.get("start"),
        end=given.get("end"),
        max_frames=_at_least_one("max-frames", given["max_frames"]) if "max_frames" in given else None,
        backend=chosen.backend,
        device=chosen.device,
        threads=chosen.threads,
        batch=rows if isinstance(rows, int) else chosen.batch,
        trust=bool(given.get("trust")),
    )
    _ready(DECODERS, plan.decoder)
    for sink in saves:
        _ready(SINKS, sink)
    if plan.tracker != _NO_TRACKER:
        _ready(TRACKERS, plan.tracker)
    return plan


def _leaves(spec: str) -> Iterator[str]:
    """A source by a name that stays true in another folder; a listing, by the sources that it lists now."""
    kind = kind_of(spec)
    if kind == "listing":
        for inner in listed(spec):
            yield from _leaves(inner)
    else:
        yield os.path.abspath(spec) if kind in ("file", "images") else spec


def _ready(family: Family, name: str) -> None:
    plugin = family.get(name)
    if (lacking := plugin.missing()) is not None:
        raise MissingExtra(lacking, f"{family.kind} '{name}'", plugin.extra or "all")


def _work(plan: Plan, place: Callable[[], Path]) -> RunReport:
    """Open everything, and only then touch the run's folder; source after source, whatever becomes of each."""
    began = time.perf_counter()
    with ExitStack() as held:
        opened = _opened(plan, held)
        session = held.enter_context(_session(plan))
        folder = place()
        held.enter_context(only_one(folder))
        again = f"throughline run --resume {shlex.quote(str(folder))}"
        halt = held.enter_context(halting_on_signals(f"coming to a clean end (again to stop at once); then: {again}"))
        note(f"writing to {folder}")
        outcomes: list[Outcome] = []
        try:
            for (spec, source), name in zip(opened, folder_names(spec for spec, _ in opened), strict=True):
                outcomes.append(_one(plan, spec, source, folder / name, session, halt))
        except Exception:
            note(f"what was committed is kept; to go on: {again}")
            raise
        ran_on = str(session)
    seconds = time.perf_counter() - began
    short = any(outcome.ending is None for outcome in outcomes)
    worst = max((outcome.ending.exit_code for outcome in outcomes if outcome.ending is not None), default=0)
    done = sum(outcome.stages[0].items for outcome in outcomes if outcome.stages)
    busy: dict[str, float] = {}
    for stage in (stage for outcome in outcomes for stage in outcome.stages):
        busy[stage.name] = busy.get(stage.name, 0.0) + stage.busy
    report = RunReport(
        folder=folder,
        report=None,
        model=plan.model,
        backend=ran_on,
        sources=tuple(outcomes),
        seconds=seconds,
        frames_per_second=done / seconds,
        stage_ms={name: 1000 * spent / max(1, done) for name, spent in busy.items()},
        resume=again if short else "",
        exit_code=INTERRUPTED if short else worst,
    )
    page = write_report(folder, _summary(plan, folder, outcomes, report))
    return dataclasses.replace(report, report=page)


def _session(plan: Plan) -> Session:
    now = read_artifact(plan.model).sha256
    if now != plan.model_sha256:
        raise PassportMismatch(
            f"{plan.model}: the model changed since the run was begun: sha256 was {plan.model_sha256}, is {now}",
            "give back the model it was begun with, or begin a new run",
        )
    return open_model(
        plan.model,
        backend=plan.backend,
        device=plan.device,
        threads=plan.threads or None,
        max_batch=plan.batch,
        trust=plan.trust,
    )


def _one(
    plan: Plan, spec: str, source: Source | ThroughlineError, folder: Path, session: Session, halt: Halt
) -> Outcome:
    if isinstance(source, ThroughlineError):
        return Outcome(spec, Ending.FAILED, Accounting(0, 0), 0, source.problem, (), 0, 0.0, ())
    if halt.requested:
        return Outcome(spec, None, Accounting(0, 0), 0, "", (), 0, 0.0, ())
    info = source.info
    decoder = DECODERS.get(plan.decoder)
    preprocess = decoder.facts.get("preprocess", PLAIN)
    frame = (info.height or plan.imgsz, info.width or plan.imgsz)
    detector = Detector(
        session,
        DECODERS.make(plan.decoder),
        plan.canvas or canvas_for(frame, plan.imgsz, plan.model_stride, dynamic=not preprocess.stretch),
        plan.labels,
        plan.conf,
        plan.iou,
        plan.max_det,
        plan.classes,
        preprocess,
        decoder.facts.get("feeds", {}),
    )
    progress = Progress(info.name, min(filter(None, (info.declared, plan.max_frames)), default=None))
    job = Job(
        source,
        folder,
        detector,
        make_tracker=None if plan.tracker == _NO_TRACKER else lambda: TRACKERS.make(plan.tracker),
        make_sinks=lambda: [_sink(name, folder, spec, info, plan.labels) for name in plan.save],
        identity=plan.identity(spec),
        batch=plan.batch,
        stride=plan.vid_stride,
        halt=halt,
        watch=lambda accounting, found: progress.show(accounting.decoded, found),
    )
    try:
        return job.run()
    finally:
        progress.close()


def _sink(name: str, folder: Path, spec: str, info: SourceInfo, labels: tuple[str, ...]) -> Sink:
    options = {"sound": Path(spec)} if name == "video" and kind_of(spec) == "file" else {}
    return cast(Sink, SINKS.make(name, folder, info=info, labels=labels, **options))


def _opened(plan: Plan, held: ExitStack) -> list[tuple[str, Source | ThroughlineError]]:
    """Every source, or why it cannot be read; one that cannot does not stop the others, but none at all is an error."""
    asked = {"start": plan.start, "end": plan.end, "max_frames": plan.max_frames}
    options = {name: value for name, value in asked.items() if value is not None}
    opened: list[tuple[str, Source | ThroughlineError]] = []
    for spec in plan.sources:
        try:
            [source] = open_sources([spec], **options)
        except (InputError, SourceFailed) as error:
            opened.append((spec, error))
        else:
            held.callback(source.close)
            opened.append((spec, source))
    errors = [source for _, source in opened if isinstance(source, ThroughlineError)]
    if len(errors) == len(opened):
        raise errors[0]
    return opened


def _summary(plan: Plan, folder: Path, outcomes: Sequence[Outcome], report: RunReport) -> RunSummary:
    """The run as its page tells it."""
    names = folder_names(plan.sources)
    asked = {name: value for name, value in dataclasses.asdict(plan).items() if name not in _SAID_ELSEWHERE}
    return RunSummary(
        name=folder.name,
        sources=tuple(
            SourceSummary(one.source, folder / name, one.ending, one.accounting, one.reason)
            for one, name in zip(outcomes, names, strict=False)
        ),
        seconds=report.seconds,
        stage_ms=report.stage_ms,
        models=({"file": Path(plan.model).name, "sha256": plan.model_sha256, "ran on": report.backend},),
        settings={name: str(value) for name, value in asked.items() if value is not None},
        footer=f"throughline {plan.version}",
    )


def _unknown_decoder(artifact: Artifact) -> InputError:
    return InputError(
        f"{artifact.path}: its outputs ({', '.join(map(str, artifact.outputs))}) do not say how they are read",
        f"give --decoder, one of: {', '.join(DECODERS.names())}",
    )


def _at_least_one(flag: str, value: int) -> int:
    if value < 1:
        raise InputError(f"--{flag} {value}: there would be nothing to do", "give 1 or more")
    return value
