"""``throughline demo``: the whole job on a street that is known to the last pixel, so that it can be marked."""

from __future__ import annotations

import logging
import shlex
import shutil
import sys
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from throughline import settings
from throughline.bundled import DETECTOR
from throughline.contracts.errors import InputError, ThroughlineError
from throughline.contracts.frames import Frame
from throughline.contracts.runs import Accounting
from throughline.contracts.streams import SourceInfo
from throughline.evaluation.boxes import BoxScores, score_boxes
from throughline.evaluation.results import read_results
from throughline.evaluation.tracks import TrackScores, score_tracks
from throughline.models.session import open_model
from throughline.terminal import fields, note
from throughline.testing.world import LABELS, Truth, World, write_video
from throughline.verbs.run import run
from throughline.video.halt import INTERRUPTED, halting_on_signals
from throughline.video.journal import only_one
from throughline.video.progress import Progress
from throughline.video.sinks import SINKS, in_one_part

_MARK = ".demo"
"""Lies in a folder that a demo made, which the next demo may therefore replace."""
_LOCK = ".lock"


@dataclass(frozen=True, slots=True)
class DemoReport:
    """What the demo left, how right it was, and how fast it went."""

    video: Path
    report: Path | None
    results: Path
    truth: Path
    accounting: Accounting
    detections: int
    boxes: BoxScores
    tracks: TrackScores
    backend: str
    seconds: float
    frames_per_second: float
    stage_ms: dict[str, float]

    def __str__(self) -> str:
        boxes, tracks = self.boxes, self.tracks
        switches = f"{tracks.switches:,} {'switch' if tracks.switches == 1 else 'switches'}"
        return fields(
            [
                ("video", str(self.video)),
                ("report", str(self.report or "")),
                ("frames", str(self.accounting)),
                (
                    "boxes",
                    f"mAP50-95 {boxes.map50_95:.3f}, mAP50 {boxes.map50:.3f}"
                    f" against the truth: {self.detections:,} found, {boxes.objects:,} there",
                ),
                (
                    "tracks",
                    f"IDF1 {tracks.idf1:.3f}, MOTA {tracks.mota:.3f}, HOTA {tracks.hota:.3f}"
                    f" against the truth: {tracks.tracks:,} found, {tracks.objects:,} there, {switches}",
                ),
                ("speed", f"{self.frames_per_second:.1f} frames per second, {self.seconds:.1f} s in all"),
                ("stages", ", ".join(f"{name} {ms:.1f} ms" for name, ms in self.stage_ms.items())),
                ("ran on", self.backend),
                (
                    "next",
                    f"{_command()} inspect your-model.onnx\n"
                    f"{_command()} run your-video.mp4 --model your-model.onnx --save jsonl,video",
                ),
            ]
        )


def demo(
    *,
    out: Path = Path("runs/demo"),
    frames: int = 300,
    seed: int = 7,
    backend: str | None = None,
    device: str | None = None,
    threads: int | None = None,
) -> DemoReport:
    """Film a street whose truth is known, do the whole job on the video, and say how right and how fast it was.

    Args:
        out: The demo's folder; that of an earlier demo is replaced.
        frames: How many frames to film.
        seed: Which street.
        backend: The runtime: auto, onnxruntime or openvino.
        device: Where to run: auto, cpu, gpu or gpu:N.
        threads: CPU threads for the model; 0 is every core.
    """
    if not 1 <= frames <= 100_000:
        raise InputError(f"--frames {frames}: there must be something to show", "give 1 to 100,000")
    world = World(seed=seed, width=1280, height=768)
    _refuse_what_is_no_demo(out)
    _refuse_what_cannot_run({"backend": backend, "device": device, "threads": threads})
    with only_one(out):
        _clear(out)
        clip, truth = _film(world, frames, out)
    ran = run(
        str(clip),
        model=DETECTOR,
        out=out,
        save="jsonl,video,samples",
        backend=backend,
        device=device,
        threads=threads,
    )
    if ran.exit_code == INTERRUPTED:
        raise KeyboardInterrupt
    [outcome] = ran.sources
    if ran.exit_code:
        raise ThroughlineError(f"{clip}: the demo's own video was not read whole: {outcome.why}", f"see {ran.report}")
    written = {path.name: path for path in outcome.files}
    results = written["detections.jsonl"]
    return DemoReport(
        video=written["annotated.mp4"],
        report=ran.report,
        results=results,
        truth=truth,
        accounting=outcome.accounting,
        detections=outcome.detections,
        boxes=score_boxes(read_results(results, LABELS), read_results(truth, LABELS)),
        tracks=score_tracks(read_results(results, LABELS), read_results(truth, LABELS)),
        backend=ran.backend,
        seconds=ran.seconds,
        frames_per_second=ran.frames_per_second,
        stage_ms=ran.stage_ms,
    )


def _refuse_what_is_no_demo(out: Path) -> None:
    try:
        names = {path.name for path in out.iterdir()} if out.exists() else set()
    except OSError as error:
        raise InputError(f"{out}: cannot be read as a folder: {error.strerror}", "give a new folder as --out") from None
    if names - {_LOCK} and _MARK not in names:
        raise InputError(f"{out} holds something that no demo made", "give a new folder as --out")


def _refuse_what_cannot_run(flags: Mapping[str, Any]) -> None:
    """Before anything is filmed. What runs the model is said when it is opened for the run."""
    chosen = settings.resolve(flags=flags)
    logging.disable(logging.INFO)
    try:
        open_model(DETECTOR, backend=chosen.backend, device=chosen.device, threads=chosen.threads or None).close()
    finally:
        logging.disable(logging.NOTSET)


def _clear(out: Path) -> None:
    try:
        (out / _MARK).touch()
        for path in out.iterdir():
            if path.name not in {_MARK, _LOCK}:
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    except OSError as error:
        raise InputError(f"{out}: cannot be replaced: {error.strerror}", "give a new folder as --out") from None


def _film(world: World, frames: int, out: Path) -> tuple[Path, Path]:
    """The street as a video file, and beside it what is really there, in the form of a run's results."""
    info = SourceInfo(f"street {world.seed}", world.width, world.height, Fraction(world.fps), declared=frames)
    progress, objects = Progress("filming", frames), 0
    with (
        halting_on_signals("leaving off filming (again to stop at once)") as halt,
        in_one_part(SINKS.make("jsonl", out / "truth", info=info, labels=LABELS)) as sink,
        closing(progress),
    ):
        note(f"filming {frames} frames of street {world.seed}, {world.width}x{world.height}")

        def told(frame: Frame, truth: Truth) -> None:
            nonlocal objects
            if halt.requested:  # asked for here, where it cannot be lost in the middle of an encoder
                raise KeyboardInterrupt
            objects += len(truth.detections)
            sink.write(frame, truth.detections)
            progress.show(frame.index + 1, objects)

        clip = write_video(world, out / "clip" / "street.mp4", frames, watch=told)
    return clip, out / "truth" / "detections.jsonl"


def _command() -> str:
    """How this program is called from here."""
    if shutil.which("throughline"):
        return "throughline"
    path = Path(sys.executable).with_name("throughline")
    with suppress(ValueError):
        path = path.relative_to(Path.cwd())
    return shlex.quote(str(path))
