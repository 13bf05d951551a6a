"""What the results of one source say, folded while they are read: a day of video takes no more memory than a clip.

Time is kept in a fixed number of bins; when the run outgrows them, they double in width.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias, final

from throughline.contracts.errors import InputError
from throughline.reports.charts import Points

_BINS = 240

Kind: TypeAlias = tuple[str, str]
"""Which model said it, "" where there is only one, and the name of the class."""


class Seen:
    """What one source's results say, folded while they are read.

    Attributes:
        objects: how many objects of each kind there were.
        whole: how sure it was that the frame as a whole is of each kind, summed.
        surest: in how many frames each kind was the one that its model was surest of.
    """

    def __init__(self) -> None:
        self.frames = 0
        self.objects, self.whole = Tally(), Tally()
        self.surest: Counter[Kind] = Counter()
        self.tracks: dict[int, Track] = {}
        self.first = self.last = 0.0
        self._width = 0.04
        self._frames = [0.0] * _BINS

    @classmethod
    def read(cls, path: Path) -> Seen:
        """Everything in a ``detections.jsonl``."""
        seen = cls()
        with path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    record = json.loads(line)
                    rows = [(_kind(row), row["tracker_id"]) for row in record["detections"]]
                    whole = [(_kind(row), float(row["confidence"])) for row in record.get("classes", ())]
                    seen._take(float(record["seconds"]), rows, whole)
                except (ValueError, KeyError, TypeError) as error:
                    raise InputError(f"{path}: line {number} is not a frame's results ({error!r})") from None
        return seen

    def _take(
        self, seconds: float, rows: Iterable[tuple[Kind, int | None]], whole: Sequence[tuple[Kind, float]]
    ) -> None:
        if self.frames == 0:
            self.first = seconds
        self.frames, self.last = self.frames + 1, max(self.last, seconds)
        while (slot := max(0, int((seconds - self.first) / self._width))) >= _BINS:
            self._width *= 2
            for bins in (self._frames, *self.objects.bins(), *self.whole.bins()):
                bins[:] = [bins[place] + bins[place + 1] for place in range(0, _BINS, 2)] + [0] * (_BINS // 2)
        self._frames[slot] += 1
        for kind, identity in rows:
            self.objects.add(kind, slot, 1)
            if identity is not None:
                self.tracks.setdefault(identity, Track(seconds)).take(seconds, kind)
        for kind, confidence in whole:
            self.whole.add(kind, slot, confidence)
        surest_last = sorted(whole, key=lambda one: one[1])
        self.surest.update({model: (model, name) for (model, name), _ in surest_last}.values())

    def rates(self, tally: Tally, kinds: Sequence[Kind]) -> Points:
        """How much of these kinds there was in a frame, on average, along the time."""
        return [
            (min(self.first + (slot + 0.5) * self._width, self.last), tally.within(kinds, slot) / frames)
            for slot, frames in enumerate(self._frames)
            if frames
        ]


@final
class Tally:
    """How much of each kind there was, in all and in each bin of time."""

    def __init__(self) -> None:
        self.totals: dict[Kind, float] = {}
        self._bins: dict[Kind, list[float]] = {}

    def add(self, kind: Kind, slot: int, amount: float) -> None:
        """There was so much of it."""
        self.totals[kind] = self.totals.get(kind, 0) + amount
        self._bins.setdefault(kind, [0.0] * _BINS)[slot] += amount

    def models(self) -> list[str]:
        """Who said something, in the order in which they first did."""
        return list(dict.fromkeys(model for model, _ in self.totals))

    def kinds(self, model: str) -> list[Kind]:
        """What this model said, the most frequent first."""
        return sorted((kind for kind in self.totals if kind[0] == model), key=lambda kind: -self.totals[kind])

    def bins(self) -> Iterator[list[float]]:
        """Every kind's amounts along the time."""
        yield from self._bins.values()

    def within(self, kinds: Sequence[Kind], slot: int) -> float:
        """How much of these there was in one bin."""
        return sum(self._bins[kind][slot] for kind in kinds)


class Track:
    """One object's life."""

    def __init__(self, start: float) -> None:
        self.start = self.end = start
        self.frames = 0
        self._kinds: Counter[Kind] = Counter()

    def take(self, seconds: float, kind: Kind) -> None:
        """It was seen."""
        self.end = seconds
        self.frames += 1
        self._kinds[kind] += 1

    @property
    def kind(self) -> Kind:
        """What it was seen as most."""
        return self._kinds.most_common(1)[0][0]


def _kind(row: Mapping[str, Any]) -> Kind:
    return row.get("model", ""), row["class_name"]
