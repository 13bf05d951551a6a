"""A video file: every picture with its own number and time, and no damage that goes unsaid.

The numbers and times come from the container's packets (``_reading``). A later frame is reached
through a key picture only where the packets prove its number; a file that gives nothing fails.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from throughline.contracts.errors import InputError, SourceFailed
from throughline.contracts.frames import Frame
from throughline.contracts.runs import Gap
from throughline.contracts.streams import Source, SourceInfo
from throughline.hardware import cores
from throughline.plugins import Plugin
from throughline.video.sources._cuts import workers_for
from throughline.video.sources._hardware import decoder_of
from throughline.video.sources._media import open_file, picture_stream
from throughline.video.sources._mp4 import is_trimmed
from throughline.video.sources._picture import decoded, to_rgb
from throughline.video.sources._reading import Reading
from throughline.video.sources._side_by_side import SideBySide
from throughline.video.sources._table import WORTH_SEEKING, Entry, Table
from throughline.video.sources._turn import Turn, Turns
from throughline.video.sources._window import Window

if TYPE_CHECKING:
    import av

_HELD = 3
_TRIES = 3
"""So many key pictures before the damage are looked at for one that is whole."""


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
        self._info = self._probe()

    @property
    def info(self) -> SourceInfo:
        """What the container says of it."""
        return self._info

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """The stretches that could not be had so far."""
        return tuple(self._gaps)

    def frames(self, start: int = 0, gaps: Sequence[Gap] = ()) -> Iterator[Frame]:
        """Every frame from the one numbered ``start`` on.

        Where ``gaps`` says that something was missing before it, all is read from the beginning as it was then:
        what a decoder makes of damage depends on what it saw.
        """
        table = entry = None
        if start >= WORTH_SEEKING or self._window.start > 0:
            table = Table.read(self._path, self._threads)
            entry = None if table is None or gaps else table.entry(start, self._window.start)
        for fast in (entry, None) if entry else (None,):
            try:
                for frame in self._read(start, table, fast, careful=False):
                    yield frame
                    start = frame.index + 1
                return
            except _Flawed as flawed:
                whole = flawed.number
                if whole > (0 if fast is None else fast.number):
                    break
        table = table or Table.read(self._path, self._threads)
        entries = [] if table is None else itertools.islice(table.entries(whole), _TRIES)
        for careful in (*entries, None):
            try:
                yield from self._read(start, table, careful, careful=True)
                return
            except _Flawed:  # raised before the first frame
                continue

    def close(self) -> None:
        """A ``frames`` that is being read ends."""
        self._closed = True

    def _probe(self) -> SourceInfo:
        with open_file(self._path, self._hwaccel) as media:
            stream = picture_stream(media, self._path.name, self._threads)
            context, first = stream.codec_context, None
            with suppress(Exception):  # the reading says what is wrong with it
                first = next(picture for packet in media.demux(stream) for picture in packet.decode())
            turn = Turn() if first is None else Turn.of(first)
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
                decoder=decoder_of(stream, first, self._hwaccel),
            )

    def _read(self, start: int, table: Table | None, entry: Entry | None, careful: bool) -> Iterator[Frame]:
        """What comes from a key picture on, or from the beginning.

        Threads race where they mend damage, and what they make of it depends on all that they saw, even on
        pictures that somebody still holds, whose memory is not free yet. So what is damaged is read carefully:
        by one thread of the CPU, from a key picture before it that is whole, and nobody holds what the decoder gave.
        """
        name, window = self._path.name, self._window
        self._gaps = gaps = list[Gap]()
        with open_file(self._path, None if careful else self._hwaccel) as media:
            stream = picture_stream(media, name, 1 if careful else self._threads)
            reading, turns = Reading(media, stream, name, self._path, gaps), Turns()
            last, begun, whole = None, False, 0 if entry is None else entry.number
            if entry is not None:
                reading.begin_at(entry)
            if window.max_frames is not None and not window.start:
                last = window.max_frames
            try:
                for picture, number, seconds in reading.pictures() if careful else while_whole(reading):
                    if self._closed:
                        return
                    if _flawed(reading, entry, careful, begun):
                        raise _Flawed(whole)
                    begun, whole = True, number + 1
                    if seconds + 1e-6 < window.start:
                        continue
                    if last is None and window.max_frames is not None:
                        last = (table.number_at(window.start) if table else number) + window.max_frames
                    if seconds + 1e-6 >= window.end or (last is not None and number >= last):
                        reading.stop()
                        gaps[:] = [gap for gap in gaps if gap.start < seconds]
                        return
                    if number >= start:
                        yield Frame(
                            number,
                            seconds,
                            to_rgb(picture, turns.of(picture)) if careful else decoded(picture, turns.of(picture)),
                            name,
                        )
            except SourceFailed:
                if not careful or (entry is not None and not begun):
                    raise _Flawed(whole) from None
                raise
            if _flawed(reading, entry, careful, begun):
                raise _Flawed(whole)


def while_whole(reading: Reading) -> Iterator[tuple[av.VideoFrame, int, float]]:
    """The pictures, as long as those that were begun after them are whole too: some threads say late what they met."""
    held: deque[tuple[av.VideoFrame, int, float]] = deque()
    for one in reading.pictures():
        held.append(one)
        if len(held) > _HELD and not reading.damaged:
            yield held.popleft()
        elif reading.damaged:
            return
    if not reading.damaged:
        yield from held


def _flawed(reading: Reading, entry: Entry | None, careful: bool, begun: bool) -> bool:
    """Whether what comes now may not be what every reading of this file would give."""
    if reading.astray:
        return True
    if careful:
        return entry is not None and not begun and reading.damaged
    return reading.damaged or (entry is not None and bool(reading.gaps))


class _Flawed(Exception):
    """It must be read in another way; what came before this number was whole."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def _made(spec: str, *, workers: int | None = None, **options: Any) -> Source:
    """Read in this process, or by others; None: whichever is faster."""
    if workers:
        return SideBySide(spec, workers, options)
    source = FileSource(spec, **options)
    several = workers_for(Path(spec), options, cores()) if workers is None else 0
    return SideBySide(spec, several, options, source.info) if several else source


PLUGIN = Plugin(make=_made, summary="a video file", needs=("av",))
