"""``throughline demo``: the whole idea in one command, on nothing but what the package ships."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from throughline import settings
from throughline.bundled import DETECTOR
from throughline.contracts.errors import InputError
from throughline.contracts.runs import Accounting
from throughline.contracts.streams import SourceInfo
from throughline.models.artifact import read_artifact
from throughline.models.session import open_model
from throughline.terminal import fields, note, table
from throughline.testing.world import World
from throughline.video.sinks import SINKS, in_one_part
from throughline.vision.decoders import DECODERS
from throughline.vision.letterbox import Letterbox


@dataclass(frozen=True, slots=True)
class DemoReport:
    """Where the demo's video is, and how fast it went."""

    video: Path
    accounting: Accounting
    detections: int
    backend: str
    seconds: float
    frames_per_second: float
    stage_ms: dict[str, float]

    def __str__(self) -> str:
        whole = sum(self.stage_ms.values())
        stages = [(name, f"{ms:.2f} ms", f"{100 * ms / whole:.0f} %") for name, ms in self.stage_ms.items()]
        return "\n".join(
            [
                fields(
                    [
                        ("video", str(self.video)),
                        ("frames", str(self.accounting)),
                        ("found", f"{self.detections / self.accounting.inferred:.1f} objects a frame"),
                        ("ran on", self.backend),
                        ("speed", f"{self.frames_per_second:.1f} frames per second, {self.seconds:.1f} s in all"),
                    ]
                ),
                "",
                table(("stage", "per frame", "share"), stages),
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
    batch: int | None = None,
    conf: float | None = None,
    iou: float | None = None,
    profile: str | None = None,
    config: Path | None = None,
) -> DemoReport:
    """Render a street, find what moves on it with the bundled model, and write an annotated video.

    Args:
        out: The folder for the video.
        frames: How many frames to render.
        seed: Which street.
        backend: The runtime: auto, onnxruntime or openvino.
        device: Where to run: auto, cpu, gpu or gpu:N.
        threads: CPU threads for the model; 0 is every core.
        batch: The most frames in one call of the model.
        conf: The least confidence that counts as a detection.
        iou: Two boxes that overlap more are one object.
        profile: Start from this profile: cpu, small_gpu, big_gpu or debug.
        config: Read settings from this TOML or JSON file.
    """
    if not 1 <= frames <= 1_000_000:
        raise InputError(f"--frames {frames}: there must be something to show", "give 1 to 1,000,000")
    flags = {"backend": backend, "device": device, "threads": threads, "batch": batch, "conf": conf, "iou": iou}
    chosen = settings.resolve(profile=profile, config=config, flags=flags)

    model = read_artifact(DETECTOR)
    decode = DECODERS.make(model.passport.decoder or "yolo")
    world = World(seed=seed)
    fit = Letterbox.fit((world.height, world.width), model.passport.imgsz or (world.height, world.width))
    info = SourceInfo(f"street {seed}", world.width, world.height, Fraction(world.fps), declared=frames)
    video, stage_seconds, found = out / "annotated.mp4", dict.fromkeys(_STAGES, 0.0), 0

    @contextmanager
    def timed(stage: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        stage_seconds[stage] += time.perf_counter() - start

    with (
        open_model(
            DETECTOR,
            backend=chosen.backend,
            device=chosen.device,
            threads=chosen.threads or None,
            max_batch=chosen.batch,
        ) as session,
        in_one_part(SINKS.make("video", out, info=info, labels=model.labels)) as sink,
    ):
        note(f"rendering {frames} frames of street {seed} and looking for {', '.join(model.labels)}")
        began, inferred, coming = time.perf_counter(), 0, world.frames(frames)
        buffer = np.empty((chosen.batch, 3, *fit.canvas), np.float32)
        while True:
            with timed("render"):
                taken = [frame for frame, _ in itertools.islice(coming, chosen.batch)]
            if not taken:
                break
            with timed("letterbox"):
                for slot, frame in zip(buffer, taken, strict=False):
                    fit.apply(frame.image, slot)
            with timed("model"):
                outputs = session.predict({model.inputs[0].name: buffer[: len(taken)]})
            with timed("decode"):
                results = decode(
                    outputs,
                    [fit] * len(taken),
                    labels=model.labels,
                    conf=chosen.conf,
                    iou=chosen.iou,
                    max_det=chosen.max_det,
                )
            with timed("draw and encode"):
                for frame, detections in zip(taken, results, strict=True):
                    sink.write(frame, detections)
            inferred += len(results)
            found += sum(map(len, results))
        seconds = time.perf_counter() - began
        ran_on = str(session)

    return DemoReport(
        video=video,
        accounting=Accounting(frames, inferred),
        detections=found,
        backend=ran_on,
        seconds=seconds,
        frames_per_second=inferred / seconds,
        stage_ms={name: 1000 * spent / inferred for name, spent in stage_seconds.items()},
    )


_STAGES = ("render", "letterbox", "model", "decode", "draw and encode")
