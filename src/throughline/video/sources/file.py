"""A video file: every picture with its own number and time, and no damage that goes unsaid.

The numbers and times come from the container's packets (``_reading``). A later frame is reached
through a key picture only where the packets prove its number; a file that gives nothing fails.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from throughline.contracts.errors import InputError
from throughline.contracts.frames import Frame
from throughline.contracts.runs import Gap
from throughline.contracts.streams import SourceInfo
from throughline.plugins import Plugin
from throughline.video.sources._count import shows
from throughline.video.sources._media import accelerator, open_file, picture_stream
from throughline.video.sources._picture import decoded
from throughline.video.sources._reading import Reading
from throughline.video.sources._turn import Turn
from throughline.video.sources._window import Window

if TYPE_CHECKING:
    pass

_WORTH_SEEKING = 64


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
        if start >= _WORTH_SEEKING or self._window.start > 0:
            table = _Table.read(self._path, self._threads)
        entry = None if table is None else table.entry(start, self._window.start)
        try:
            yield from self._read(start, table, entry)
        except _NoEntry:  # raised before the first frame
            self._gaps = []
            yield from self._read(start, table, None)

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
            whole = self._window == Window()
            return SourceInfo(
                self._path.name,
                width,
                height,
                Fraction(rate) if rate else None,
                (stream.frames or None) if whole else None,
                float(media.duration / 1e6) if media.duration else None,
            )

    def _read(self, start: int, table: _Table | None, entry: _Entry | None) -> Iterator[Frame]:
        name, window = self._path.name, self._window
        with open_file(self._path, self._hwaccel) as media:
            stream = picture_stream(media, name, self._threads)
            reading = Reading(media, stream, name, self._path, self._gaps)
            last = None
            if entry is not None:
                reading.begin_at(entry.pts, entry.number)
            if window.max_frames is not None and not window.start:
                last = window.max_frames
            given = False
            for picture, number, seconds in reading.pictures():
                if self._closed:
                    return
                if entry is not None and not given and reading.first_number != entry.number:
                    raise _NoEntry
                given = True
                if seconds + 1e-6 < window.start:
                    continue
                if last is None and window.max_frames is not None:
                    last = (table.number_at(window.start) if table else number) + window.max_frames
                if seconds + 1e-6 >= window.end or (last is not None and number >= last):
                    reading.stop()
                    return
                if number >= start:
                    yield Frame(number, seconds, decoded(picture), name)
            if entry is not None and not given:
                raise _NoEntry


class _NoEntry(Exception):
    """A key picture proved not to be one: everything must be read from the beginning."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """A key picture from which reading may begin."""

    pts: int
    number: int


@dataclass(frozen=True, slots=True)
class _Table:
    """The times of all packets of a file in which nothing is out of order, and which of them are key pictures."""

    times: list[int]
    keys: list[int]
    zero: int
    base: Fraction

    @classmethod
    def read(cls, path: Path, threads: int | None) -> _Table | None:
        """Read every packet, and decode none; None where the times cannot be trusted."""
        import av

        times: list[int] = []
        keys: list[int] = []
        with open_file(path) as media:
            stream = picture_stream(media, path.name, threads)
            base, begins = stream.time_base, stream.start_time
            try:
                for packet in media.demux(stream):
                    if not shows(packet):
                        if packet.size:
                            return None
                        continue
                    if packet.pts is None or packet.is_corrupt:
                        return None
                    times.append(packet.pts)
                    if packet.is_keyframe:
                        keys.append(packet.pts)
            except (av.error.FFmpegError, OSError):
                return None
        times.sort()
        if not times or base is None or any(a == b for a, b in itertools.pairwise(times)):
            return None
        return cls(times, sorted(keys), times[0] if begins is None else begins, base)

    def number_at(self, seconds: float) -> int:
        """The number of the first picture at this time or later."""
        return bisect.bisect_left(self.times, seconds - 1e-6, key=lambda pts: float((pts - self.zero) * self.base))

    def entry(self, number: int, seconds: float) -> _Entry | None:
        """The last key picture before both; None where reading from the beginning is as good."""
        wanted = max(number, self.number_at(seconds))
        if wanted < _WORTH_SEEKING or wanted >= len(self.times):
            return None
        at = bisect.bisect_right(self.keys, self.times[wanted]) - 1
        if at < 1:
            return None
        pts = self.keys[at]
        rank = bisect.bisect_left(self.times, pts)
        return _Entry(pts, rank)


PLUGIN = Plugin(make=FileSource, summary="a video file", needs=("av",))
