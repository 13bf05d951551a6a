"""What the results of one source say, folded while they are read: a day of video takes no more memory than a clip.

Time is kept in a fixed number of bins; when the run outgrows them, they double in width.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from throughline.contracts.errors import InputError
from throughline.video.charts import Points

_BINS = 240


class Seen:
    """What one source's results say, folded while they are read."""

    def __init__(self) -> None:
        self.frames = 0
        self.detections: Counter[str] = Counter()
        self.tracks: dict[int, Track] = {}
        self.first = self.last = 0.0
        self._width = 0.04
        self._frames = [0] * _BINS
        self._counts: dict[str, list[int]] = {}

    @classmethod
    def read(cls, path: Path) -> Seen:
        """Everything in a ``detections.jsonl``."""
        seen = cls()
        with path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    record = json.loads(line)
                    rows = [(row["class_name"], row["tracker_id"]) for row in record["detections"]]
                    seen._take(float(record["seconds"]), rows)
                except (ValueError, KeyError, TypeError) as error:
                    raise InputError(f"{path}: line {number} is not a frame's results ({error!r})") from None
        return seen

    def _take(self, seconds: float, rows: Iterable[tuple[str, int | None]]) -> None:
        if self.frames == 0:
            self.first = seconds
        self.frames, self.last = self.frames + 1, max(self.last, seconds)
        while (slot := max(0, int((seconds - self.first) / self._width))) >= _BINS:
            self._width *= 2
            for bins in (self._frames, *self._counts.values()):
                bins[:] = [bins[place] + bins[place + 1] for place in range(0, _BINS, 2)] + [0] * (_BINS // 2)
        self._frames[slot] += 1
        for name, identity in rows:
            self.detections[name] += 1
            self._counts.setdefault(name, [0] * _BINS)[slot] += 1
            if identity is not None:
                self.tracks.setdefault(identity, Track(seconds)).take(seconds, name)

    def names(self) -> list[str]:
        """The classes, the most frequent first."""
        return [name for name, _ in self.detections.most_common()]

    def rates(self, names: Sequence[str]) -> Points:
        """How many objects of these classes there were in a frame, on average, along the time."""
        return [
            (
                min(self.first + (slot + 0.5) * self._width, self.last),
                sum(self._counts[name][slot] for name in names) / frames,
            )
            for slot, frames in enumerate(self._frames)
            if frames
        ]


class Track:
    """One object's life."""

    def __init__(self, start: float) -> None:
        self.start = self.end = start
        self.frames = 0
        self._names: Counter[str] = Counter()

    def take(self, seconds: float, name: str) -> None:
        """It was seen."""
        self.end = seconds
        self.frames += 1
        self._names[name] += 1

    @property
    def name(self) -> str:
        """The class that it was seen as most."""
        return self._names.most_common(1)[0][0]
