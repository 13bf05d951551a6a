"""Still pictures: found in folders, and read upright in RGB, never larger than what a camera makes."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt

from throughline.contracts.errors import InputError
from throughline.data.picture_headers import check_size, is_image, is_whole, size_of

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff"})

_MOST_BYTES = 2**30


def read_picture(path: Path) -> npt.NDArray[np.uint8]:
    """One still picture in RGB, turned as its EXIF data says; its declared size is checked before it is decoded."""
    return decode_picture(picture_bytes(path), path.name)


def picture_bytes(path: Path) -> bytes:
    """What is in a picture's file; not even looked at where it is larger than 1 GiB."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise InputError(f"{path.name}: it is larger than 1 GiB", "give a smaller picture")
        return path.read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path.name}: cannot be read: {reason}", "check the file") from None


def check_picture(data: bytes, name: str) -> None:
    """Refuse, without decoding it, a picture that is of no known kind, or too large, or has lost its end."""
    try:
        width, height = size_of(data)
    except InputError as error:
        raise InputError(f"{name}: {error.problem}", error.fix) from None
    check_size(width, height, name)
    if not is_whole(data):
        raise InputError(f"{name}: its end is missing", "copy it again from where it came from")


def decode_picture(data: bytes, name: str) -> npt.NDArray[np.uint8]:
    """A picture from its file's bytes, upright and in RGB."""
    import cv2

    check_picture(data, name)
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    except cv2.error:
        image = None
    if image is None:
        raise InputError(f"{name}: it cannot be decoded", "give a picture that is whole")
    return cast("npt.NDArray[np.uint8]", image)


def is_picture_file(path: Path) -> bool:
    """By its first bytes, or, so that a damaged one is noticed and not overlooked, by its ending."""
    if not path.is_file() or path.name.startswith("."):
        return False
    if path.suffix.lower() in SUFFIXES:
        return True
    with path.open("rb") as file:
        return is_image(file.read(64))


def pictures_under(folder: Path) -> list[Path]:
    """Every picture in a folder and the folders in it, those behind links as well, in order."""
    found: list[Path] = []
    seen: set[str] = set()
    for place, inner, names in os.walk(folder, followlinks=True, onerror=_raise):
        if (real := os.path.realpath(place)) in seen:
            inner.clear()  # a link that leads back
            continue
        seen.add(real)
        found += [path for name in names if is_picture_file(path := Path(place, name))]
    return sorted(found, key=in_order)


def _raise(error: OSError) -> None:
    raise error


def in_order(path: Path | str) -> tuple[list[tuple[bool, int, str]], str]:
    """What to sort by, so that frame 9 comes before frame 10."""
    pieces = re.split(r"(\d+)", str(path))
    numbered = [(not piece.isdecimal(), int(piece) if piece.isdecimal() else 0, piece) for piece in pieces if piece]
    return numbered, str(path)
