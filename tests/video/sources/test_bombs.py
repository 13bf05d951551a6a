"""Pictures and videos that declare far more than they hold are refused before the memory is taken."""

from __future__ import annotations

import struct
import subprocess
import sys
import zlib
from pathlib import Path

import av
import clips
import cv2
import numpy as np
import pytest

CAP = 200 * 2**20
"""How much more memory the reading may take than the libraries take when they are loaded."""

CHILD = """
import re, sys
from pathlib import Path
import av, cv2, numpy
from throughline.contracts.errors import ThroughlineError
from throughline.video.sources import open_sources
warm, path = sys.argv[1:]
list(open_sources([warm])[0].frames())
def peak():  # of this program: what the system counts for a process begins with what its parent held
    return 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
before = peak()
try:
    [source] = open_sources([path])
    print("read", sum(1 for _ in source.frames()))
except ThroughlineError as error:
    print("refused", error.problem)
print(peak() - before)
"""


def read_in_a_child(warm: Path, path: Path) -> tuple[str, int]:
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(warm), str(path)], capture_output=True, text=True, timeout=60, check=True
    )
    said, taken = done.stdout.strip().rsplit("\n", 1)
    return said, int(taken)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(side: int) -> bytes:
    rows = zlib.compress(bytes(2**20))
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def bmp(side: int) -> bytes:
    return (
        b"BM" + struct.pack("<IHHIIiiHHIIiiII", 4096, 0, 0, 54, 40, side, side, 1, 24, 0, 0, 0, 0, 0, 0) + bytes(4096)
    )


def tiff(side: int) -> bytes:
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in ((256, side), (257, side)))
    return b"II*\0" + struct.pack("<IH", 8, 2) + entries + bytes(64)


def jpeg(side: int) -> bytes:
    data = bytearray(cv2.imencode(".jpg", np.zeros((16, 16, 3), np.uint8))[1].tobytes())
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", side, side)
    return bytes(data)


@pytest.mark.parametrize(("name", "make"), [("a.png", png), ("a.bmp", bmp), ("a.tif", tiff), ("a.jpg", jpeg)])
def test_a_picture(tmp_path: Path, name: str, make) -> None:
    warm, path = tmp_path / "warm.png", tmp_path / name
    cv2.imwrite(str(warm), np.zeros((64, 64, 3), np.uint8))
    path.write_bytes(make(30_000))
    said, taken = read_in_a_child(warm, path)
    assert "30000x30000" in said
    assert taken < CAP


def raw_video(path: Path, side: int) -> Path:
    """An AVI of almost nothing whose header says how large its pictures are."""
    small = clips.write(path.with_suffix(".avi"), clips.street(4), "ffv1")
    data = bytearray(small.read_bytes())
    at = data.index(b"strf") + 8
    struct.pack_into("<ii", data, at + 4, side, side)
    path.write_bytes(bytes(data))
    return path


def test_a_video_by_its_header(tmp_path: Path) -> None:
    warm = clips.write_kind(tmp_path, "h264.mp4", 8)
    said, taken = read_in_a_child(warm, raw_video(tmp_path / "bomb", 32_000))
    assert said.startswith("refused")
    assert taken < CAP


def test_a_video_by_its_pictures(tmp_path: Path) -> None:
    """The container says 160x96; what is in it says 30000x30000."""
    warm, path = clips.write_kind(tmp_path, "h264.mp4", 8), tmp_path / "inside.mkv"
    with av.open(str(path), "w") as media:
        stream = media.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuvj420p"
        for number in range(4):
            for packet in stream.encode(av.VideoFrame.from_ndarray(clips.street(4)[number], format="rgb24")):
                data = bytearray(bytes(packet))
                at = data.index(b"\xff\xc0")
                data[at + 5 : at + 9] = struct.pack(">HH", 30_000, 30_000)
                bomb = av.Packet(bytes(data))
                bomb.stream, bomb.pts, bomb.dts, bomb.time_base = stream, number, number, packet.time_base
                media.mux(bomb)
    said, taken = read_in_a_child(warm, path)
    assert said.startswith("refused")
    assert taken < CAP


def test_the_measure_would_notice(tmp_path: Path) -> None:
    warm, path = tmp_path / "warm.png", tmp_path / "large.png"
    cv2.imwrite(str(warm), np.zeros((64, 64, 3), np.uint8))
    cv2.imwrite(str(path), np.zeros((9_000, 9_000, 3), np.uint8))
    said, taken = read_in_a_child(warm, path)
    assert said == "read 1"
    assert taken > CAP
