"""Requests of one model, gathered into batches while the model is busy, and never made to wait for nobody.

A free model takes what is there. It waits for more only where more have just been seen to come: as many as were
answered a moment ago, for as long as they keep coming, and never beyond ``max_latency``. A request that cannot be
answered in its time is refused when it arrives, since it is then that whoever sent it can still go elsewhere.

All of this happens in the event loop, without locks; only the model itself runs in threads of its own.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, final

from throughline.contracts.artifacts import Array
from throughline.serving.lanes import Lanes, Ran
from throughline.serving.pace import Pace
from throughline.serving.refusals import Refused

Feeds: TypeAlias = Mapping[str, Array]
Kind: TypeAlias = tuple[Any, ...]

_GAP = 1e-3
"""While requests come at least this often, a batch that more are expected for waits for the next."""
_FORGETS = 0.9
"""How far behind we are is noticed at once, and forgotten by so much with each batch."""
_SOON = 0.02
"""Who was answered so short a time ago may be about to ask again."""


@final
@dataclass(frozen=True, slots=True)
class Limits:
    """What a queue allows.

    Attributes:
        rows: the largest batch.
        latency: the longest that a batch waits for more, in seconds.
        queue: how many rows may wait.
    """

    rows: int
    latency: float
    queue: int


@final
@dataclass(slots=True, eq=False)
class Waiting:
    """A request in the queue."""

    feeds: Feeds
    rows: int
    kind: Kind
    deadline: float
    priority: int
    arrived: float
    answer: asyncio.Future[Answered]
    started: float = 0.0


@final
@dataclass(frozen=True, slots=True)
class Answered:
    """An answer, and where its time went, in seconds."""

    outputs: dict[str, Array]
    queued: float
    computed: float
    batch: int


@final
class Batcher:
    """The queue of one version of a model."""

    def __init__(self, lanes: Lanes, limits: Limits, pace: Pace, watch: Callable[[int, float], None]) -> None:
        """``watch`` hears of every batch: its rows, and its seconds."""
        self.limits, self.pace = limits, pace
        self._lanes, self._watch = lanes, watch
        self._loop = asyncio.get_running_loop()
        self._lines: dict[Kind, deque[Waiting]] = {}
        self._running: dict[int, tuple[float, list[Waiting]]] = {}
        self._rows = self._number = 0
        self._last_arrival = self._last_answer = -math.inf
        self._expected = 0
        self._behind = 0.0  # how long an answer lies ready until we look at it
        self._timer: asyncio.TimerHandle | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at = math.inf
        self._closed = False
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def waiting(self) -> int:
        """How many rows wait."""
        return self._rows

    @property
    def running(self) -> int:
        """How many requests are being answered."""
        return sum(len(batch) for _, batch in self._running.values())

    def delay(self, rows: int = 1) -> float:
        """How long a request that came now would take, in seconds."""
        now = self._loop.time()
        takes = [(since, self.pace.of(sum(one.rows for one in batch))) for since, batch in self._running.values()]
        lanes = self._lanes.count
        begun = [max(0.0, since + seconds - now) for since, seconds in takes[:lanes]]
        begun += [seconds for _, seconds in takes[lanes:]]  # they lie ready, and have not begun
        batches, left = divmod(self._rows + rows, self.limits.rows)
        ahead = sum(begun) + batches * self.pace.of(self.limits.rows) + (self.pace.of(left) if left else 0.0)
        return ahead / self._lanes.count if ahead > self.pace.of(rows) else ahead

    def ask(self, feeds: Feeds, rows: int, kind: Kind, timeout: float, priority: int = 0) -> asyncio.Future[Answered]:
        """Queue a request; what comes of it is awaited, and can be cancelled.

        Args:
            feeds: its inputs.
            rows: how many rows they have.
            kind: what may be run in one batch with it: the same shapes.
            timeout: the seconds in which it must be answered.
            priority: greater ones go first.

        Raises:
            Refused: it could not be answered in its time, or too much waits already.
        """
        now = self._loop.time()
        if self._closed:
            raise Refused(503, "this version is closed", "come again", 1.0)
        if self._rows + rows > self.limits.queue:
            raise Refused(429, f"{self._rows} rows wait, and {self.limits.queue} may", "come again", self.delay())
        expected = self._expected_delay(rows, priority)
        if expected > timeout:
            raise Refused(
                503, f"an answer would take {expected * 1e3:.0f} ms, and {timeout * 1e3:.0f} ms are left",
                "come again, or give it more time", max(expected - timeout, self.pace.of(self.limits.rows)),
            )  # fmt: skip
        one = Waiting(feeds, rows, kind, now + timeout, priority, now, self._loop.create_future())
        self._put(one)
        self._rows += rows
        self._last_arrival = now
        self._idle.clear()
        self._pump()
        self._wake_by(one.deadline)
        return one.answer

    async def idle(self) -> None:
        """Wait until nothing waits or runs."""
        await self._idle.wait()

    async def drain(self) -> None:
        """Wait until everything that was accepted is answered, and accept nothing more."""
        await self._idle.wait()
        self._closed = True
        if self._alarm is not None:
            self._alarm.cancel()

    def close(self) -> None:
        """End the threads; nothing may be waiting any more."""
        self._lanes.close()

    def _expected_delay(self, rows: int, priority: int) -> float:
        if priority <= 0 or not self._rows:
            return self.delay(rows)
        before = sum(one.rows for line in self._lines.values() for one in line if one.priority >= priority)
        kept, self._rows = self._rows, before
        try:
            return self.delay(rows)
        finally:
            self._rows = kept

    def _put(self, one: Waiting) -> None:
        line = self._lines.setdefault(one.kind, deque())
        if not line or one.priority <= line[-1].priority:
            line.append(one)
            return
        line.insert(next(at for at, other in enumerate(line) if other.priority < one.priority), one)

    def _pump(self) -> None:
        """Start what can be started; where something is better waited for, come back then."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._rows:
            line = self._next_line()
            if line is None:
                break
            rows = self._ready(line)
            full = rows >= self.limits.rows
            if self._lanes.free <= 0 and not (full and self._may_lie_ready()):
                break
            now = self._loop.time()
            until = now if full else self._worth_waiting(line[0], rows, now)
            if until > now:
                self._timer = self._loop.call_at(until, self._pump)
                break
            self._start(line)
        if not self._rows and not self._running:
            self._idle.set()

    def _next_line(self) -> deque[Waiting] | None:
        """The line whose first request goes next; those that gave up, or whose time is over, are left out."""
        now = self._loop.time()
        best: deque[Waiting] | None = None
        for kind, line in list(self._lines.items()):
            while line and (line[0].answer.done() or line[0].deadline < now):
                self._give_up(line.popleft())
            if not line:
                del self._lines[kind]
            elif best is None or (-line[0].priority, line[0].arrived) < (-best[0].priority, best[0].arrived):
                best = line
        return best

    def _sweep(self) -> None:
        """Refuse everybody whose time is over, however long the model is busy, and come back for the next."""
        now, soonest = self._loop.time(), math.inf
        for line in self._lines.values():
            for one in [one for one in line if one.answer.done() or one.deadline <= now]:
                line.remove(one)
                self._give_up(one)
            soonest = min([soonest, *(one.deadline for one in line)])
        self._alarm = None
        self._wake_by(soonest)
        self._pump()

    def _wake_by(self, deadline: float) -> None:
        if not self._rows or (self._alarm is not None and self._alarm_at <= deadline):
            return
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm, self._alarm_at = self._loop.call_at(deadline, self._sweep), deadline

    def _give_up(self, one: Waiting) -> None:
        self._rows -= one.rows
        if not one.answer.done():
            one.answer.set_exception(Refused(503, "it waited longer than its time", "come again", self.delay()))

    def _ready(self, line: deque[Waiting]) -> int:
        rows = 0
        for one in line:
            rows += one.rows
            if rows >= self.limits.rows:
                return self.limits.rows
        return rows

    def _worth_waiting(self, first: Waiting, rows: int, now: float) -> float:
        """Until when to wait for more: not at all where nobody was just answered who could ask again."""
        expected = self._expected if now - self._last_answer < _SOON else 0
        if rows >= min(self.limits.rows, expected):
            return now
        since = max(first.arrived, self._last_answer)  # before that the model was busy, and nobody waited for others
        return min(since + self.limits.latency, max(self._last_arrival, self._last_answer) + _GAP)

    def _may_lie_ready(self) -> bool:
        """Another full batch may, so that the model need not wait for us while we do other things."""
        enough = 1 + int(self._behind / max(1e-3, self.pace.of(self.limits.rows)))
        return len(self._running) - self._lanes.count < self._lanes.count * enough

    def _start(self, line: deque[Waiting]) -> None:
        batch, rows, now = list[Waiting](), 0, self._loop.time()
        while (line and rows + line[0].rows <= self.limits.rows) or not batch:
            one = line.popleft()
            if one.answer.done() or one.deadline < now:
                self._give_up(one)
                if not line:
                    break
                continue
            self._rows -= one.rows
            one.started = now
            rows += one.rows
            batch.append(one)
        if not batch:
            return
        self._number += 1
        self._running[self._number] = now, batch
        number = self._number
        self._lanes.run([one.feeds for one in batch], lambda ran: self._done(number, ran))

    def _done(self, number: int, ran: Ran) -> None:
        _, batch = self._running.pop(number)
        rows = sum(one.rows for one in batch)
        self.pace.saw(rows, ran.seconds)
        self._watch(rows, ran.seconds)
        now = self._loop.time()
        for following in list(self._running)[self._lanes.count - 1 : self._lanes.count]:
            self._running[following] = now, self._running[following][1]  # it lay ready, and begins now
        self._behind = max(time.monotonic() - ran.ended, _FORGETS * self._behind)
        self._expected, self._last_answer = rows + self._rows, now
        for one, outputs in zip(batch, ran.answers, strict=True):
            if one.answer.done():
                continue
            if isinstance(outputs, Exception):
                one.answer.set_exception(outputs)
            else:
                one.answer.set_result(Answered(outputs, one.started - one.arrived, ran.seconds, rows))
        self._pump()
