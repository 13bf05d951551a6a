"""Whether an MP4 leaves pictures out on purpose: its edit list is believed where all that it says of lengths agrees.

A trimmed clip keeps every picture and shows some. A damaged one can look the same; but then
the lengths of its movie, its track, its media and its samples contradict one another.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

_MOST_INDEX, _MOST_SAMPLES, _MOST_BOXES = 2**28, 10**7, 10_000
_USUAL_CLOCKS = {11988, 23976, *range(1, 121)}
_Boxes = Iterator[tuple[bytes, bytes]]


def is_trimmed(path: Path, track: int) -> bool:
    """Whether this track's edit list hides pictures, and can be believed."""
    try:
        return _hides_and_agrees(_movie(path), track, min(_MOST_SAMPLES, path.stat().st_size))
    except (struct.error, ValueError, KeyError, IndexError, OverflowError, StopIteration, OSError):
        return False


def _hides_and_agrees(movie: bytes, wanted: int, most: int) -> bool:
    scale, length = _length_of(next(data for name, data in _inside(movie) if name == b"mvhd"))
    tracks = [dict(_deep(data)) for name, data in _inside(movie) if name == b"trak"]
    found = next(one for one in tracks if one[b"hdlr"][8:12] == b"vide" and _track(one)[0] == wanted)
    edits = list(_edits(found[b"elst"]))
    shown = [(at, lasts) for lasts, at in edits if at >= 0]
    ticks, media = _length_of(found[b"mdhd"])
    starts, step = _samples(found, most)
    begins = min(at for at, _ in shown)
    ends = max(at + lasts / scale * ticks for at, lasts in shown)
    first, last = float(starts.min()), float(starts.max())
    if ends > last and begins <= first:
        return False
    declared = max(_track(one)[1] for one in tracks)
    if abs(sum(lasts for lasts, _ in edits) - _track(found)[1]) > len(edits) or abs(declared - length) > 1:
        return False
    # where pictures are hidden at the end, the media goes on after it, and its length is that of its samples
    return ends > last or (begins > first - step and media > ends and last + step - media <= first + step / 2)


def _movie(path: Path) -> bytes:
    """The box that describes everything."""
    with path.open("rb") as file:
        for _ in range(_MOST_BOXES):
            head = file.read(16)
            size, name = struct.unpack_from(">I4s", head)
            header = 16 if size == 1 else 8
            size = int(struct.unpack_from(">Q", head, 8)[0]) if size == 1 else size
            if name == b"moov" and size <= _MOST_INDEX:
                file.seek(header - len(head), 1)
                return file.read(size - header)
            if size < header:
                break
            file.seek(size - len(head), 1)
    raise ValueError("it has no index")


def _inside(data: bytes) -> _Boxes:
    at = 0
    while at + 8 <= len(data):
        size, name = struct.unpack_from(">I4s", data, at)
        if size < 8 or at + size > len(data):
            raise ValueError("a box does not fit")
        yield name, data[at + 8 : at + size]
        at += size


def _deep(track: bytes) -> _Boxes:
    for name, data in _inside(track):
        if name in (b"edts", b"mdia", b"minf", b"stbl"):
            yield from _deep(data)
        else:
            yield name, data


def _length_of(header: bytes) -> tuple[int, int]:
    """Ticks in a second, and the length in ticks."""
    long = ">IQ" if header[0] else ">II"
    ticks, length = struct.unpack_from(long, header, 20 if header[0] else 12)
    if not ticks:
        raise ValueError("it has no clock")
    if ticks % 10 and ticks not in _USUAL_CLOCKS:
        raise ValueError("nobody chooses such a clock; a flipped bit does")
    return ticks, length


def _track(boxes: dict[bytes, bytes]) -> tuple[int, int]:
    """A track's number and its length on the movie's clock."""
    header = boxes[b"tkhd"]
    number, _, length = struct.unpack_from(">IIQ" if header[0] else ">III", header, 20 if header[0] else 12)
    return number, length


def _edits(table: bytes) -> Iterator[tuple[int, int]]:
    """How long each lasts on the movie's clock, and where on the media's it begins; -1 where it shows nothing."""
    each = ">Qqi" if table[0] else ">Iii"
    for entry in range(struct.unpack_from(">I", table, 4)[0]):
        lasts, at, _ = struct.unpack_from(each, table, 8 + entry * struct.calcsize(each))
        yield lasts, at


def _samples(boxes: dict[bytes, bytes], most: int) -> tuple[npt.NDArray[Any], float]:
    """When each picture begins on the media's clock, and how long one typically lasts."""
    stored = int(struct.unpack_from(">I", boxes[b"stsz"], 8)[0])
    if not 0 < stored <= most:
        raise ValueError("it cannot hold so many pictures")
    lasts = _runs(boxes[b"stts"], ">u4", stored)
    starts = np.cumsum(lasts) - lasts
    if b"ctts" in boxes:
        starts = starts + _runs(boxes[b"ctts"], ">i4", stored)
    return starts, float(np.median(lasts))


def _runs(table: bytes, kind: str, stored: int) -> npt.NDArray[Any]:
    entries = int(struct.unpack_from(">I", table, 4)[0])
    counts = np.frombuffer(table, ">u4", 2 * entries, 8)[::2].astype(np.int64)
    values = np.frombuffer(table, kind, 2 * entries, 8)[1::2].astype(np.int64)
    if counts.sum() != stored:
        raise ValueError("its tables disagree about how many pictures there are")
    return np.repeat(values, counts)
