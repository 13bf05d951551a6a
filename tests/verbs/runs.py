"""What the tests of ``run`` share: a clip of moving squares, the command, and what a run left."""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path

from blobs import picture

CLI = [sys.executable, "-m", "throughline.cli", "run"]


def write_clip(path: Path, frames: int) -> Path:
    import av

    with av.open(str(path), "w") as file:
        stream = file.add_stream("mpeg4", rate=Fraction(10))
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = 64, 48, "yuv420p", 2_000_000
        for index in range(frames):
            file.mux(stream.encode(av.VideoFrame.from_ndarray(picture(index), format="rgb24")))
        file.mux(stream.encode(None))
    return path


def results(folder: Path) -> dict[str, bytes]:
    """Every file of a run but those that tell of times and places."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name not in {"report.html", "run.json"}
    }
