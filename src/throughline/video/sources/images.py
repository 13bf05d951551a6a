"""Still pictures as frames: one file, a folder or a glob, in the order in which people count.

Pictures have no clock, so they are given one: thirty to the second. One that cannot be
read leaves a gap in its place, and its number stays empty.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, cast, final

import numpy as np
import numpy.typing as npt

from throughline.contracts.errors import InputError, SourceFailed
from throughline.contracts.frames import Frame
from throughline.contracts.runs import Gap
from throughline.contracts.streams import SourceInfo
from throughline.plugins import Plugin
from throughline.video.sources._headers import check_size, is_image, is_whole, size_of
from throughline.video.sources._window import Window

_RATE = 30
_MOST_BYTES = 2**30


@final
class ImagesSource:
    """The pictures that a file's name, a folder or a glob stands for."""

    def __init__(
        self,
        spec: str,
        *,
        start: float | None = None,
        end: float | None = None,
        max_frames: int | None = None,
        **_: Any,
    ) -> None:
        self._paths = _found(spec)
        self._window = Window.of(start, end, max_frames)
        self._gaps: list[Gap] = []
        self._closed = False
        whole = self._window == Window()
        width, height = self._first_size()
        declared = len(self._paths) if whole else None
        rate = Fraction(_RATE)
        self._info = SourceInfo(
            Path(spec).absolute().name or spec,
            width,
            height,
            rate,
            declared,
            len(self._paths) / _RATE,
            decoder="pictures on the CPU",
        )

    @property
    def info(self) -> SourceInfo:
        """Its size is that of the first picture that can be read; each frame has its own."""
        return self._info

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """The pictures that could not be read so far."""
        return tuple(self._gaps)

    def frames(self, start: int = 0, gaps: Sequence[Gap] = ()) -> Iterator[Frame]:
        """Every picture from number ``start`` on; each stands for itself, whatever was missing before."""
        self._gaps = []
        first = next((n for n in range(len(self._paths)) if n / _RATE + 1e-6 >= self._window.start), len(self._paths))
        last = len(self._paths) if self._window.max_frames is None else first + self._window.max_frames
        given = 0
        for number in range(max(first, start), min(last, len(self._paths))):
            seconds, path = number / _RATE, self._paths[number]
            if self._closed or seconds + 1e-6 >= self._window.end:
                return
            try:
                image = read_image(path)
            except InputError as error:
                self._gaps.append(Gap(seconds, (number + 1) / _RATE, error.problem))
                continue
            given += 1
            yield Frame(number, seconds, image, self._info.name)
        if not given and self._gaps and start <= first:
            raise SourceFailed(f"{self._info.name}: not one picture could be read; {self._gaps[0].reason}", "")

    def close(self) -> None:
        """A ``frames`` that is being read ends."""
        self._closed = True

    def _first_size(self) -> tuple[int, int]:
        for path in self._paths:
            try:
                image = read_image(path)
            except InputError:
                continue
            return image.shape[1], image.shape[0]
        return 0, 0


def read_image(path: Path) -> npt.NDArray[np.uint8]:
    """One still picture in RGB, turned as its EXIF data says; its declared size is checked before it is decoded."""
    import cv2

    try:
        if path.stat().st_size > _MOST_BYTES:
            raise InputError(f"{path.name}: it is larger than 1 GiB", "give a smaller picture")
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path.name}: cannot be read: {error.strerror}", "check the file") from None
    try:
        width, height = size_of(data)
    except InputError as error:
        raise InputError(f"{path.name}: {error.problem}", error.fix) from None
    check_size(width, height, path.name)
    if not is_whole(data):
        raise InputError(f"{path.name}: its end is missing", "copy it again from where it came from")
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    except cv2.error:
        image = None
    if image is None:
        raise InputError(f"{path.name}: it cannot be decoded", "give a picture that is whole")
    return cast("npt.NDArray[np.uint8]", image)


def _found(spec: str) -> list[Path]:
    path = Path(spec)
    if path.is_file():
        return [path]
    names = [str(one) for one in path.iterdir()] if path.is_dir() else glob.glob(spec, recursive=True)
    found = sorted((Path(one) for one in names if _is_image_file(Path(one))), key=_natural)
    if not found:
        raise InputError(f"'{spec}': there are no images in it", "give a folder of PNG, JPEG, BMP, WebP or TIFF files")
    return found


def _is_image_file(path: Path) -> bool:
    """By its first bytes, or, so that a damaged one is a gap and not overlooked, by its ending."""
    if not path.is_file() or path.name.startswith("."):
        return False
    if path.suffix.lower() in {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff"}:
        return True
    with path.open("rb") as file:
        return is_image(file.read(64))


def _natural(path: Path) -> tuple[list[tuple[bool, int, str]], str]:
    """So that frame 9 comes before frame 10."""
    pieces = re.split(r"(\d+)", str(path))
    return [(not piece.isdecimal(), int(piece) if piece.isdecimal() else 0, piece) for piece in pieces if piece], str(
        path
    )


PLUGIN = Plugin(make=ImagesSource, summary="an image, a folder or a glob of images", needs=("cv2",))
