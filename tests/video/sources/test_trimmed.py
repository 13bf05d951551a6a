from __future__ import annotations

import struct
from pathlib import Path

import clips
import pytest

from throughline.video.sources._mp4 import is_trimmed
from throughline.video.sources.file import FileSource

DELAY, STEP = 1024, 512
"""On the clock of the clip's media: when its first picture begins, and how long each lasts."""


def trimmed(path: Path, first: int, count: int) -> bytearray:
    """The clip as an editor leaves it that hides pictures: every length that it says agrees."""
    data = bytearray(path.read_bytes())
    lasts = 40 * count
    struct.pack_into(">II", data, data.index(b"elst") + 12, lasts, DELAY + first * STEP)
    struct.pack_into(">I", data, data.index(b"tkhd") + 24, lasts)
    struct.pack_into(">I", data, data.index(b"mvhd") + 20, lasts)
    return data


@pytest.mark.parametrize(("first", "count"), [(0, 10), (4, 10), (16, 8), (23, 1)])
def test_a_trimmed_clip_shows_what_it_shows_and_no_gap(tmp_path: Path, first: int, count: int) -> None:
    path = clips.write_kind(tmp_path, "h264.mp4", 24)
    path.write_bytes(trimmed(path, first, count))
    source = FileSource(str(path))
    assert len(list(source.frames())) == count
    assert source.gaps == ()
    assert source.info.declared is None
    assert is_trimmed(path, 1)


@pytest.mark.parametrize(
    ("box", "at", "value"),
    [(b"elst", 12, 200), (b"elst", 16, 0), (b"mvhd", 16, 2024), (b"stts", 16, 635), (b"mdhd", 16, 4608)],
)
def test_lengths_that_contradict_one_another_are_a_gap(tmp_path: Path, box: bytes, at: int, value: int) -> None:
    path = clips.write_kind(tmp_path, "h264.mp4", 24)
    data = bytearray(path.read_bytes())
    struct.pack_into(">I", data, data.index(box) + at, value)
    path.write_bytes(data)
    source = FileSource(str(path))
    given = len(list(source.frames()))
    assert source.gaps if given < 24 else not source.gaps
    assert not is_trimmed(path, 1)


def test_a_whole_clip_is_not_trimmed_and_nonsense_does_not_harm(tmp_path: Path) -> None:
    path = clips.write_kind(tmp_path, "h264.mp4", 24)
    good = path.read_bytes()
    assert not is_trimmed(path, 1)
    assert not is_trimmed(path, 7)
    huge = b"\0\0\0\1free" + b"\xff" * 8 + good
    for data in (b"", good[:-200], b"\0\0\0\1moov" + good, b"\0\0\0\x18moov\0\0\0\x10mvhd" + bytes(8), huge):
        path.write_bytes(data)
        assert not is_trimmed(path, 1)
