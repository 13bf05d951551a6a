"""A plan carried out: the models opened once, every source a job of its own, as many at once as makes sense.

Live sources all run at once, for each would be waited for without end. Files run one
after the other where the models have the processor to themselves, and several at once
where a GPU does the models' work and the processor has time to decode.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast, final

from throughline.contracts.detections import Detections
from throughline.contracts.errors import InputError, PassportMismatch, SourceFailed, ThroughlineError
from throughline.contracts.frames import Frame
from throughline.contracts.runs import Accounting, Ending
from throughline.contracts.streams import Sink, Source, SourceInfo, Tracker
from throughline.hardware import cores, detect, gpu_memory
from throughline.models.artifact import read_artifact
from throughline.models.batching import MOST, bytes_per_frame, fitting_batch
from throughline.models.session import Session, open_model
from throughline.video.halt import Halt
from throughline.video.job import Job, Outcome
from throughline.video.live_page import LivePage
from throughline.video.moments import Moment
from throughline.video.plan import ModelPlan, Plan, folder_names
from throughline.video.planning import NO_TRACKER
from throughline.video.progress import Progress
from throughline.video.sinks import SINKS
from throughline.video.sources import kind_of, open_sources
from throughline.video.trackers import TRACKERS
from throughline.vision.canvas import canvas_for
from throughline.vision.decoders import DECODERS
from throughline.vision.detector import Detector
from throughline.vision.preprocess import PLAIN

Callback = Callable[[Frame, Detections], object]

_CORES_A_DECODER = 4
"""Several files at once, where a GPU has the models: each decoder then has so many cores."""


@final
@dataclass(frozen=True)
class Ready:
    """A plan with everything open that it needs.

    Attributes:
        plan: the plan, its batch decided.
        sources: each by what the user called it, or why it cannot be read.
        sessions: the models, in the plan's order.
    """

    plan: Plan
    sources: tuple[tuple[str, Source | ThroughlineError], ...]
    sessions: tuple[Session, ...]

    def carry_out(self, folder: Path, halt: Halt, page: LivePage | None, callback: Callback | None) -> list[Outcome]:
        """Work until every source has ended or a halt is asked for; an error in one ends all of them."""
        names = folder_names(spec for spec, _ in self.sources)
        lives = [isinstance(source, ThroughlineError) or source.info.live for _, source in self.sources]
        files = len(lives) - sum(lives)
        at_once = sum(lives) + min(files, 1 if self._on_cpu else max(1, cores() // _CORES_A_DECODER))
        watching = _Watching(at_once > 1, page)

        def work(number: int) -> Outcome:
            spec, source = self.sources[number]
            try:
                outcome = self._outcome(spec, source, folder / names[number], halt, watching, callback)
            except BaseException:
                halt.request()
                raise
            watching.ended(names[number], outcome.said)
            return outcome

        with ThreadPoolExecutor(max(1, at_once), "throughline-job") as pool:
            numbers = sorted(range(len(lives)), key=lambda number: not lives[number])
            futures = {number: pool.submit(work, number) for number in numbers}
        return [futures[number].result() for number in range(len(lives))]

    def __str__(self) -> str:
        return "; ".join(map(str, self.sessions))

    @property
    def _on_cpu(self) -> bool:
        return all(session.device == "cpu" for session in self.sessions)

    def _outcome(
        self,
        spec: str,
        source: Source | ThroughlineError,
        folder: Path,
        halt: Halt,
        watching: _Watching,
        callback: Callback | None,
    ) -> Outcome:
        if isinstance(source, ThroughlineError):
            return Outcome(folder.name, "", Ending.FAILED, Accounting(0, 0), 0, source.problem, (), 0, 0.0, ())
        if halt.requested:
            return Outcome(folder.name, "", None, Accounting(0, 0), 0, "", (), 0, 0.0, ())
        plan, info = self.plan, dataclasses.replace(source.info, name=folder.name)
        job = Job(
            source,
            folder.name,
            folder,
            _detectors(plan, self.sessions, (info.height, info.width)),
            make_tracker=None if plan.tracker == NO_TRACKER else lambda: cast(Tracker, TRACKERS.make(plan.tracker)),
            make_sinks=lambda: _sinks(plan, folder, spec, info, callback),
            identity=plan.identity(spec),
            batch=plan.batch,
            lanes=1 if info.live else min(session.lanes for session in self.sessions),
            stride=plan.vid_stride,
            halt=halt,
            watch=watching.of(folder.name, min(filter(None, (info.declared, plan.max_frames)), default=None)),
        )
        try:
            return job.run()
        finally:
            watching.close()


@contextmanager
def made_ready(plan: Plan) -> Iterator[Ready]:
    """Open the sources and the models. What can be refused is refused here, before the run's folder is touched."""
    with ExitStack() as held:
        sources = _opened(plan, held)
        lives = [source.info.live for _, source in sources if not isinstance(source, ThroughlineError)]
        lanes = sum(lives) if all(lives) else MOST
        sessions = tuple(held.enter_context(_session(plan, model, lanes)) for model in plan.models)
        first = next(source.info for _, source in sources if not isinstance(source, ThroughlineError))
        if not plan.batch:
            batch = min(map(_batch, sessions, _detectors(plan, sessions, (first.height, first.width)).values()))
            plan = dataclasses.replace(plan, batch=batch)
        yield Ready(plan, tuple(sources), sessions)


def _opened(plan: Plan, held: ExitStack) -> list[tuple[str, Source | ThroughlineError]]:
    """Every source, or why it cannot be read; one that cannot does not stop the others, but none at all is an error."""
    asked = ("start", "end", "max_frames", "hwaccel", "policy", "reconnect", "stall_timeout")
    options = {name: value for name in asked if (value := getattr(plan, name)) is not None}
    if len(plan.sources) > 1 and plan.device != "cpu" and detect().gpus:
        options["workers"] = 1  # several files run at once: each is decoded by a process of its own
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


def _session(plan: Plan, model: ModelPlan, lanes: int) -> Session:
    now = read_artifact(model.path).sha256
    if now != model.sha256:
        raise PassportMismatch(
            f"{model.path}: the model changed since the run was begun: sha256 was {model.sha256}, is {now}",
            "give back the model it was begun with, or begin a new run",
        )
    return open_model(
        model.path,
        backend=plan.backend,
        device=plan.device,
        threads=plan.threads or None,
        lanes=lanes,
        max_batch=plan.batch or None,
        trust=plan.trust,
        class_=model.builds,
    )


def _batch(session: Session, detector: Detector) -> int:
    """One frame a call on a CPU, where calls go side by side; on a GPU as many as its memory takes."""
    if session.device == "cpu":
        return 1

    def run(frames: int) -> None:
        pixels = detector.buffer(frames)
        pixels.fill(0)
        detector.predict(pixels)

    needed = bytes_per_frame(session, run, MOST)
    memory = gpu_memory(int(session.device.removeprefix("gpu:")))
    return 1 if needed is None else fitting_batch(memory.total - memory.used, needed)


def _detectors(plan: Plan, sessions: Sequence[Session], frame: tuple[int, int]) -> dict[str, Detector]:
    """The models by name, ready for frames of this height and width."""
    return {
        model.name: _detector(plan, model, session, frame) for model, session in zip(plan.models, sessions, strict=True)
    }


def _detector(plan: Plan, model: ModelPlan, session: Session, frame: tuple[int, int]) -> Detector:
    facts = DECODERS.get(model.decoder).facts
    preprocess = facts.get("preprocess", PLAIN)
    frame = (frame[0] or model.imgsz, frame[1] or model.imgsz)
    return Detector(
        session,
        DECODERS.make(model.decoder),
        model.canvas or canvas_for(frame, model.imgsz, model.stride, dynamic=not preprocess.stretch),
        model.labels,
        plan.conf,
        plan.iou,
        plan.max_det,
        model.classes,
        preprocess,
        facts.get("feeds", {}),
    )


def _sinks(plan: Plan, folder: Path, spec: str, info: SourceInfo, callback: Callback | None) -> list[Sink]:
    names = tuple(model.name for model in plan.models)
    every = Detections.together([Detections.empty(model.labels) for model in plan.models], names)
    labels, several = (every.labels, names) if len(names) > 1 else (plan.models[0].labels, ())
    sinks = []
    for name in plan.save:
        options = {"sound": Path(spec)} if name == "video" and kind_of(spec) == "file" else {}
        sinks.append(cast(Sink, SINKS.make(name, folder, info=info, labels=labels, models=several, **options)))
    if callback is not None:
        sinks.append(
            cast(Sink, SINKS.make("callback", folder, info=info, labels=labels, models=several, call=callback))
        )
    return sinks


@final
class _Watching:
    """Whoever watches the jobs: the terminal, one line for all that run at once, and the live page."""

    def __init__(self, several: bool, page: LivePage | None) -> None:
        self._several, self._page = several, page
        self._lock = threading.Lock()
        self._progress: Progress | None = None
        self._totals: dict[str, int | None] = {}
        self._done: dict[str, tuple[int, int]] = {}

    def of(self, name: str, total: int | None) -> Callable[[Moment], None]:
        """What a job of this name and so many frames tells its moments to."""
        with self._lock:
            if not self._several:
                self._done, self._totals = {}, {}
            self._totals[name] = total
            known = None if None in self._totals.values() else sum(filter(None, self._totals.values()))
            self._progress = Progress(f"{len(self._totals)} sources" if len(self._totals) > 1 else name, known)

        def hear(moment: Moment) -> None:
            with self._lock:
                self._done[name] = moment.accounting.decoded, moment.detections
                frames, found = map(sum, zip(*self._done.values(), strict=True))
                if self._progress is not None:
                    self._progress.show(frames, found)
            if self._page is not None:
                expected = dataclasses.replace(moment.accounting, declared=total)
                self._page.show(dataclasses.replace(moment, source=name, accounting=expected))

        return hear

    def close(self) -> None:
        """A job is over: leave the terminal's line to whoever writes next."""
        with self._lock:
            if self._progress is not None:
                self._progress.close()

    def ended(self, name: str, said: str) -> None:
        """How it ended."""
        if self._page is not None:
            self._page.ended(name, said)
