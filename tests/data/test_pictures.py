from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from throughline.data.picture_headers import upright_size_of
from throughline.data.pictures import in_order, read_picture


def exif(turn: int) -> bytes:
    return b"MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1, turn, 0, 0)


def jpeg(data: bytes, turn: int) -> bytes:
    block = b"Exif\0\0" + exif(turn)
    return data[:20] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + data[20:]


def png(data: bytes, turn: int) -> bytes:
    chunk = b"eXIf" + exif(turn)
    return data[:33] + struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) + data[33:]


def webp(data: bytes, turn: int) -> bytes:
    head = (
        b"VP8X" + struct.pack("<I", 10) + bytes([8, 0, 0, 0]) + (33).to_bytes(3, "little") + (20).to_bytes(3, "little")
    )
    body = b"WEBP" + head + data[12:] + b"EXIF" + struct.pack("<I", len(exif(turn))) + exif(turn)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def tiff(data: bytes, turn: int) -> bytes:
    order = "<" if data.startswith(b"II") else ">"
    (at,) = struct.unpack_from(order + "I", data, 4)
    (count,) = struct.unpack_from(order + "H", data, at)
    tags = [data[at + 2 + 12 * one : at + 14 + 12 * one] for one in range(count)]
    tags = sorted(
        [*tags, struct.pack(order + "HHIHH", 274, 3, 1, turn, 0)], key=lambda tag: struct.unpack(order + "H", tag[:2])
    )
    end = struct.pack(order + "H", len(tags)) + b"".join(tags) + bytes(4)
    return data[:4] + struct.pack(order + "I", len(data)) + data[8:] + end


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("kind", [jpeg, png, webp, tiff])
def test_the_size_that_labels_are_laid_on_is_that_of_the_picture_as_read(tmp_path: Path, kind, turn: int) -> None:  # type: ignore[no-untyped-def]
    ending = {"jpeg": ".jpg", "tiff": ".tif"}.get(kind.__name__, f".{kind.__name__}")
    options = [cv2.IMWRITE_WEBP_QUALITY, 90] if ending == ".webp" else []
    data = kind(cv2.imencode(ending, np.zeros((21, 34, 3), np.uint8), options)[1].tobytes(), turn)
    path = tmp_path / f"turned{ending}"
    path.write_bytes(data)
    height, width = read_picture(path).shape[:2]
    assert upright_size_of(data) == (width, height) == ((21, 34) if turn > 4 else (34, 21))


@pytest.mark.parametrize("extra", [b"\xff\xe1\0\x08Exif\0\0", b"\xff\xe1\0\x10Exif\0\0II*\0\xff\xff\xff\xff"])
def test_exif_data_that_are_cut_short_turn_nothing(extra: bytes) -> None:
    data = cv2.imencode(".jpg", np.zeros((21, 34, 3), np.uint8))[1].tobytes()
    assert upright_size_of(data[:2] + extra + data[2:]) == (34, 21)


def test_people_count_and_do_not_spell() -> None:
    assert sorted(["a10", "a9", "b1", "a1.5"], key=in_order) == ["a1.5", "a9", "a10", "b1"]
