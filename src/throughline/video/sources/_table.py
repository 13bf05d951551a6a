"""The times of all packets of a file in which nothing is out of order: proof that reading may begin in the middle."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from throughline.video.sources._count import is_dated, shows
from throughline.video.sources._matroska import hangs_together
from throughline.video.sources._media import open_file, picture_stream
from throughline.video.sources._waits import Waits

WORTH_SEEKING = 64
"""So many pictures from the beginning on, decoding all of them is as good."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A key picture from which reading may begin, and where in the file its packet lies."""

    pts: int
    number: int
    place: int | None


@dataclass(frozen=True, slots=True)
class Table:
    """When each picture is due, and which of them are key pictures.

    Attributes:
        keys: the times of those, in order, with the place of each one's packet in the file.
    """

    times: list[int]
    keys: list[tuple[int, int | None]]
    zero: int
    base: Fraction

    @classmethod
    def read(cls, path: Path, threads: int | None) -> Table | None:
        """Read every packet, and decode none; None where the times cannot be trusted."""
        import av

        times: list[int] = []
        keys: list[tuple[int, int | None]] = []
        with open_file(path) as media:
            stream = picture_stream(media, path.name, threads)
            base, begins, declared = stream.time_base, stream.start_time, stream.frames
            whole = "matroska" not in media.format.name or hangs_together(path)
            if whole is False or (whole is None and begins) or not is_dated(media, stream):
                return None
            waits = Waits(media, stream)
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
                        keys.append((packet.pts, packet.pos))
            except (av.error.FFmpegError, OSError, ValueError, IndexError):
                return None
        times.sort()
        if not times or len(times) < declared or base is None or any(a == b for a, b in itertools.pairwise(times)):
            return None
        seconds = (float(pts * base) for pts in times)
        if any(waits.jumps(before, now) for before, now in itertools.pairwise(seconds)) or waits.held():
            return None
        return cls(times, sorted(keys), times[0] if begins is None else begins, base)

    def number_at(self, seconds: float) -> int:
        """The number of the first picture at this time or later."""
        return bisect.bisect_left(self.times, seconds - 1e-6, key=lambda pts: float((pts - self.zero) * self.base))

    def entry(self, number: int, seconds: float) -> Entry | None:
        """The last key picture before both; None where reading from the beginning is as good."""
        wanted = max(number, self.number_at(seconds))
        if wanted < WORTH_SEEKING or wanted >= len(self.times):
            return None
        return next(self.entries(wanted), None)

    def entries(self, number: int) -> Iterator[Entry]:
        """Every key picture up to the one of this number, the last one first; not the very first of the file."""
        due = self.times[min(number, len(self.times) - 1)]
        for at in range(bisect.bisect_right(self.keys, due, key=lambda key: key[0]) - 1, 0, -1):
            yield self._entry(*self.keys[at])

    def far_apart(self, least: int) -> Iterator[Entry]:
        """Key pictures with so many pictures or more between them, in order; not the very first of the file."""
        before = 0
        for key in self.keys:
            entry = self._entry(*key)
            if entry.number - before >= least:
                yield entry
                before = entry.number

    def _entry(self, pts: int, place: int | None) -> Entry:
        return Entry(pts, bisect.bisect_left(self.times, pts), place)
