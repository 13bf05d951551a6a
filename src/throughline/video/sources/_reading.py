"""One pass over a video file's packets: pictures out, and a gap wherever something is missing.

What the packets promise and the decoder does not give, what the container declares and
the file does not hold, and jumps of the clock: each is noticed here, where it happens.
"""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from throughline.contracts.errors import SourceFailed
from throughline.contracts.runs import Gap
from throughline.video.sources._count import Count, shows
from throughline.video.sources._headers import check_size
from throughline.video.sources._matroska import hangs_together
from throughline.video.sources._media import reason_of

if TYPE_CHECKING:
    import av
    from av.container import InputContainer

_MOST_ERRORS_IN_A_ROW = 16
_WAITS_TO_JUDGE_BY = 8
_JUMP = "the clock jumps"
_EXACT_CLOCK = "mov"
"""The container whose index holds every picture's length, so that a long wait is no loss."""


@final
@dataclass
class Reading:
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

    def begin_at(self, pts: int, number: int) -> None:
        """Go to the key picture of this time and number; what comes before it is not looked at."""
        self.media.seek(pts, stream=self.stream, backward=True)
        self._from, self._count, self._packets = pts, Count(number), number

    def stop(self) -> None:
        """The rest is not wanted: its absence is no loss."""
        self._stopped = True

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
