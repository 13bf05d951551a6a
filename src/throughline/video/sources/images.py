"""Still pictures as frames: one file, a folder or a glob, in the order in which people count.

Pictures have no clock, so they are given one: thirty to the second. One that cannot be
read leaves a gap in its place, and its number stays empty.
"""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, final

from throughline.contracts.errors import InputError, SourceFailed
from throughline.contracts.frames import Frame
from throughline.contracts.runs import Gap
from throughline.contracts.streams import SourceInfo
from throughline.data.pictures import in_order, is_picture_file, read_picture
from throughline.plugins import Plugin
from throughline.video.sources._window import Window

_RATE = 30


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
                image = read_picture(path)
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
                image = read_picture(path)
            except InputError:
                continue
            return image.shape[1], image.shape[0]
        return 0, 0


def _found(spec: str) -> list[Path]:
    path = Path(spec)
    if path.is_file():
        return [path]
    names = [str(one) for one in path.iterdir()] if path.is_dir() else glob.glob(spec, recursive=True)
    found = sorted((Path(one) for one in names if is_picture_file(Path(one))), key=in_order)
    if not found:
        raise InputError(f"'{spec}': there are no images in it", "give a folder of PNG, JPEG, BMP, WebP or TIFF files")
    return found


PLUGIN = Plugin(make=ImagesSource, summary="an image, a folder or a glob of images", needs=("cv2",))
