"""A video file: every picture with its own number and time, and no damage that goes unsaid.

The numbers and times come from the container's packets. What the packets promise and the
decoder does not give, what the container declares and the file does not hold, and jumps
of the clock become gaps; a file that gives nothing fails.
"""

from __future__ import annotations

import bisect
import itertools
import statistics
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from throughline.contracts.errors import InputError, SourceFailed
from throughline.contracts.frames import Frame
from throughline.contracts.runs import Gap
from throughline.contracts.streams import SourceInfo
from throughline.plugins import Plugin
from throughline.video.sources._count import Count, shows
from throughline.video.sources._headers import check_size
from throughline.video.sources._matroska import hangs_together
from throughline.video.sources._media import accelerator, open_file, picture_stream, reason_of
from throughline.video.sources._picture import Turn, to_rgb
from throughline.video.sources._window import Window

if TYPE_CHECKING:
    import av
    from av.container import InputContainer

_MOST_ERRORS_IN_A_ROW = 16
_WORTH_SEEKING = 64
_WAITS_TO_JUDGE_BY = 8
_JUMP = "the clock jumps"
_EXACT_CLOCK = "mov"
"""The container whose index holds every picture's length, so that a long wait is no loss."""


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
            reading = _Reading(media, stream, name, self._path, self._gaps)
            last = None
            if entry is not None:
                reading.begin_at(entry)
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
                    yield Frame(number, seconds, reading.image(picture), name)
            if entry is not None and not given:
                raise _NoEntry


class _NoEntry(Exception):
    """A key picture proved not to be one: everything must be read from the beginning."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """A key picture from which reading may begin."""

    pts: int
    number: int
    packets: int


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
        return _Entry(pts, rank, rank)


@final
@dataclass
class _Reading:
    """One pass over the packets: pictures out, and gaps wherever something is missing."""

    media: InputContainer
    stream: av.VideoStream
    name: str
    path: Path
    gaps: list[Gap]
    first_number: int | None = None
    _count: Count = field(default_factory=Count)
    _zero: int | None = None
    _packets: int = 0
    _from: int | None = None
    _seconds: float | None = None
    _steps: deque[float] = field(default_factory=lambda: deque(maxlen=32))
    _trouble: str = ""
    _early: list[tuple[float, float, float]] = field(default_factory=list)
    _reached: float = 0.0
    _stopped: bool = False
    _promised: bool = False

    def __post_init__(self) -> None:
        self._zero = self.stream.start_time
        self._base = self.stream.time_base or Fraction(1, 90_000)
        rate = self.stream.average_rate or self.stream.guessed_rate
        self._step = 1 / float(rate) if rate else 0.04
        self._exact = _EXACT_CLOCK in self.media.format.name.split(",")

    def begin_at(self, entry: _Entry) -> None:
        """Go to a key picture; what comes before it is not looked at."""
        self.media.seek(entry.pts, stream=self.stream, backward=True)
        self._from, self._count, self._packets = entry.pts, Count(entry.number), entry.packets

    def stop(self) -> None:
        """The rest is not wanted: its absence is no loss."""
        self._stopped = True

    def image(self, picture: av.VideoFrame) -> Any:
        """The picture in RGB, upright."""
        return to_rgb(picture)

    def pictures(self) -> Iterator[tuple[av.VideoFrame, int, float]]:
        """Each with its number and its seconds."""
        for picture in self._decoded():
            if self._from is not None and (picture.pts is None or picture.pts < self._from):
                continue
            number = self._count.picture(picture.pts, picture.interlaced_frame)
            if self.first_number is None:
                self.first_number = number
            if picture.is_corrupt:
                self._trouble = self._trouble or "a picture is damaged"
                continue
            seconds = self._time_of(picture.pts, number)
            self._settle(seconds)
            self._seconds = seconds
            yield picture, number, seconds
            if self._stopped:
                return
        self._count.end()
        self._end()

    def _decoded(self) -> Iterator[av.VideoFrame]:
        import av

        for packet in self._demuxed():
            if packet.stream.index != self.stream.index:
                continue
            try:
                pictures = packet.decode()
            except (av.error.FFmpegError, OSError, ValueError, MemoryError) as error:
                self._trouble = self._trouble or f"cannot be decoded: {reason_of(error)}"
                continue
            for picture in pictures:
                check_size(picture.width, picture.height, self.name)
                yield picture

    def _demuxed(self) -> Iterator[Any]:
        import av

        wanted = [self.stream, *(one for one in self.media.streams.audio if one.codec_context is not None)]
        packets, in_a_row = self.media.demux(*wanted), 0
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except (av.error.FFmpegError, OSError, ValueError, IndexError) as error:
                # IndexError: damage made the container announce tracks while it is read
                in_a_row += 1
                self._trouble = self._trouble or f"cannot be read: {reason_of(error)}"
                if in_a_row == _MOST_ERRORS_IN_A_ROW:
                    self._end()
                    raise SourceFailed(
                        f"{self.name}: it cannot be read on ({reason_of(error)})", "what was read before it is kept"
                    ) from None
                packets = self.media.demux(*wanted)
                continue
            in_a_row = 0
            self._promise(packet)
            yield packet

    def _promise(self, packet: Any) -> None:
        base = packet.time_base or self._base
        if packet.size and packet.pts is not None:
            self._reached = max(self._reached, float((packet.pts + (packet.duration or 0)) * base))
        if packet.stream.index != self.stream.index or not packet.size:
            return
        if self._from is not None and (packet.pts is None or packet.pts < self._from):
            return
        self._packets += 1
        if packet.is_corrupt:
            self._trouble = self._trouble or "its data is damaged"
        if shows(packet):
            self._promised = True
            self._count.packet(packet.pts)
        elif packet.is_discard and self._promised:
            self._exact = False  # an index that takes pictures out of the middle may be a damaged one

    def _time_of(self, pts: int | None, number: int) -> float:
        if pts is not None and self._zero is None:
            self._zero = pts
        seconds = number * self._step if pts is None else float((pts - (self._zero or 0)) * self._base)
        if self._seconds is None:
            return max(0.0, seconds)
        if seconds <= self._seconds:
            self._trouble = self._trouble or "its clock goes back"
            return self._seconds + self._step
        return seconds

    def _settle(self, seconds: float) -> None:
        """Say what was missing before the picture at this time."""
        before = 0.0 if self._seconds is None else min(self._seconds + self._typical(), seconds)
        lost = len(self._count.lost)
        if lost or self._trouble:
            what = f"{lost} frame{'s' * (lost != 1)} missing" if lost else "damaged"
            self._add(before, seconds, f"{what}: {self._trouble}" if self._trouble else what)
        elif self._seconds is not None and len(self._steps) < _WAITS_TO_JUDGE_BY:
            self._early.append((self._seconds, seconds, seconds - self._seconds))
        elif self._seconds is not None and self._jumps(seconds - self._seconds):
            self._add(before, seconds, _JUMP)
        elif self._seconds is None and self._from is None and seconds > max(1.0, 10 * self._step):
            self._add(0.0, seconds, "the beginning is missing")
        if self._seconds is not None:
            self._steps.append(seconds - self._seconds)
            if len(self._steps) == _WAITS_TO_JUDGE_BY:
                self._judge_the_beginning()
        self._trouble = ""

    def _typical(self) -> float:
        return statistics.median(self._steps) if self._steps else self._step

    def _jumps(self, step: float) -> bool:
        """Whether so long a wait means that packets are missing, by the waits seen so far."""
        if self._exact or not self._steps:
            return False
        typical = self._typical()
        alike = sum(abs(one - typical) < 0.25 * typical for one in self._steps)
        return step > (1.75 * typical if alike >= 0.75 * len(self._steps) else max(1.0, 10 * typical))

    def _judge_the_beginning(self) -> None:
        """The first waits, held until enough others are known to judge them by."""
        for before, seconds, step in self._early:
            if not self._steps:
                self._steps.append(self._step)
            if self._jumps(step):
                self._add(before, seconds, _JUMP)
        self._early.clear()

    def _add(self, start: float, end: float, reason: str) -> None:
        self.gaps.append(Gap(round(start, 6), round(max(start, end), 6), reason))

    def _end(self) -> None:
        """Hold what came against what was declared."""
        self._judge_the_beginning()
        ends = 0.0 if self._seconds is None else self._seconds + self._typical()
        declared, duration = self.stream.frames, self._declared_end()
        short = duration is not None and duration - self._reached > self._slack()
        last = max(ends, (duration or 0.0) - float((self._zero or 0) * self._base))
        lost = len(self._count.lost)
        if 0 < self._packets < declared:
            self._add(ends, last, f"it declares {declared} frames and holds {self._packets}")
        elif short:
            self._add(ends, last, f"it declares {duration:.3f} s and ends at {self._reached:.3f} s")
        elif lost and self._packets:
            self._add(ends, max(last, ends + lost * self._step), f"{lost} frame{'s' * (lost != 1)} missing at the end")
        elif self._trouble:
            self._add(ends, last, self._trouble)
        elif "mpegts" in self.media.format.name and self.path.stat().st_size % 188:
            self._add(ends, last, "it ends within a packet")
        elif not self.gaps and self._from is None and self._was_passed_over():
            self._add(0.0, 0.0 if self._zero else last, "a part of the file is damaged and was passed over")
        if self.first_number is None and self._from is None:
            self.gaps.clear()
            raise SourceFailed(
                f"{self.name}: not one frame could be read{f' ({self._trouble})' if self._trouble else ''}",
                "give a file that is whole",
            )

    def _was_passed_over(self) -> bool:
        if "matroska" not in self.media.format.name:
            return False
        whole = hangs_together(self.path)
        return whole is False or (whole is None and bool(self._zero))

    def _declared_end(self) -> float | None:
        if not self.media.duration:
            return None
        begins = 0 if "matroska" in self.media.format.name else self.media.start_time or 0
        return float((self.media.duration + begins) / 1e6)

    def _slack(self) -> float:
        return 0.25 + self._step if self.media.streams.audio else 0.6 * self._step + 0.002


PLUGIN = Plugin(make=FileSource, summary="a video file", needs=("av",))
