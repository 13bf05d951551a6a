"""Whether a long run takes more memory at its end than at its beginning.

    python benchmarks/memory.py [--frames 20000]

A clip of that many frames is made, and run with the bundled detector, the tracker and
JSONL; its input is made small, so that it does not take long. Memory is what the process
holds of its own (private pages, after the allocator has given back what is free), every
thousand frames; growth is counted from the third on, when every buffer and cache has been
filled once.
"""

from __future__ import annotations

import argparse
import ctypes
import tempfile
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import psutil

from throughline import run
from throughline.bundled import DETECTOR
from throughline.contracts.detections import Detections
from throughline.contracts.frames import Frame
from throughline.testing.world import World

EVERY = 1000


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--frames", type=int, default=20_000)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        clip = _clip(Path(folder) / "clip.mp4", asked.frames)
        process, held = psutil.Process(), []

        def hear(frame: Frame, _: Detections) -> None:
            if frame.index % EVERY == EVERY - 1:
                ctypes.CDLL(None).malloc_trim(0)
                held.append(process.memory_full_info().uss / 2**20)
                print(f"{frame.index + 1:>7,} frames  {held[-1]:7.1f} MiB", flush=True)

        report = run(clip, model=DETECTOR, out=Path(folder) / "run", save="jsonl", imgsz=160, callback=hear)
        print(f"{report.frames_per_second:.0f} frames per second; {report.backend}")
        print(f"growth from {3 * EVERY:,} to {asked.frames:,} frames: {max(held[3:]) - held[2]:+.1f} MiB")


def _clip(path: Path, frames: int) -> str:
    street = [frame.image for frame, _ in World(seed=7, width=320, height=192).frames(60)]
    with av.open(str(path), "w") as media:
        stream: Any = media.add_stream("libx264", rate=Fraction(30), options={"preset": "ultrafast", "crf": "23"})
        stream.width, stream.height, stream.pix_fmt = 320, 192, "yuv420p"
        for number in range(frames):
            there = number % 60 if number // 60 % 2 == 0 else 59 - number % 60
            picture = np.roll(street[there], number // 240, axis=1)
            for packet in stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")):
                media.mux(packet)
        for packet in stream.encode():
            media.mux(packet)
    return str(path)


if __name__ == "__main__":
    main()
