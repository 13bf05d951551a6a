"""The threads in which a model runs, and where a batch is put together: one poisoned row fails alone.

Numbers that are none (NaN, infinite) are found before the model sees them, so that whoever shares the batch gets the
answer that it would have had. Where the model itself stumbles, each request is asked alone, and only those that fail
alone fail.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias, final

import numpy as np

from throughline.contracts.artifacts import Array
from throughline.contracts.errors import InputError, ThroughlineError, first_line
from throughline.serving.refusals import Refused

Outcome: TypeAlias = dict[str, Array] | Exception
Predict: TypeAlias = Callable[[Mapping[str, Array]], dict[str, Array]]
_Work: TypeAlias = "tuple[int, Sequence[Mapping[str, Array]], Callable[[Ran], None]]"


@final
@dataclass(frozen=True, slots=True)
class Ran:
    """What came of a batch: for each request its outputs or its error, and the seconds that the model took."""

    answers: list[Outcome]
    seconds: float


@final
class Lanes:
    """So many batches at once, and one more thread that makes the next one ready while the model runs."""

    def __init__(self, predict: Predict, count: int, name: str) -> None:
        """``predict`` runs the model; ``count`` calls of it may go on side by side."""
        self._predict, self.count = predict, count
        self._loop = asyncio.get_running_loop()
        self._work: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        self._busy = 0
        self._turn, self._given, self._ended = threading.Condition(), 0, 0
        self._threads = [
            threading.Thread(target=self._serve, name=f"{name}-{one}", daemon=True) for one in range(count + 1)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def free(self) -> int:
        """How many could begin at once."""
        return self.count - self._busy

    def run(self, feeds: Sequence[Mapping[str, Array]], done: Callable[[Ran], None]) -> None:
        """Run these as one batch; ``done`` is called in the event loop."""
        self._busy += 1

        def ended(ran: Ran) -> None:
            self._busy -= 1
            done(ran)

        self._work.put((self._given, feeds, ended))
        self._given += 1

    def close(self) -> None:
        """End the threads once they have done what they were given."""
        for _ in self._threads:
            self._work.put(None)
        for thread in self._threads:
            thread.join()

    def _serve(self) -> None:
        while (work := self._work.get()) is not None:
            number, feeds, done = work
            spent = [0.0]

            def in_turn(
                batch: Mapping[str, Array], number: int = number, spent: list[float] = spent
            ) -> dict[str, Array]:
                with self._turn:
                    self._turn.wait_for(lambda: number < self._ended + self.count)
                started = time.perf_counter()
                try:
                    return self._predict(batch)
                finally:
                    spent[0] += time.perf_counter() - started

            try:
                ran = Ran(answered(in_turn, feeds), spent[0])
            except Exception as error:  # memory is full, say: the thread goes on
                ran = Ran([_said(error) for _ in feeds], 0.0)
            with self._turn:
                self._ended += 1
                self._turn.notify_all()
            try:
                self._loop.call_soon_threadsafe(done, ran)
            except RuntimeError:  # the loop is closed, and nobody waits
                return


def answered(predict: Predict, feeds: Sequence[Mapping[str, Array]]) -> list[Outcome]:
    """Run these as one batch, those apart that cannot be run."""
    answers: list[Outcome] = [{} for _ in feeds]
    sound = list(range(len(feeds)))
    batch = together(feeds)
    if not _finite(batch):
        sound = [at for at, one in enumerate(feeds) if _finite(one)]
        for at in set(range(len(feeds))).difference(sound):
            answers[at] = InputError(
                f"input '{_where(feeds[at])}' holds values that are no finite numbers", "send finite numbers"
            )
        batch = together([feeds[at] for at in sound]) if sound else {}
    if sound:
        for at, outcome in zip(sound, _outcomes(predict, [feeds[at] for at in sound], batch), strict=True):
            answers[at] = outcome
    return answers


def together(feeds: Sequence[Mapping[str, Array]]) -> Mapping[str, Array]:
    """Several requests as one batch."""
    if len(feeds) == 1:
        return feeds[0]
    return {name: np.concatenate([one[name] for one in feeds]) for name in feeds[0]}


def _outcomes(predict: Predict, feeds: Sequence[Mapping[str, Array]], batch: Mapping[str, Array]) -> list[Outcome]:
    try:
        outputs = predict(batch)
    except Exception as error:
        if len(feeds) == 1:
            return [_said(error)]
        alone = [_outcomes(predict, [one], one)[0] for one in feeds]
        failed = sum(isinstance(one, Exception) for one in alone)
        if failed == len(feeds):
            return alone
        return [_blamed(one) for one in alone]
    if len(feeds) == 1:
        return [outputs]
    sizes = [_rows(one) for one in feeds]
    if any(array.ndim == 0 or len(array) != sum(sizes) for array in outputs.values()):
        return [_outcomes(predict, [one], one)[0] for one in feeds]  # an output that is not by row: nothing to divide
    ends = np.cumsum([0, *sizes]).tolist()
    return [{name: array[start:end] for name, array in outputs.items()} for start, end in pairwise(ends)]


def _rows(feeds: Mapping[str, Array]) -> int:
    return len(next(iter(feeds.values())))


def _said(error: Exception) -> Exception:
    if isinstance(error, ThroughlineError):
        return error
    return Refused(500, f"the model failed: {first_line(error)[:200]}", "look at the server's log")


def _blamed(outcome: Outcome) -> Outcome:
    """The model answers others of the same batch: it is this request that it cannot take."""
    if not isinstance(outcome, Exception) or isinstance(outcome, InputError):
        return outcome
    problem = outcome.problem if isinstance(outcome, ThroughlineError) else first_line(outcome)
    return Refused(422, problem, "the model answered the others of the same batch: look at this request's values")


def _finite(feeds: Mapping[str, Array]) -> bool:
    for array in feeds.values():
        if not array.size or (array.dtype.kind != "f" and array.dtype.name != "bfloat16"):
            continue
        with np.errstate(all="ignore"):
            total = array.sum()
        if not np.isfinite(total) and not np.isfinite(array).all():
            return False
    return True


def _where(feeds: Mapping[str, Array]) -> str:
    return next((name for name, one in feeds.items() if not _finite({name: one})), "")
