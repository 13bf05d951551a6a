"""Stages on threads, joined by short queues: each works while the others do, and order is kept.

Every stage is a generator over what the stage before it gives, run on a thread of its own.
A queue that is full makes the stage before it wait, so memory is bounded by the slowest.
An error goes down the line in its place: what came before it is still delivered, then it
is raised, once, where the results are read. Closing cuts every queue, and every thread ends.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Self, TypeVar, final

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Stage:
    """One step: a generator function over its intake, and how many results may wait behind it."""

    name: str
    work: Callable[[Intake[Any]], Iterator[Any]]
    depth: int = 1


@dataclass(frozen=True, slots=True)
class StageTimes:
    """Where a stage's time went, in seconds, and how its queue stood.

    Attributes:
        busy: working.
        starved: waiting for the stage before it.
        blocked: waiting for room behind it.
        items: results given.
        deepest: the most results that ever waited behind it.
        waiting: how many wait behind it now.
    """

    name: str
    busy: float
    starved: float
    blocked: float
    items: int
    deepest: int
    waiting: int


class _Cut(BaseException):
    """The pipeline was closed while this thread waited."""


@final
class Intake(Generic[T]):
    """A bounded queue between two threads, as the reader sees it: an iterator that also gives several at once."""

    def __init__(self, depth: int) -> None:
        self.seconds_empty = 0.0
        self.deepest = 0
        self._depth = depth
        self._items: deque[T] = deque()
        self._changed = threading.Condition()
        self._ended = False
        self._error: BaseException | None = None
        self._cut = False

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        taken = self.take(1)
        if not taken:
            raise StopIteration
        return taken[0]

    def __len__(self) -> int:
        return len(self._items)

    def take(self, most: int, *, patient: bool = True) -> list[T]:
        """The next ``most`` items: fewer at the end, or as few as one when not ``patient``; none when all is read."""
        taken: list[T] = []
        with self._changed:
            while len(taken) < most:
                if not self._items and (not taken or patient):
                    self._await(lambda: bool(self._items) or self._ended)
                if not self._items:
                    break
                taken.append(self._items.popleft())
                self._changed.notify_all()
            if not taken and self._error is not None:
                raise self._error
        return taken

    def put(self, item: T) -> None:
        """Wait for room, and add an item."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._items) < self._depth or self._cut)
            if self._cut:
                raise _Cut
            self._items.append(item)
            self.deepest = max(self.deepest, len(self._items))
            self._changed.notify_all()

    def end(self, error: BaseException | None = None) -> None:
        """Nothing comes after this; ``error`` is raised when all before it has been read."""
        with self._changed:
            self._ended, self._error = True, error
            self._changed.notify_all()

    def cut(self) -> None:
        """Wake whoever waits here, and let nothing more through."""
        with self._changed:
            self._cut = True
            self._items.clear()
            self._changed.notify_all()

    def _await(self, ready: Callable[[], bool]) -> None:
        began = time.perf_counter()
        self._changed.wait_for(lambda: ready() or self._cut)
        self.seconds_empty += time.perf_counter() - began
        if self._cut:
            raise _Cut


@final
class Pipeline:
    """The stages at work. Iterate over it for the results of the last; as a context manager it always ends clean."""

    def __init__(self, stages: Sequence[Stage]) -> None:
        nothing: Intake[Any] = Intake(1)
        nothing.end()
        self._stages = stages
        self._intakes = [nothing, *(Intake[Any](stage.depth) for stage in stages)]
        self._blocked = [0.0] * len(stages)
        self._items = [0] * len(stages)
        self._seconds = [0.0] * len(stages)
        self._threads = [
            # daemons: a pipeline that somebody holds and never closes must not keep the program from ending
            threading.Thread(target=self._tend, args=(at,), name=f"throughline-{stage.name}", daemon=True)
            for at, stage in enumerate(stages)
        ]

    def __enter__(self) -> Self:
        try:
            for thread in self._threads:
                thread.start()
        except BaseException:
            self.close()
            raise
        return self

    def __iter__(self) -> Iterator[Any]:
        return self._intakes[-1]

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop every stage, and wait until its thread has ended."""
        for intake in self._intakes:
            intake.cut()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()

    def times(self) -> tuple[StageTimes, ...]:
        """What each stage did so far."""
        return tuple(
            StageTimes(
                stage.name,
                max(0.0, self._seconds[at] - self._intakes[at].seconds_empty - self._blocked[at]),
                self._intakes[at].seconds_empty,
                self._blocked[at],
                self._items[at],
                self._intakes[at + 1].deepest,
                len(self._intakes[at + 1]),
            )
            for at, stage in enumerate(self._stages)
        )

    def _tend(self, at: int) -> None:
        intake, onward = self._intakes[at], self._intakes[at + 1]
        began = time.perf_counter()
        error: BaseException | None = None
        results = self._stages[at].work(intake)
        try:
            for result in results:
                waits = time.perf_counter()
                onward.put(result)
                now = time.perf_counter()
                self._blocked[at] += now - waits
                self._items[at] += 1
                self._seconds[at] = now - began
        except _Cut:
            error = _closed(results)
        except BaseException as problem:  # whatever it is, it belongs to whoever reads the results
            error = problem
        finally:
            self._seconds[at] = time.perf_counter() - began
            onward.end(error)
            intake.cut()  # nobody reads it any more: the stages before this one need not go on


def _closed(results: Iterator[Any]) -> BaseException | None:
    """Let a generator clean up on the thread it ran on; what goes wrong there is an error like any other."""
    try:
        getattr(results, "close", lambda: None)()
    except _Cut:
        return None
    except BaseException as problem:
        return problem
    return None
