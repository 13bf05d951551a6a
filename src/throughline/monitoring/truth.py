"""The truth comes late: answers wait for it by request id, and what they were worth is known over time.

Everything is bounded: so many answers wait, for so long; so many stretches of time are remembered, the oldest
forgotten first. What comes too late, twice, or of nobody is counted and changes no figure.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, final

from throughline.contracts.errors import InputError
from throughline.contracts.observations import Observation

_Z: Final = 1.959964
"""Of a normal distribution, 95 % lie within so many standard deviations."""


@dataclass(frozen=True, slots=True)
class Point:
    """What the answers of one stretch of time were worth.

    Attributes:
        start: when it began, in seconds.
        end: when it ended.
        count: of how many answers the truth is known.
        value: their mean score: the share of right ones, where right counts 1 and wrong 0.
        low: the 95 % interval's lower edge (Wilson's).
        high: its upper edge. Both NaN for scores that are no shares.
    """

    start: float
    end: float
    count: int
    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Joined:
    """How many of what came could be used.

    Attributes:
        joined: answers whose truth is known.
        waiting: answers that wait for it.
        expired: answers for which it did not come in time, or for which there was no room.
        late: truths of answers that had expired.
        duplicate: truths of answers whose truth was known, and answers with an id that was there; the first counts.
        unknown: truths of no answer that is remembered.
    """

    joined: int
    waiting: int
    expired: int
    late: int
    duplicate: int
    unknown: int


def same(answer: str, truth: str) -> float:
    """1 for a right answer, 0 for a wrong one."""
    return float(answer == truth)


def absolute_error(answer: str, truth: str) -> float:
    """How far a number is off."""
    return abs(float(answer) - float(truth))


@final
class LateTruth:
    """Joins answers and truths. Any thread may call it."""

    def __init__(
        self,
        *,
        every: float = 3600.0,
        patience: float = 7 * 86_400.0,
        most: int = 100_000,
        points: int = 1000,
        score: Callable[[str, str], float] = same,
    ) -> None:
        """Begin with nothing.

        Args:
            every: seconds to a stretch of time.
            patience: an answer waits for its truth so many seconds, by the answers' own clock.
            most: so many answers wait at most, and so many ids of others are remembered.
            points: so many stretches are remembered.
            score: what an answer is worth, given the truth.
        """
        if not every > 0 or not patience > 0 or most < 1 or points < 1:
            raise InputError("a stretch, a patience or a bound is not over 0", "give each more than 0")
        self._every, self._patience, self._most, self._points, self._score = every, patience, most, points, score
        self._lock = threading.Lock()
        self._waiting: OrderedDict[str, tuple[float, str]] = OrderedDict()
        self._gone: OrderedDict[str, bool] = OrderedDict()
        self._sums: dict[int, tuple[int, float, bool]] = {}
        self._now = -math.inf
        self._counts = dict.fromkeys(("joined", "expired", "late", "duplicate", "unknown"), 0)

    def take(self, one: Observation) -> bool:
        """An answer begins to wait; False for an id that was there before."""
        with self._lock:
            if one.request in self._waiting or one.request in self._gone:
                self._counts["duplicate"] += 1
                return False
            self._now = max(self._now, one.seconds)
            self._waiting[one.request] = one.seconds, one.prediction
            while self._waiting and (len(self._waiting) > self._most or self._now - self._oldest() > self._patience):
                self._remember(self._waiting.popitem(last=False)[0], told=False)
                self._counts["expired"] += 1
        return True

    def told(self, request: str, truth: str) -> bool:
        """The truth of an answer; False where it could not be used, which is counted."""
        with self._lock:
            if request not in self._waiting:
                known = self._gone.get(request)
                self._counts["unknown" if known is None else "duplicate" if known else "late"] += 1
                return False
            seconds, answer = self._waiting[request]
            value = float(self._score(answer, truth))  # may refuse the truth, which leaves the answer waiting
            del self._waiting[request]
            self._remember(request, told=True)
            self._counts["joined"] += 1
            stretch = math.floor(seconds / self._every)
            count, total, shares = self._sums.get(stretch, (0, 0.0, True))
            self._sums[stretch] = count + 1, total + value, shares and value in (0.0, 1.0)
            while len(self._sums) > self._points:
                del self._sums[min(self._sums)]
        return True

    def points(self) -> tuple[Point, ...]:
        """What the answers were worth, stretch by stretch, the oldest first."""
        with self._lock:
            kept = sorted(self._sums.items())
        return tuple(
            Point(at * self._every, (at + 1) * self._every, count, total / count, *_interval(count, total, shares))
            for at, (count, total, shares) in kept
        )

    def counts(self) -> Joined:
        """How many of what came could be used."""
        with self._lock:
            return Joined(waiting=len(self._waiting), **self._counts)

    def _oldest(self) -> float:
        return next(iter(self._waiting.values()))[0]

    def _remember(self, request: str, *, told: bool) -> None:
        self._gone[request] = told
        while len(self._gone) > self._most:
            self._gone.popitem(last=False)


def _interval(count: int, total: float, shares: bool) -> tuple[float, float]:
    """Wilson's interval of a share."""
    if not shares:
        return math.nan, math.nan
    share, wide = total / count, _Z * _Z / count
    middle = (share + wide / 2) / (1 + wide)
    half = _Z * math.sqrt(share * (1 - share) / count + wide / (4 * count)) / (1 + wide)
    return max(0.0, middle - half), min(1.0, middle + half)
