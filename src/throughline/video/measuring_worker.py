"""A process that holds one model and measures it when it is told to: its memory and its processor time are its own.

    python -m throughline.video.measuring_worker SETUP

It says first what it holds, then answers each line on its input (the number of the turn, and how many frames a
whole run may take) with what that turn took. When the input ends, so does this process: whoever asked is gone.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

from throughline import settings
from throughline.contracts.artifacts import Array, Artifact
from throughline.contracts.errors import InputError, SourceFailed, ThroughlineError
from throughline.contracts.frames import Frame
from throughline.data.arrays import read_arrays
from throughline.evaluation.seeded import seeded_arrays
from throughline.models.artifact import read_artifact
from throughline.models.batching import begin_peak
from throughline.models.measuring import LEAST, STRETCH, Turn, peak_mb, processor_seconds, timed, warmed_up
from throughline.models.session import Session, open_model
from throughline.video.carry_out import Ready, made_ready
from throughline.video.halt import Halt
from throughline.video.plan import Plan
from throughline.video.planning import NO_TRACKER, planned
from throughline.video.sources import open_sources
from throughline.vision.canvas import canvas_for
from throughline.vision.detector import USUAL_SIZE, USUAL_STRIDE, Detector, detector_for, input_size

_FRAMES: Final = 16
_FROM: Final = 320
"""The frames are spread over the first so many of the source."""
_ROOM: Final = 64 * 2**20
"""Bytes of frames that are held at most, decoded as they are."""
_WARM_FRAMES: Final = 48
"""A whole run of so many frames is not counted."""


@dataclass(frozen=True, slots=True)
class Setup:
    """What is measured, and how: see the options of ``throughline bench``; a turn of calls takes ``seconds``."""

    level: str
    model: str
    backend: str
    device: str
    threads: int
    batch: int | None
    imgsz: int | None
    decoder: str | None
    source: str | None
    trust: bool
    scratch: str
    seconds: float = STRETCH
    class_: str | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """What a process that measures holds.

    Attributes:
        ran_on: the runtime, the device and the threads.
        device: where the model runs: "cpu", "gpu:0".
        inputs: what the model is given.
        fed: where that comes from.
        batch: rows or frames in a call.
        warm_up: what was done before anything is counted.
        seconds: what a frame took in the warm-up of a whole run; 0 where calls are measured.
        notes: what the user should know.
    """

    ran_on: str
    device: str
    inputs: tuple[str, ...]
    fed: str
    batch: int
    warm_up: str
    seconds: float
    notes: tuple[str, ...]


_Measure: TypeAlias = Callable[[int, int], Turn]


@contextmanager
def engine(setup: Setup) -> Iterator[tuple[Held, _Measure]]:
    """The model alone, on inputs made ready before."""
    artifact = read_artifact(Path(setup.model))
    with _opened(artifact, setup) as session:
        batch = _batch(artifact, setup)
        inputs, fed = _inputs(artifact, session, setup, batch)

        def call(number: int) -> object:
            return session.predict(inputs[number % len(inputs)])

        yield from _calls(session, setup, batch, call, inputs[0], fed)


@contextmanager
def frames(setup: Setup) -> Iterator[tuple[Held, _Measure]]:
    """From a decoded frame to what was found in it."""
    artifact = read_artifact(Path(setup.model))
    with _opened(artifact, setup) as session:
        batch = _batch(artifact, setup)
        groups, fed = _groups(setup, batch)
        detector = _detector(artifact, session, setup, groups[0][0].size)
        buffer = detector.buffer(batch)

        def call(number: int) -> object:
            fits = detector.fill(buffer, groups[number % len(groups)])
            return detector.read(detector.predict(buffer), fits)

        yield from _calls(session, setup, batch, call, detector.inputs_for(buffer), fed)


@contextmanager
def run(setup: Setup) -> Iterator[tuple[Held, _Measure]]:
    """A whole run: decoded, looked at, every result written. Opening the model is not counted."""
    asked = {
        "save": "jsonl", "tracker": NO_TRACKER, "backend": setup.backend, "device": setup.device,
        "threads": setup.threads, "decoder": setup.decoder, "imgsz": setup.imgsz, "batch": setup.batch,
        "trust": setup.trust, "class_": setup.class_, "max_frames": _WARM_FRAMES,
    }  # fmt: skip
    options = {name: value for name, value in asked.items() if value is not None}
    assert setup.source is not None
    plan = planned("", [setup.source], [Path(setup.model)], options)
    with made_ready(plan) as ready:
        [session] = ready.sessions
        warm = _carried_out(ready, Path(setup.scratch))
        begin_peak()

        def measure(turn: int, most: int) -> Turn:
            again = dataclasses.replace(ready.plan, max_frames=most)
            return _carried_out(_reopened(again, ready), Path(setup.scratch))

        held = _held(session, ready.plan.batch, (), "every frame, as it is decoded", f"a run of {warm.samples} frames")
        yield dataclasses.replace(held, seconds=warm.wall / warm.samples), measure


LEVELS: Final[Mapping[str, Callable[[Setup], Any]]] = {"engine": engine, "frames": frames, "run": run}


def takes_pictures(artifact: Artifact) -> bool:
    """Whether the first input is for pictures: batch x 3 x height x width."""
    try:
        input_size(artifact)
    except InputError:
        return False
    return True


def main() -> None:
    """Measure until there is nobody to measure for."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever asked hears it too, and ends this
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints is no answer
    setup = Setup(**json.loads(sys.argv[1]))
    try:
        with LEVELS[setup.level](setup) as (held, measure):
            print(json.dumps({"held": dataclasses.asdict(held)}), file=answers, flush=True)
            for line in sys.stdin:
                turn = measure(*json.loads(line))
                print(json.dumps({"turn": dataclasses.asdict(turn)}), file=answers, flush=True)
    except ThroughlineError as error:
        print(json.dumps({"error": [type(error).__name__, error.problem, error.fix]}), file=answers, flush=True)


def _opened(artifact: Artifact, setup: Setup) -> Session:
    of_weights = artifact.format in ("checkpoint", "safetensors")
    return open_model(
        setup.model, backend=setup.backend, device=setup.device, threads=setup.threads or None, trust=setup.trust,
        class_=setup.class_ if of_weights else None,
    )  # fmt: skip


def _batch(artifact: Artifact, setup: Setup) -> int:
    first = artifact.inputs[0].shape[:1] if artifact.inputs else ()
    fixed = next((rows for rows in first if isinstance(rows, int)), None)
    if fixed is not None and setup.batch not in (None, fixed):
        raise InputError(
            f"--batch {setup.batch}: {artifact.path} takes {fixed} at a time", "leave --batch away, or export it anew"
        )
    return fixed or setup.batch or 1


def _calls(
    session: Session, setup: Setup, batch: int, call: Callable[[int], object], inputs: Mapping[str, Array], fed: str
) -> Iterator[tuple[Held, _Measure]]:
    times = warmed_up(call, setup.seconds)
    session.warm_up(runs=0, feeds=inputs)  # its statistics begin anew
    begin_peak()

    def measure(turn: int, _: int) -> Turn:
        first = turn * LEAST
        return timed(
            lambda number: call(first + number), batch, seconds=setup.seconds,
            gpu_mb=lambda: session.get_performance_stats().gpu_mb,
        )  # fmt: skip

    shapes = tuple(f"{name} {one.dtype}[{', '.join(map(str, one.shape))}]" for name, one in inputs.items())
    yield _held(session, batch, shapes, fed, f"{times} calls"), measure


def _held(session: Session, batch: int, inputs: tuple[str, ...], fed: str, warm_up: str) -> Held:
    ran_on = str(session).removeprefix(f"{session.name}: ")
    return Held(ran_on, session.device, inputs, fed, batch, warm_up, 0.0, tuple(session.notes))


def _inputs(
    artifact: Artifact, session: Session, setup: Setup, batch: int
) -> tuple[Sequence[Mapping[str, Array]], str]:
    """Inputs that are ready for the model: arrays that were given, else real frames, else seeded ones."""
    if not artifact.inputs and not takes_pictures(artifact):  # what its file does not say, its runtime may know
        passport = dataclasses.replace(artifact.passport, inputs=session.inputs)
        artifact = dataclasses.replace(artifact, passport=passport)
    if setup.source is None or not takes_pictures(artifact):
        return _arrays(artifact, setup.source, batch)
    groups, fed = _groups(setup, batch)
    if setup.decoder or artifact.passport.decoder:
        detector = _detector(artifact, session, setup, groups[0][0].size)
    elif len(session.inputs) == 1:
        detector = Detector(session, _unread, _canvas(artifact, setup))
    else:
        return _arrays(artifact, None, batch)
    made = []
    for group in groups:
        buffer = detector.buffer(batch)
        detector.fill(buffer, group)
        made.append(detector.inputs_for(buffer))
    return made, fed


def _arrays(artifact: Artifact, source: str | None, batch: int) -> tuple[Sequence[Mapping[str, Array]], str]:
    if source is not None:
        given = read_arrays(source)
        rows = max(len(array) for array in given.values() if array.ndim)
        taken = [[(first + number) % rows for number in range(batch)] for first in range(0, min(rows, 1024), batch)]
        fed = f"{rows} rows of {Path(source).name}"
    else:
        try:
            given, rows = seeded_arrays(artifact, batch), batch
        except (TypeError, ValueError):
            raise InputError(
                f"{artifact.path}: nothing to measure it on: its file does not say what it takes",
                "give rows of its inputs: --source rows.npz, saved with numpy.savez(path, input=array)",
            ) from None
        taken, fed = [list(range(batch))], f"{batch} seeded {'row' if batch == 1 else 'rows'}: nobody gave real ones"
    return [
        {name: array[rows_] if array.ndim and len(array) == rows else array for name, array in given.items()}
        for rows_ in taken
    ], fed


def _groups(setup: Setup, batch: int) -> tuple[list[list[Frame]], str]:
    """Frames of the source, decoded and nothing more, as many together as go into a call."""
    assert setup.source is not None
    [source] = open_sources([setup.source], workers=0)
    try:
        step = max(1, min(source.info.declared or _FROM, _FROM) // _FRAMES)
        kept: list[Frame] = []
        for frame in itertools.islice(source.frames(), 0, _FROM, step):
            kept.append(frame)
            height, width = frame.size
            if len(kept) >= min(_FRAMES, max(batch, _ROOM // (height * width * 3 // 2))):
                break
    finally:
        source.close()
    if not kept:
        raise InputError(
            f"{setup.source}: gives no frame: there is nothing to measure", "give a video that can be read"
        )
    whole = itertools.cycle(kept)
    groups = [list(itertools.islice(whole, batch)) for _ in range(-(-len(kept) // batch))]
    size = "{1}x{0}".format(*kept[0].size)
    return groups, f"{len(kept)} frames of {size} of {Path(setup.source).name}"


def _detector(artifact: Artifact, session: Session, setup: Setup, frame: tuple[int, int]) -> Detector:
    chosen = settings.resolve()
    return detector_for(
        artifact, session, decoder=setup.decoder, frame=frame, imgsz=setup.imgsz,
        conf=chosen.conf, iou=chosen.iou, max_det=chosen.max_det,
    )  # fmt: skip


def _canvas(artifact: Artifact, setup: Setup) -> tuple[int, int]:
    """The input of a model whose outputs nobody can read: a square where its sides are open."""
    passport, longer = artifact.passport, setup.imgsz or USUAL_SIZE
    usual = passport.imgsz if passport.imgsz and setup.imgsz is None else (longer, longer)
    return input_size(artifact) or canvas_for(usual, max(usual), passport.stride or USUAL_STRIDE, dynamic=True)


def _unread(*_: object, **__: object) -> list[Any]:
    raise AssertionError("nobody asked what was found")


def _reopened(plan: Plan, ready: Ready) -> Ready:
    """The same models, and the source from its beginning."""
    [spec] = plan.sources
    return Ready(plan, ((spec, open_sources([spec], max_frames=plan.max_frames)[0]),), ready.sessions)


def _carried_out(ready: Ready, scratch: Path) -> Turn:
    folder = scratch / "run"
    [(spec, source)] = ready.sources
    try:
        began, cpu = time.perf_counter(), processor_seconds()
        [outcome] = ready.carry_out(folder, Halt(), None, None)
        wall, spent = time.perf_counter() - began, processor_seconds() - cpu
    finally:
        if not isinstance(source, ThroughlineError):
            source.close()
        shutil.rmtree(folder, ignore_errors=True)
    done = outcome.accounting.inferred
    if outcome.said not in ("COMPLETE", "GAPS"):
        raise SourceFailed(f"{spec}: {outcome.why}", "give a video that can be read")
    if not done:
        raise InputError(f"{spec}: gives no frame: there is nothing to measure", "give a video that can be read")
    [session] = ready.sessions
    return Turn((), done, wall, spent, peak_mb(), session.get_performance_stats().gpu_mb)


if __name__ == "__main__":
    main()
