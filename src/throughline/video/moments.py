"""What a run is doing right now: the latest that each job told, and the last two minutes in samples.

A job tells by leaving a reference, and goes on. Whatever has to be worked out is worked
out here, on the time of whoever wants to know, and it takes no more memory on the second
day than in the third minute. A frame is held until it was drawn or the next one came.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias, final

import numpy as np

from throughline import hardware
from throughline.contracts.detections import Detections
from throughline.contracts.frames import Frame
from throughline.contracts.runs import Accounting
from throughline.video.pipeline import StageTimes

EVERY = 0.5
"""Seconds between two samples."""

_KEPT = 240
_RECENT = 10
"""Samples that "now" spans: a rate over less is as bumpy as the batches are."""
_CLASSES = 7
_GAPS = 5

Kind: TypeAlias = tuple[str, str]
"""Which model found it, where there are several, and the name of its class."""


@dataclass(frozen=True, slots=True)
class Moment:
    """What a job is doing, right now.

    Attributes:
        source: which source it works on.
        accounting: what became of its frames so far.
        detections: how many objects were found so far.
        stages: what each stage did so far.
        frame: the latest frame that is done.
        found: what was found in it.
    """

    source: str
    accounting: Accounting
    detections: int
    stages: tuple[StageTimes, ...]
    frame: Frame
    found: Detections


@final
class Moments:
    """The latest moment of every source, and their last two minutes; safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # held for a moment only: a job never waits for what is worked out here
        self._books = threading.Lock()
        self._feeds: dict[str, _Feed] = {}
        self._began = time.monotonic()
        self._cores = hardware.cores()
        self._memory: deque[int] = deque(maxlen=_KEPT)
        self._worked: deque[tuple[float, float]] = deque(maxlen=_RECENT)

    def take(self, moment: Moment) -> None:
        """Keep this one in place of the source's last."""
        with self._lock:
            feed = self._feeds.get(moment.source)
            if feed is None:
                feed = self._feeds[moment.source] = _Feed(moment)
            feed.moment, feed.frame = moment, moment.frame

    def end(self, source: str, said: str) -> None:
        """This source has ended, and this is said of it."""
        with self._lock:
            if source in self._feeds:
                self._feeds[source].ending = said

    def sample(self, now: float) -> None:
        """Note how things stand at this time of the monotonic clock."""
        import psutil

        with self._books:
            self._memory.append(psutil.Process().memory_info().rss)
            self._worked.append((now, time.process_time()))
            for feed in self._all():
                feed.sample(now)

    def picture(self, place: int) -> tuple[Frame, Detections] | None:
        """The latest frame of the source at this place that nobody has had yet, and what was found in it.

        Whoever takes it is the one who holds it: here it is let go.
        """
        with self._lock:
            feed = list(self._feeds.values())[place]
            if feed.frame is None:
                return None
            taken = feed.frame, feed.moment.found
            feed.let_go()
            return taken

    def waiting(self, now: float, longest: float) -> list[int]:
        """The places of sources that hold a frame although nothing new came for so long."""
        with self._lock:
            return [
                place
                for place, feed in enumerate(self._feeds.values())
                if feed.frame is not None and (feed.ending or now - feed.moved > longest)
            ]

    def __len__(self) -> int:
        return len(self._feeds)

    def told(self, now: float, chosen: int) -> dict[str, Any]:
        """How things stand as JSON values: every source in short, and one of them in full."""
        with self._books:
            feeds, worked = self._all(), self._worked
            wall = worked[-1][0] - worked[0][0] if worked else 0.0
            return {
                "seconds": now - self._began,
                "rate": _rate(feeds),
                "memory": list(self._memory),
                "processor": (worked[-1][1] - worked[0][1]) / wall if wall else None,
                "cores": self._cores,
                "every": EVERY,
                "sources": [feed.in_short(now) for feed in feeds],
                "place": chosen,
                "chosen": feeds[chosen].in_full() if 0 <= chosen < len(feeds) else None,
            }

    def _all(self) -> list[_Feed]:
        with self._lock:
            return list(self._feeds.values())


@dataclass(frozen=True, slots=True)
class _Sample:
    at: float
    accounting: Accounting
    stages: tuple[StageTimes, ...]
    counts: Mapping[Kind, int]
    rate: float


@dataclass
class _Feed:
    """One source: the latest moment, its frame until somebody takes it, and the samples."""

    moment: Moment
    frame: Frame | None = None
    ending: str = ""
    moved: float = 0.0
    began: tuple[float, int] | None = None
    samples: deque[_Sample] = field(default_factory=lambda: deque(maxlen=_KEPT))
    kinds: list[Kind] = field(default_factory=list)

    def let_go(self) -> None:
        """Of the picture and the masks; what the samples need stays."""
        nothing = Frame(self.moment.frame.index, self.moment.frame.seconds, np.empty((0, 0, 3), np.uint8), "")
        found = dataclasses.replace(self.moment.found, masks=None)
        self.moment, self.frame = dataclasses.replace(self.moment, frame=nothing, found=found), None

    def sample(self, now: float) -> None:
        """Note how this source stands."""
        moment = self.moment
        if self.ending and self.samples and self.samples[-1].accounting == moment.accounting:
            return
        decoded = moment.accounting.decoded
        if self.began is None:
            self.began = now, decoded
        if not self.samples or self.samples[-1].accounting.decoded != decoded:
            self.moved = now
        counts = counted(moment.found)
        self.kinds += [kind for kind in counts if kind not in self.kinds]
        before = self._recent()
        rate = (decoded - before.accounting.decoded) / (now - before.at) if before and now > before.at else 0.0
        self.samples.append(_Sample(now, moment.accounting, moment.stages, counts, rate))

    def in_short(self, now: float) -> dict[str, Any]:
        """What is said of every source."""
        moment, kept = self.moment, self.moment.accounting
        began, before = self.began or (now, kept.decoded)
        until = self.moved if self.ending else now
        average = (kept.decoded - before) / (until - began) if until > began else 0.0
        left = None
        if kept.declared and average and not self.ending:
            left = max(0, kept.declared - kept.decoded) / average
        gaps = [[gap.start, gap.end, gap.reason] for gap in kept.gaps[-_GAPS:]]
        return {
            "name": moment.source,
            "ending": self.ending,
            "frame": moment.frame.index,
            "at": moment.frame.seconds,
            "declared": kept.declared,
            "decoded": kept.decoded,
            "inferred": kept.inferred,
            "dropped": dict(kept.dropped),
            "gaps": {"count": len(kept.gaps), "last": gaps},
            "detections": moment.detections,
            "rate": average if self.ending else self.samples[-1].rate if self.samples else 0.0,
            "left": left,
            "whole": whole(moment.found),
        }

    def in_full(self) -> dict[str, Any]:
        """What is said of the source that is looked at."""
        kept, kinds = self.samples, self.kinds
        shown = kinds[:_CLASSES] if len(kinds) > _CLASSES + 1 else kinds
        several = len({model for model, _ in kinds}) > 1
        counts = {
            f"{name} ({model})" if several and model else name: [sample.counts.get((model, name), 0) for sample in kept]
            for model, name in shown
        }
        if rest := kinds[len(shown) :]:
            counts[f"{len(rest)} other classes"] = [sum(sample.counts.get(kind, 0) for kind in rest) for sample in kept]
        return {
            "counts": [{"name": name, "values": values} for name, values in counts.items()],
            "rates": [sample.rate for sample in kept],
            "stages": self._stages(),
        }

    def _stages(self) -> list[dict[str, Any]]:
        """What each stage did lately: the share of the time that it worked and waited, and milliseconds a frame."""
        now, before = self.samples[-1] if self.samples else None, self._recent()
        if now is None or before is None:
            return []
        wall = max(now.at - before.at, 1e-9)
        frames = now.accounting.inferred - before.accounting.inferred
        earlier = {stage.name: stage for stage in before.stages}
        rows = []
        for stage in now.stages:
            was = earlier.get(stage.name, StageTimes(stage.name, 0.0, 0.0, 0.0, 0, 0, 0))
            spent = {name: max(0.0, getattr(stage, name) - getattr(was, name)) for name in _SPENT}
            whole_time = max(wall, sum(spent.values()))
            rows.append(
                {
                    "name": stage.name,
                    "ms": 1000 * spent["busy"] / frames if frames else None,
                    **{name: seconds / whole_time for name, seconds in spent.items()},
                    "waiting": stage.waiting,
                    "deepest": stage.deepest,
                }
            )
        return rows

    def _recent(self) -> _Sample | None:
        return self.samples[max(0, len(self.samples) - _RECENT)] if self.samples else None


_SPENT = ("busy", "starved", "blocked")


def _rate(feeds: Sequence[_Feed]) -> float:
    """Frames per second of all that are at work, together; of the whole run once none is."""
    if at_work := [feed for feed in feeds if not feed.ending]:
        return sum(feed.samples[-1].rate for feed in at_work if feed.samples)
    begun = [(*feed.began, feed.moved, feed.moment.accounting.decoded) for feed in feeds if feed.began is not None]
    done = sum(decoded - before for _, before, _, decoded in begun)
    wall = max((moved for _, _, moved, _ in begun), default=0.0) - min((start for start, *_ in begun), default=0.0)
    return done / wall if wall > 0 else 0.0


def counted(found: Detections) -> Counter[Kind]:
    """How many objects of each class there are; what is said of the frame as a whole is no object."""
    models = found.data.get("model")
    return Counter(
        ("" if models is None else str(models[row]), found.name_of(int(found.class_id[row])))
        for row in np.flatnonzero(~found.of_frame).tolist()
    )


def whole(found: Detections) -> list[str]:
    """What is said of the frame as a whole, the surest first."""
    rows = np.flatnonzero(found.of_frame)
    rows = rows[np.argsort(-found.confidence[rows], kind="stable")]
    return [f"{found.name_of(int(found.class_id[row]))} {found.confidence[row]:.2f}" for row in rows.tolist()]
