"""A video file: every picture with its own number and time, and no damage that goes unsaid.

The numbers and times come from the container's packets (``_reading``). A later frame is reached
through a key picture only where the packets prove its number; a file that gives nothing fails.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any, final

from throughline.contracts.errors import InputError, SourceFailed
from throughline.contracts.frames import Frame
from throughline.contracts.runs import Gap
from throughline.contracts.streams import SourceInfo
from throughline.plugins import Plugin
from throughline.video.sources._media import accelerator, open_file, picture_stream
from throughline.video.sources._mp4 import is_trimmed
from throughline.video.sources._picture import decoded
from throughline.video.sources._reading import Reading
from throughline.video.sources._table import WORTH_SEEKING, Entry, Table
from throughline.video.sources._turn import Turn
from throughline.video.sources._window import Window


@final
class FileSource:
    """The pictures of one video file."""

    def __init__(
        self,
        spec: str,
        *,
        start: float | None = None,
        end: float | None = None,
        max_frames: int | None = None,
        hwaccel: str | None = None,
        threads: int | None = None,
        **_: Any,
    ) -> None:
        self._path, self._hwaccel, self._threads = Path(spec), hwaccel, threads
        self._window = Window.of(start, end, max_frames)
        self._gaps: list[Gap] = []
        self._closed = False
        if not self._path.is_file():
            raise InputError(f"'{spec}' is no file", "give a video file")
        accelerator(hwaccel)
        self._info = self._probe()

    @property
    def info(self) -> SourceInfo:
        """What the container says of it."""
        return self._info

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """The stretches that could not be had so far."""
        return tuple(self._gaps)

    def frames(self, start: int = 0) -> Iterator[Frame]:
        """Every frame from the one numbered ``start`` on."""
        self._gaps = []
        table = None
        if start >= WORTH_SEEKING or self._window.start > 0:
            table = Table.read(self._path, self._threads)
        entry = None if table is None else table.entry(start, self._window.start)
        if entry is not None:
            try:
                for frame in self._read(start, table, entry, []):
                    yield frame
                    start = frame.index + 1
                return
            except (_Flawed, SourceFailed):
                pass  # what a decoder makes of damage depends on all that it saw before
        yield from self._read(start, table, None, self._gaps)

    def close(self) -> None:
        """A ``frames`` that is being read ends."""
        self._closed = True

    def _probe(self) -> SourceInfo:
        with open_file(self._path) as media:
            stream = picture_stream(media, self._path.name, self._threads)
            context = stream.codec_context
            turn = Turn()
            with suppress(Exception):  # the reading says what is wrong with it
                turn = Turn.of(next(picture for packet in media.demux(stream) for picture in packet.decode()))
            width, height = turn.size(context.width, context.height)
            rate = stream.average_rate or stream.guessed_rate
            whole = self._window == Window() and not is_trimmed(self._path, stream.id)
            return SourceInfo(
                self._path.name,
                width,
                height,
                Fraction(rate) if rate else None,
                (stream.frames or None) if whole else None,
                float(media.duration / 1e6) if media.duration else None,
            )

    def _read(self, start: int, table: Table | None, entry: Entry | None, gaps: list[Gap]) -> Iterator[Frame]:
        """From a key picture on, only as long as nothing is wrong; else from the beginning, whatever comes."""
        name, window = self._path.name, self._window
        with open_file(self._path, self._hwaccel) as media:
            stream = picture_stream(media, name, self._threads)
            reading = Reading(media, stream, name, self._path, gaps)
            last = None
            if entry is not None:
                reading.begin_at(entry.pts, entry.number)
            if window.max_frames is not None and not window.start:
                last = window.max_frames
            for picture, number, seconds in reading.pictures():
                if self._closed:
                    return
                if entry is not None and not (reading.flawless and reading.first_number == entry.number):
                    raise _Flawed
                if seconds + 1e-6 < window.start:
                    continue
                if last is None and window.max_frames is not None:
                    last = (table.number_at(window.start) if table else number) + window.max_frames
                if seconds + 1e-6 >= window.end or (last is not None and number >= last):
                    reading.stop()
                    return
                if number >= start:
                    yield Frame(number, seconds, decoded(picture), name)
            if entry is not None and not (reading.flawless and reading.first_number == entry.number):
                raise _Flawed


class _Flawed(Exception):
    """Not everything was as the packets promised: only reading from the beginning gives what that gives."""


PLUGIN = Plugin(make=FileSource, summary="a video file", needs=("av",))
