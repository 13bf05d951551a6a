"""Decoding one long file in this process against decoding it in several, in turns; and what the rule makes of it.

    python benchmarks/decoding.py [--workers 2] [--rounds 5] [--frames 600] [--codecs mjpeg,mpeg4,h264]

The clips are 1080p, made here: the synthetic street with the grain of a sensor. Each figure is
a process of its own that reads every frame and looks at it as a model with a 640 pixel input
would. Timed from the first call to the last frame, so starting the workers counts; processor
time is that of all processes.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

WIDTH, HEIGHT = 1920, 1080
CODECS = {
    "mjpeg": ("mjpeg", "yuvj420p", "mkv", {"qmin": "3", "qmax": "3"}),
    "mpeg4": ("mpeg4", "yuv420p", "mp4", {"b": "12000000", "g": "48"}),
    "h264": ("libx264", "yuv420p", "mp4", {"preset": "veryfast", "crf": "23", "g": "60"}),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--frames", type=int, default=600)
    parser.add_argument("--codecs", default=",".join(CODECS))
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        print(json.dumps(measured(Path(asked.child[0]), int(asked.child[1]))))
        return
    from throughline.hardware import cores, detect
    from throughline.terminal import table
    from throughline.video.sources._cuts import workers_for

    machine = f"{detect().cpu.model}, {cores()} cores"
    print(f"{machine}; {asked.frames} frames of 1080p, medians of {asked.rounds} rounds in turn")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for codec in asked.codecs.split(","):
            clip = written(Path(folder), codec, asked.frames)
            here, there = [], []
            for _ in range(asked.rounds):
                here.append(in_a_process(clip, 0))
                there.append(in_a_process(clip, asked.workers))
            ratios = sorted(one["wall"] / two["wall"] for one, two in zip(here, there, strict=True))
            rows.append(
                (
                    codec,
                    f"{asked.frames / statistics.median(one['wall'] for one in here):.0f}",
                    f"{asked.frames / statistics.median(one['wall'] for one in there):.0f}",
                    f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})",
                    f"{1000 * statistics.median(one['cpu'] for one in here) / asked.frames:.1f}",
                    f"{1000 * statistics.median(one['cpu'] for one in there) / asked.frames:.1f}",
                    str(workers_for(clip, {}, cores())),
                )
            )
            clip.unlink()
    heads = ("codec", "fps here", f"fps, {asked.workers} workers", "faster", "CPU ms here", "CPU ms", "rule")
    print(table(heads, rows))


def in_a_process(clip: Path, workers: int) -> dict[str, float]:
    ran = subprocess.run(
        [sys.executable, __file__, "--child", str(clip), str(workers)], capture_output=True, text=True, check=False
    )
    if ran.returncode:
        raise SystemExit(ran.stderr)
    told: dict[str, float] = json.loads(ran.stdout)
    return told


def measured(clip: Path, workers: int) -> dict[str, float]:
    import cv2  # noqa: F401  # what everybody needs is loaded before the clock runs

    from throughline.video.sources import open_sources
    from throughline.vision.scaling import scaled

    [source] = open_sources([str(clip)], workers=workers)
    began, used = time.perf_counter(), processor_time()
    frames = sum(len(scaled(frame.picture, (360, 640))) == 360 for frame in source.frames())
    wall = time.perf_counter() - began
    source.close()
    return {"wall": wall, "cpu": processor_time() - used, "frames": frames}


def processor_time() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def written(folder: Path, codec: str, count: int) -> Path:
    import av
    import cv2

    from throughline.testing.world import World

    name, layout, ending, options = CODECS[codec]
    street = [frame.image for frame, _ in World(seed=7).frames(24)]
    dice = np.random.default_rng(1)
    grain = dice.normal(0, 4, (HEIGHT + 64, WIDTH + 64, 1)).astype(np.int8)
    path = folder / f"{codec}.{ending}"
    with av.open(str(path), "w") as media:
        stream: Any = media.add_stream(name, rate=Fraction(30), options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, layout
        for number in range(count):
            there = number % 24 if number // 24 % 2 == 0 else 23 - number % 24
            picture = cv2.resize(street[there], (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
            x, y = dice.integers(0, 64, 2)
            noisy = np.clip(picture.astype(np.int16) + grain[y : y + HEIGHT, x : x + WIDTH], 0, 255).astype(np.uint8)
            for packet in stream.encode(av.VideoFrame.from_ndarray(noisy, format="rgb24")):
                media.mux(packet)
        for packet in stream.encode():
            media.mux(packet)
    return path


if __name__ == "__main__":
    main()
