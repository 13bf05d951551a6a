"""One pass over a video file's packets: pictures out, and a gap wherever something is missing.

What the packets promise and the decoder does not give, what the container declares and
the file does not hold, and jumps of the clock: each is noticed here, where it happens.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from throughline.contracts.errors import SourceFailed
from throughline.contracts.runs import Gap
from throughline.data.picture_headers import check_size
from throughline.video.sources._count import Count, is_dated, shows
from throughline.video.sources._matroska import hangs_together
from throughline.video.sources._media import reason_of
from throughline.video.sources._mp4 import is_trimmed
from throughline.video.sources._mpegts import ends_within_a_picture
from throughline.video.sources._table import Entry
from throughline.video.sources._waits import Waits, step_of

if TYPE_CHECKING:
    import av
    from av.container import InputContainer

_MOST_ERRORS_IN_A_ROW = 16
_BARE = {"mjpeg": b"\xff\xd8\xff", "h264": b"\1", "hevc": b"\1", "m4v": b"\1", "mpegvideo": b"\1", "vc1": b"\1"}
"""Pictures without a container, and how such a file begins: they are also found in one whose container is lost."""
_JUMP = "the clock jumps"


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
    first_place: int | None = None
    _count: Count = field(default_factory=Count)
    _zero: int | None = None
    _packets: int = 0
    _entry: Entry | None = None
    _from: int | None = None
    _seconds: float | None = None
    _trouble: str = ""
    _reached: float = 0.0
    _stopped: bool = False
    _promised: bool = False
    _hidden: bool = False
    _damaged: bool = False

    def __post_init__(self) -> None:
        self._zero = self.stream.start_time
        self._base = self.stream.time_base or Fraction(1, 90_000)
        self._dated = is_dated(self.media, self.stream)
        self._step, self._waits = step_of(self.stream), Waits(self.media, self.stream)

    def begin_at(self, entry: Entry) -> None:
        """Go to this key picture; what comes before it is not looked at."""
        self.media.seek(entry.pts, stream=self.stream, backward=True)
        self._entry, self._from, self._count, self._packets = entry, entry.pts, Count(entry.number), entry.number

    @property
    def astray(self) -> bool:
        """Whether what came first is not what it was told to begin at: an index may be damaged."""
        entry = self._entry
        return entry is not None and (self.first_number, self.first_place) != (entry.number, entry.place)

    @property
    def damaged(self) -> bool:
        """Whether a picture was lost or damaged so far: what a decoder gives from there on is partly its own."""
        return self._damaged or bool(self._trouble)

    def stop(self) -> None:
        """The rest is not wanted: its absence is no loss."""
        self._stopped = True

    def pictures(self) -> Iterator[tuple[av.VideoFrame, int, float]]:
        """Each with its number and its seconds."""
        for picture in self._decoded():
            if self._from is not None and (picture.pts is None or picture.pts < self._from):
                continue
            pts = picture.pts if self._dated else None
            number = self._count.picture(pts, picture.interlaced_frame)
            if self.first_number is None:
                self.first_number = number
            if picture.is_corrupt:
                self._trouble = self._trouble or "a picture is damaged"
                continue
            seconds = self._time_of(pts, number)
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
        if packet.pts == self._from and self.first_place is None:
            self.first_place = packet.pos
        self._packets += 1
        if packet.is_corrupt:
            self._trouble = self._trouble or "its data is damaged"
        if shows(packet):
            self._promised = True
            self._count.packet(packet.pts if self._dated else None)
        elif packet.is_discard:
            self._hidden = True
            if self._promised:
                self._waits.exact = False  # an index that takes pictures out of the middle may be a damaged one

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
        before = 0.0 if self._seconds is None else min(self._seconds + self._waits.typical, seconds)
        lost, trouble, self._trouble = len(self._count.lost), self._trouble, ""
        if lost or trouble:
            self._damaged = True
            what = f"{_frames(lost)} missing" if lost else "damaged"
            self._add(before, seconds, f"{what}: {trouble}" if trouble else what)
        if self._seconds is not None:
            for start, end in self._waits.jumps(self._seconds, seconds, explained=bool(lost or trouble)):
                self._add(start, end, _JUMP)
        elif not lost and not trouble and self._from is None and seconds > max(1.0, 10 * self._step):
            self._add(0.0, seconds, "the beginning is missing")

    def _add(self, start: float, end: float, reason: str) -> None:
        self.gaps.append(Gap(round(start, 6), round(max(start, end), 6), reason))

    def _end(self) -> None:
        """Hold what came against what was declared."""
        for start, end in self._waits.held():
            self._add(start, end, _JUMP)
        ends = 0.0 if self._seconds is None else self._seconds + self._waits.typical
        last = max(ends, (self._declared_end() or 0.0) - float((self._zero or 0) * self._base))
        lost = len(self._count.lost)
        self._damaged = self._damaged or lost > 0
        if short := self._falls_short():
            self._add(ends, last, short)
        elif lost and self._packets:
            self._add(ends, max(last, ends + lost * self._step), f"{_frames(lost)} missing at the end")
        elif self._trouble:
            self._add(ends, last, self._trouble)
        elif broken := self._breaks_off():
            self._damaged = True
            self._add(ends, last, broken)
        elif not self.gaps and self._from is None and self._was_passed_over():
            self._add(0.0, 0.0 if self._zero else last, "a part of the file is damaged and was passed over")
        if self.first_number is None and self._from is None:
            self.gaps.clear()
            raise SourceFailed(
                f"{self.name}: not one frame could be read{f' ({self._trouble})' if self._trouble else ''}",
                "give a file that is whole",
            )

    def _falls_short(self) -> str:
        """What it declares and does not hold."""
        declared, duration = self.stream.frames, self._declared_end()
        fewer = 0 < self._packets < declared
        if (fewer or self._hidden) and not is_trimmed(self.path, self.stream.id):
            if fewer:
                return f"it declares {declared} frames and holds {self._packets}"
            return "its edit list hides pictures, and what it says of its length does not agree"
        if duration is not None and duration - self._reached > self._slack():
            return f"it declares {duration:.3f} s and ends at {self._reached:.3f} s"
        return ""

    def _breaks_off(self) -> str:
        if "mpegts" not in self.media.format.name:
            return ""
        if self.path.stat().st_size % 188:
            return "it ends within a packet"
        with self.path.open("rb") as file:
            begins, _ = file.read(1), file.seek(-188, 2)
            if begins == b"G" != file.read(1):
                return "its end is no packet"
        return "it ends within a picture" if ends_within_a_picture(self.path, self.stream.id) else ""

    def _was_passed_over(self) -> bool:
        if self.media.format.name in _BARE:
            with self.path.open("rb") as file:
                return not file.read(64).lstrip(b"\0").startswith(_BARE[self.media.format.name])
        if "matroska" not in self.media.format.name:
            return False
        whole = hangs_together(self.path)
        return whole is False or (whole is None and bool(self._zero))

    def _declared_end(self) -> float | None:
        if not self.media.duration:
            return None
        ends_there = "matroska" in self.media.format.name or self.media.format.name == "flv"
        begins = 0 if ends_there else self.media.start_time or 0
        return float((self.media.duration + begins) / 1e6)

    def _slack(self) -> float:
        return 0.25 + self._step if self.media.streams.audio else 0.6 * self._step + 0.002


def _frames(number: int) -> str:
    return f"{number} frame{'s' * (number != 1)}"
