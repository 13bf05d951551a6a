"""Small clips of the synthetic street in every container and codec that the tests need."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from throughline.testing.world import World

WIDTH, HEIGHT, RATE = 160, 96, 25

KINDS = {
    "h264.mp4": ("libx264", {"g": "12", "bf": "2"}),
    "h264.mkv": ("libx264", {"g": "12", "bf": "2"}),
    "h264.ts": ("libx264", {"g": "12", "bf": "2"}),
    "hevc.mp4": ("libx265", {"g": "12", "x265-params": "log-level=none:pools=1:frame-threads=1"}),
    "hevc.ts": ("libx265", {"g": "12", "x265-params": "log-level=none:pools=1:frame-threads=1"}),
    "vp9.mkv": ("libvpx-vp9", {"g": "12", "deadline": "realtime", "cpu-used": "8"}),
    "mpeg4.avi": ("mpeg4", {"g": "12", "b": "2000000"}),
    "mpeg4.mkv": ("mpeg4", {"g": "12", "b": "2000000"}),
    "mjpeg.avi": ("mjpeg", {"b": "4000000"}),
    "mjpeg.mkv": ("mjpeg", {"b": "4000000"}),
}

_CACHED: dict[int, list[np.ndarray]] = {}


def street(count: int) -> list[np.ndarray]:
    if count not in _CACHED:
        world = World(width=WIDTH, height=HEIGHT, seed=3)
        _CACHED[count] = [frame.image for frame, _ in world.frames(count)]
    return _CACHED[count]


def write(
    path: Path,
    images: Sequence[np.ndarray],
    codec: str = "libx264",
    options: dict[str, str] | None = None,
    *,
    times: Sequence[int] | None = None,
    base: Fraction = Fraction(1, RATE),
    pix_fmt: str = "yuv420p",
    matrix: Sequence[int] | None = None,
    colour: tuple[int, int] | None = None,
) -> Path:
    with av.open(str(path), "w", options={"fflags": "+bitexact"}) as container:  # the same bytes on every run
        stream = container.add_stream(codec, rate=RATE, options=options or {})
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else pix_fmt
        stream.codec_context.time_base = base
        stream.codec_context.thread_count = 1
        if colour is not None:
            stream.codec_context.colorspace, stream.codec_context.color_range = colour
        if matrix is not None:
            stream.set_display_matrix(matrix)
        for number, image in enumerate(images):
            picture = av.VideoFrame.from_ndarray(image, format="rgb24")
            if colour is not None:
                names = {1: "ITU709", 6: "ITU601", 9: "BT2020"}
                picture = picture.reformat(
                    format=pix_fmt,
                    src_color_range="JPEG",
                    dst_colorspace=names[colour[0]],
                    dst_color_range="JPEG" if colour[1] == 2 else "MPEG",
                )
            picture.pts, picture.time_base = number if times is None else times[number], base
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return path


def write_kind(folder: Path, kind: str, count: int = 36) -> Path:
    codec, options = KINDS[kind]
    return write(folder / kind, street(count), codec, options)
