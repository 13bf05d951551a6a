"""Whether a Matroska file hangs together: a reader that loses its way in one begins again further on, in silence.

Only the names and lengths of the elements are read, down to the blocks that hold the
pictures. A file written as a stream, whose lengths are not known, is not judged.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

_HEADER, _SEGMENT, _CLUSTER = 0x1A45DFA3, 0x18538067, 0x1F43B675
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
            return _holds(file, 0, end, _IN_FILE)
        except _Unknown:
            return None


class _Unknown(Exception):
    """An element does not say how long it is."""


def _holds(file: BinaryIO, at: int, end: int, allowed: set[int]) -> bool:
    while at < end:
        file.seek(at)
        head = file.read(12)
        width = _width(head[:1])
        if not width or width > 4:
            return False
        name = int.from_bytes(head[:width], "big")
        length = _width(head[width : width + 1])
        if name not in allowed or not length or len(head) < width + length:
            return False
        size = int.from_bytes(head[width : width + length], "big") & ((1 << 7 * length) - 1)
        if size == (1 << 7 * length) - 1:
            raise _Unknown
        begins = at + width + length
        at = begins + size
        if at > end:
            return False
        inside = {_SEGMENT: _IN_SEGMENT, _CLUSTER: _IN_CLUSTER}.get(name)
        if inside is not None and not _holds(file, begins, at, inside):
            return False
    return True


def _width(first: bytes) -> int:
    """How many bytes a number takes: the zeros before its first one, and that one; 0 where there is no number."""
    return 9 - first[0].bit_length() if first and first[0] else 0
