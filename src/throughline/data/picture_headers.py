"""How large a picture says it is, read from its first bytes: nothing is allocated before it is known.

A few hundred bytes can declare a picture of many gigabytes. So the size is read here,
by hand, and what no camera makes is refused before a decoder sees it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from throughline.contracts.errors import InputError

MOST_SIDE = 16_384
MOST_PIXELS = 200_000_000


def check_size(width: int, height: int, name: str) -> None:
    """Refuse a picture that is larger than anything we would decode."""
    if width < 1 or height < 1:
        raise InputError(f"{name}: a picture of {width}x{height} has nothing in it", "give another file")
    if max(width, height) > MOST_SIDE or width * height > MOST_PIXELS:
        raise InputError(
            f"{name}: it declares {width}x{height} pixels",
            f"at most {MOST_SIDE} a side and {MOST_PIXELS // 10**6} million in all; scale it down first",
        )


def is_image(begins: bytes) -> bool:
    """Whether these are the first bytes of a still picture that we read."""
    return _reader(begins) is not None


def size_of(data: bytes) -> tuple[int, int]:
    """Width and height as the header declares them, before any turn that its metadata asks for."""
    reader = _reader(data)
    try:
        size = None if reader is None else reader(data)
    except (struct.error, IndexError):
        size = None
    if size is None:
        raise InputError("its header is damaged or of an unknown kind", "give PNG, JPEG, BMP, WebP or TIFF")
    return size


def upright_size_of(data: bytes) -> tuple[int, int]:
    """Width and height once the picture is turned as its EXIF data says, which is how it is read."""
    width, height = size_of(data)
    try:
        turned = _orientation(data) in (5, 6, 7, 8)
    except (struct.error, IndexError):
        turned = False
    return (height, width) if turned else (width, height)


def is_whole(data: bytes) -> bool:
    """Whether the end of the picture is there, where the format marks it."""
    if data.startswith(b"\xff\xd8"):
        return data.rfind(b"\xff\xd9") > data.rfind(b"\xff\xda") > 0
    if data.startswith(b"\x89PNG"):
        return b"IEND" in data
    if data.startswith(b"RIFF"):
        return len(data) >= 8 + int(struct.unpack_from("<I", data, 4)[0])
    return True


def _reader(begins: bytes) -> Callable[[bytes], tuple[int, int] | None] | None:
    if begins.startswith(b"\x89PNG\r\n\x1a\n"):
        return _png
    if begins.startswith(b"\xff\xd8\xff"):
        # a raw MJPEG video begins as a JPEG does; one picture is what it is taken for
        return _jpeg
    if begins.startswith(b"BM") and len(begins) > 26 and begins[14] in (12, 40, 52, 56, 64, 108, 124):
        return _bmp
    if begins.startswith(b"RIFF") and begins[8:12] == b"WEBP":
        return _webp
    if begins.startswith((b"II*\0", b"MM\0*")):
        return _tiff
    return None


def _png(data: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from(">II", data, 16)
    return width, height


def _bmp(data: bytes) -> tuple[int, int]:
    if data[14] == 12:
        width, height = struct.unpack_from("<HH", data, 18)
        return width, height
    width, height = struct.unpack_from("<ii", data, 18)
    return width, abs(height)


def _jpeg(data: bytes) -> tuple[int, int] | None:
    at = 2
    while True:
        if data[at] != 0xFF:
            return None
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
        elif marker in (0x01, *range(0xD0, 0xD8)):
            at += 2
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", data, at + 5)
            return width, height
        elif marker in (0xD8, 0xD9, 0xDA):
            return None
        else:
            at += 2 + int(struct.unpack_from(">H", data, at + 2)[0])


def _webp(data: bytes) -> tuple[int, int] | None:
    kind = data[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if kind == b"VP8L":
        bits = int(struct.unpack_from("<I", data, 21)[0])
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    return None


def _tiff(data: bytes) -> tuple[int, int] | None:
    found = _tags(data)
    return (found[256], found[257]) if {256, 257} <= found.keys() else None


def _orientation(data: bytes) -> int:
    exif = _exif(data)
    return _tags(exif).get(274, 1) if exif[:4] in (b"II*\0", b"MM\0*") else 1


def _exif(data: bytes) -> bytes:
    """Where it begins, wherever the format keeps it."""
    if data.startswith(b"\xff\xd8"):
        return _jpeg_exif(data)
    if data.startswith(b"\x89PNG"):
        at = 8
        while at + 8 <= len(data):
            length = int(struct.unpack_from(">I", data, at)[0])
            if data[at + 4 : at + 8] == b"eXIf":
                return data[at + 8 : at + 8 + length]
            at += 12 + length
    if data.startswith(b"RIFF"):
        at = 12
        while at + 8 <= len(data):
            length = int(struct.unpack_from("<I", data, at + 4)[0])
            if data[at : at + 4] == b"EXIF":
                return data[at + 8 : at + 8 + length]
            at += 8 + length + length % 2
    return data if data.startswith((b"II*\0", b"MM\0*")) else b""


def _jpeg_exif(data: bytes) -> bytes:
    at = 2
    while data[at] == 0xFF and data[at + 1] not in (0xDA, 0xD9):
        if data[at + 1] == 0xFF:
            at += 1
            continue
        length = int(struct.unpack_from(">H", data, at + 2)[0])
        if data[at + 1] == 0xE1 and data[at + 4 : at + 10] == b"Exif\0\0":
            return data[at + 10 : at + 2 + length]
        at += 2 + length
    return b""


def _tags(data: bytes) -> dict[int, int]:
    """The numbers in a TIFF file's first directory; EXIF data are such a file, too."""
    order = "<" if data.startswith(b"II") else ">"
    at = int(struct.unpack_from(order + "I", data, 4)[0])
    found: dict[int, int] = {}
    for entry in range(int(struct.unpack_from(order + "H", data, at)[0])):
        tag, kind = struct.unpack_from(order + "HH", data, at + 2 + 12 * entry)
        found[tag] = int(struct.unpack_from(order + ("H" if kind == 3 else "I"), data, at + 10 + 12 * entry)[0])
    return found
