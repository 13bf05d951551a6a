"""Whether a Matroska file hangs together: a reader that loses its way in one begins again further on, in silence.

Only the names and lengths of the elements are read, down to the blocks that hold the
pictures, and which track each block is of: one of a track that is not there would be passed
over. A file written as a stream, whose lengths are not known, is not judged.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

_HEADER, _SEGMENT, _CLUSTER = 0x1A45DFA3, 0x18538067, 0x1F43B675
_TRACKS, _TRACK, _NUMBER = 0x1654AE6B, 0xAE, 0xD7
_SIMPLE_BLOCK, _GROUP, _BLOCK = 0xA3, 0xA0, 0xA1
_IN_FILE = {_HEADER, _SEGMENT, 0xEC, 0xBF}
_IN_SEGMENT = {
    _CLUSTER, 0x114D9B74, 0x1549A966, 0x1654AE6B, 0x1C53BB6B, 0x1254C367, 0x1043A770, 0x1941A469, 0xEC, 0xBF
}  # fmt: skip
_IN_CLUSTER = {0xE7, 0xA3, 0xA0, 0xAB, 0xA7, 0xAF, 0x5854, 0xEC, 0xBF}


def hangs_together(path: Path) -> bool | None:
    """Whether every element from the file's first to its last belongs there, whole; None where it gives no length."""
    with path.open("rb") as file:
        end = path.stat().st_size
        try:
            return _holds(file, 0, end, _IN_FILE, set())
        except _Unknown:
            return None


class _Unknown(Exception):
    """An element does not say how long it is."""


def _holds(file: BinaryIO, at: int, end: int, allowed: set[int], tracks: set[int]) -> bool:
    while at < end:
        element = _element(file, at)
        if element is None or element[0] not in allowed:
            return False
        name, begins, at = element
        if at > end:
            return False
        if name == _TRACKS:
            tracks |= _numbers(file, begins, at)
        inside = {_SEGMENT: _IN_SEGMENT, _CLUSTER: _IN_CLUSTER}.get(name)
        if inside is not None and not _holds(file, begins, at, inside, tracks):
            return False
        if name in (_SIMPLE_BLOCK, _GROUP) and tracks and _track_of(file, name, begins) not in {*tracks, None}:
            return False
    return True


def _element(file: BinaryIO, at: int) -> tuple[int, int, int] | None:
    """Name, first byte and end of the element at this place; None where there is none."""
    file.seek(at)
    head = file.read(12)
    width = _width(head[:1])
    length = _width(head[width : width + 1])
    if not width or width > 4 or not length or len(head) < width + length:
        return None
    size = int.from_bytes(head[width : width + length], "big") & ((1 << 7 * length) - 1)
    if size == (1 << 7 * length) - 1:
        raise _Unknown
    begins = at + width + length
    return int.from_bytes(head[:width], "big"), begins, begins + size


def _numbers(file: BinaryIO, at: int, end: int) -> set[int]:
    """The numbers of the tracks that are told of here."""
    numbers: set[int] = set()
    while at < end and (element := _element(file, at)) is not None:
        name, begins, at = element
        if name == _TRACK:
            numbers |= _numbers(file, begins, at)
        elif name == _NUMBER:
            file.seek(begins)
            numbers.add(int.from_bytes(file.read(at - begins), "big"))
    return numbers


def _track_of(file: BinaryIO, name: int, begins: int) -> int | None:
    """Which track a block is of; None in a group that does not begin with its block, as all that we know do."""
    if name == _GROUP:
        block = _element(file, begins)
        if block is None or block[0] != _BLOCK:
            return None
        begins = block[1]
    file.seek(begins)
    head = file.read(8)
    length = _width(head[:1])
    return int.from_bytes(head[:length], "big") & ((1 << 7 * length) - 1) if length else None


def _width(first: bytes) -> int:
    """How many bytes a number takes: the zeros before its first one, and that one; 0 where there is no number."""
    return 9 - first[0].bit_length() if first and first[0] else 0
