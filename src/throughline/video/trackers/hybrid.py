"""Our own tracker: motion first, overlap beside it, looks when the two cannot tell.

Its clock is the frames' own time, so that a stride, a variable rate or a lost
second changes how sure it is of where things went, and not how fast it believes
they move. A frame is settled in two rounds: boxes that the model is sure of with
all tracks, then the doubtful ones with the tracks that are still alone. Doubtful
boxes keep a track alive and never begin one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, final

import numpy as np
import numpy.typing as npt

from throughline.assignment import pair
from throughline.contracts.detections import Detection, Detections
from throughline.contracts.errors import InputError
from throughline.contracts.frames import Frame
from throughline.plugins import Plugin
from throughline.video.trackers._appearance import LENGTH, difference, looks_of
from throughline.video.trackers._motion import KNOWN, Motion, centred, covered, overlap

_STEP: Final = 1 / 30
"""Seconds between updates when there is no frame to tell."""
_DECIDED: Final = 3.0
"""Two candidates whose costs are this close need a look."""
_CONVINCED: Final = 0.8
"""A box of this confidence is an object at first sight; others must be seen twice."""
_TRIAL: Final = 0.5
"""Seconds within which what was seen once must be seen again to become an object."""
_AWAY: Final = 0.5
"""After so many seconds out of sight, a return needs a look."""
_OVERLAP: Final = 2.0
"""What it costs a box to overlap its prediction in nothing."""
_FREE: Final = 0.1
"""How much of a box may be shared with another before what is seen there may be the other."""
_STALE: Final = 0.7
"""What it costs a track to have been out of sight, a second."""
_APART: Final = 0.7
"""How much of the smaller of two boxes may lie outside the other if they are to be one object, partly hidden."""
_LOOKS: Final = 24.0
"""What it costs to look like somebody else entirely rather than the same."""

Rows = npt.NDArray[np.intp]
Floats = npt.NDArray[np.float64]


@final
@dataclass(slots=True, eq=False)
class _Tracks:
    """Everything that is followed, one row each.

    Attributes:
        identity: the number that was given out; 0 until it is certain that this is an object.
        class_id: what it is.
        seen: when it was last found, in seconds.
        look: what it looked like when it was last seen clearly; zeros until then.
        motion: where it is going.
    """

    identity: npt.NDArray[np.int64]
    class_id: npt.NDArray[np.int64]
    seen: Floats
    look: npt.NDArray[np.uint8]
    motion: Motion

    @classmethod
    def of(cls, boxes: Floats, class_id: npt.NDArray[np.int64], seconds: float) -> _Tracks:
        count = len(boxes)
        return cls(
            np.zeros(count, np.int64),
            class_id.copy(),
            np.full(count, seconds),
            np.zeros((count, LENGTH), np.uint8),
            Motion.starting(boxes),
        )

    def __len__(self) -> int:
        return len(self.identity)

    def keep(self, rows: npt.NDArray[np.bool_]) -> _Tracks:
        motion = Motion(self.motion.known[:, rows])
        return _Tracks(self.identity[rows], self.class_id[rows], self.seen[rows], self.look[rows], motion)

    def plus(self, other: _Tracks) -> _Tracks:
        return _Tracks(
            np.concatenate((self.identity, other.identity)),
            np.concatenate((self.class_id, other.class_id)),
            np.concatenate((self.seen, other.seen)),
            np.concatenate((self.look, other.look)),
            Motion(np.concatenate((self.motion.known, other.motion.known), axis=1)),
        )


@final
class HybridTracker:
    """Follows objects by where they are going and, when that is ambiguous, by what they look like.

    Args:
        confidence: boxes from here on may begin a track; weaker ones may only continue one.
        memory: how many seconds a track that is not seen is kept.
        reach: how unlikely a continuation may be before a new object is the better explanation.
    """

    def __init__(self, *, confidence: float = 0.5, memory: float = 4.0, reach: float = 17.0) -> None:
        for name, value, low, high in (("confidence", confidence, 0, 1), ("memory", memory, 0, 600)):
            if not low <= value <= high:
                raise InputError(
                    f"{name} is {value}; it must be from {low} to {high}", f"give {name} a value in that range"
                )
        if not 0 < reach < np.inf:
            raise InputError(f"reach is {reach}; it must be above 0", "leave it out, or give a number like 14")
        self._confidence, self._memory, self._reach = confidence, memory, reach
        self._next = 1
        self._now = self._before = 0.0
        self._tracks = _nothing()

    def update(self, found: Detections | Sequence[Detection], frame: Frame | None = None) -> Detections:
        """The detections that are followed, each with its ``tracker_id``.

        Without a frame, time is taken to pass evenly at 30 frames per second, and looks do not count.
        Boxes that are not finite or have no area are left out.
        """
        if not isinstance(found, Detections):
            found = _in_columns(found)
        now = self._now + _STEP if frame is None else frame.seconds
        usable, boxes = _usable(found)
        class_id, confidence = found.class_id[usable], found.confidence[usable]
        self._tracks.motion.predict(max(0.0, now - self._now))
        self._before, self._now = self._now, now
        self._forget(frame)

        track_of = np.full(len(boxes), -1)
        free = np.ones(len(self._tracks), bool)
        sure = confidence >= self._confidence
        costs = self._costs(boxes, class_id)
        for columns, candidates in ((sure, free), (~sure, self._tracks.identity > 0)):
            asked, rows = np.nonzero(columns)[0], np.nonzero(free & candidates)[0]
            i, j = self._pair(costs[rows[:, None], asked], rows, boxes[asked], frame)
            track_of[asked[j]] = rows[i]
            free[rows[i]] = False

        asked = np.nonzero(sure & (track_of < 0))[0]
        rows = np.nonzero(free & (now - self._tracks.seen < _AWAY))[0]
        i, j = self._partly(rows, boxes[asked], class_id[asked])
        track_of[asked[j]] = rows[i]

        matched = np.nonzero(track_of >= 0)[0]
        rows = track_of[matched]
        self._tracks.motion.correct(rows, boxes[matched])
        self._tracks.seen[rows] = now
        again = self._tracks.identity[rows] == 0
        self._name(rows[again])

        fresh = np.nonzero(sure & (track_of < 0))[0]
        if len(fresh):
            track_of[fresh] = len(self._tracks) + np.arange(len(fresh))
            self._tracks = self._tracks.plus(_Tracks.of(boxes[fresh], class_id[fresh], now))
            self._name(track_of[fresh[confidence[fresh] >= _CONVINCED]])
        if frame is not None:
            self._remember(track_of, boxes, sure, frame)
        identity = np.where(track_of >= 0, self._tracks.identity[track_of], 0) if len(self._tracks) else track_of * 0
        shown = identity > 0
        return replace(found[usable[shown]], tracker_id=identity[shown])

    def reset(self) -> None:
        """Forget every object; numbers that were given out are not given out again."""
        self._tracks = _nothing()

    def state(self) -> dict[str, Any]:
        """All it knows, as JSON values; floats survive the round trip exactly."""
        tracks = self._tracks
        return {
            "next": self._next,
            "now": self._now,
            "identity": tracks.identity.tolist(),
            "class_id": tracks.class_id.tolist(),
            "seen": tracks.seen.tolist(),
            "look": [look.tobytes().hex() for look in tracks.look],
            **{name: column.tolist() for name, column in zip(KNOWN, tracks.motion.known, strict=True)},
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on exactly as the tracker that gave this state would have."""
        looks = [np.frombuffer(bytes.fromhex(look), np.uint8) for look in state["look"]]
        known = np.array([state[name] for name in KNOWN], np.float64).reshape(len(KNOWN), -1, 4)
        self._tracks = _Tracks(
            np.array(state["identity"], np.int64),
            np.array(state["class_id"], np.int64),
            np.array(state["seen"], np.float64),
            np.array(looks, np.uint8).reshape(-1, LENGTH),
            Motion(known),
        )
        self._next, self._now = state["next"], state["now"]
        self._before = self._now

    def _forget(self, frame: Frame | None) -> None:
        """Drop what has not been seen for too long, and what has walked out of the picture."""
        np.minimum(self._tracks.seen, self._now, out=self._tracks.seen)  # should the clock have gone back
        unseen = self._now - self._tracks.seen
        patience = np.where(self._tracks.identity > 0, self._memory, min(self._memory, _TRIAL))
        kept = unseen <= patience
        if frame is not None:
            place = self._tracks.motion.place[:, :2]
            inside = ((place > 0) & (place < frame.size[::-1])).all(axis=1)
            kept &= inside | (self._tracks.seen == self._before)
        if not kept.all():
            self._tracks = self._tracks.keep(kept)

    def _costs(self, boxes: Floats, class_id: npt.NDArray[np.int64]) -> Floats:
        """How unlikely it is, by place and time alone, that each track is each of these boxes."""
        tracks = self._tracks
        costs = tracks.motion.surprise(boxes)
        costs += _OVERLAP * (1 - overlap(tracks.motion.place, boxes))
        costs += _STALE * (self._before - tracks.seen)[:, None]
        np.putmask(costs, tracks.class_id[:, None] != class_id, np.inf)
        return costs

    def _pair(self, cost: Floats, rows: Rows, boxes: Floats, frame: Frame | None) -> tuple[Rows, Rows]:
        """Which of these tracks is which of these boxes."""
        if frame is not None and cost.size:
            lost = self._now - self._tracks.seen[rows] > _AWAY
            i, j = np.nonzero(_doubtful(cost, self._reach, lost))
            if len(i):
                asked = np.zeros(len(boxes), bool)
                asked[j] = True
                looks = looks_of(frame, boxes[asked])[np.cumsum(asked)[j] - 1]
                cost[i, j] += _LOOKS * (difference(self._tracks.look[rows[i]], looks) - 0.5)
        return pair(cost, self._reach)

    def _partly(self, rows: Rows, boxes: Floats, class_id: npt.NDArray[np.int64]) -> tuple[Rows, Rows]:
        """Which of these boxes is what can be seen of one of these tracks, or the whole of what was half hidden."""
        if not len(rows) or not len(boxes):
            return np.empty(0, np.intp), np.empty(0, np.intp)
        cost = 1 - covered(self._tracks.motion.place[rows], boxes)
        np.putmask(cost, self._tracks.class_id[rows][:, None] != class_id, np.inf)
        return pair(cost, _APART)

    def _name(self, rows: Rows) -> None:
        """Give each of these tracks the next number."""
        self._tracks.identity[rows] = self._next + np.arange(len(rows))
        self._next += len(rows)

    def _remember(self, track_of: Rows, boxes: Floats, sure: npt.NDArray[np.bool_], frame: Frame) -> None:
        """Look at whoever is new and, once a second, again at whoever stands free."""
        candidates = np.nonzero((track_of >= 0) & sure)[0]
        wanted = ~self._tracks.look[track_of[candidates]].any(axis=1)
        if np.floor(self._now) != np.floor(self._before):
            in_front = covered(boxes[candidates], boxes[candidates]) > _FREE
            wanted |= in_front.sum(axis=1) == 1  # itself
        wanting = candidates[wanted]
        if len(wanting):
            self._tracks.look[track_of[wanting]] = looks_of(frame, boxes[wanting])


def _doubtful(cost: Floats, reach: float, lost: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """The pairs that motion cannot settle: as good as another of their track or box, or long after the last sight."""
    of_track = np.minimum(cost.min(axis=1), reach)[:, None] + _DECIDED
    of_box = np.minimum(cost.min(axis=0), reach)[None] + _DECIDED
    near_track, near_box = cost < of_track, cost < of_box
    tied = near_track & (near_track.sum(axis=1) > 1)[:, None] | near_box & (near_box.sum(axis=0) > 1)[None]
    doubtful: npt.NDArray[np.bool_] = tied | (cost < reach + _DECIDED) & lost[:, None]
    return doubtful


def _usable(found: Detections) -> tuple[Rows, Floats]:
    """The boxes that are some: their numbers, and themselves, centred."""
    whole = np.isfinite(found.xyxy).all(axis=1) & np.isfinite(found.confidence)
    boxes = centred(found.xyxy if whole.all() else np.where(whole[:, None], found.xyxy, 0))
    usable = np.nonzero(whole & (boxes[:, 2] > 0) & (boxes[:, 3] > 0))[0]
    return usable, boxes[usable]


def _in_columns(found: Sequence[Detection]) -> Detections:
    """A list of detections, as ``ModelManager.predict_batch`` gives it, in columns."""
    names = {one.class_id: one.class_name for one in found}
    return Detections(
        np.array([one.bbox for one in found], np.float32).reshape(-1, 4),
        np.array([one.confidence for one in found], np.float32),
        np.array([one.class_id for one in found], np.int64),
        labels=tuple(names.get(number, str(number)) for number in range(max(names, default=-1) + 1)),
    )


def _nothing() -> _Tracks:
    return _Tracks.of(np.empty((0, 4)), np.empty(0, np.int64), 0.0)


PLUGIN = Plugin(make=HybridTracker, summary="motion, overlap and looks, on the frames' own clock")
