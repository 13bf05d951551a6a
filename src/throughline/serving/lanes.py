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
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TypeAlias, final

import numpy as np

from throughline.contracts.artifacts import Array
from throughline.contracts.errors import InputError, ThroughlineError, first_line
from throughline.serving.refusals import Refused

Outcome: TypeAlias = dict[str, Array] | Exception
Predict: TypeAlias = Callable[[Mapping[str, Array]], dict[str, Array]]


@final
@dataclass(frozen=True, slots=True)
class Ran:
    """What came of a batch: for each request its outputs or its error, the seconds that the model took, and when."""

    answers: list[Outcome]
    seconds: float
    ended: float = field(default_factory=time.monotonic)


@final
@dataclass(slots=True, eq=False)
class Batch:
    """Requests on their way to the model.

    Attributes:
        feeds: what each was sent with.
        done: hears of the answers, in the event loop.
        made: the sound ones in one piece, once that is made.
        refused: those that are not sound, by their place, and why.
    """

    feeds: Sequence[Mapping[str, Array]]
    done: Callable[[Ran], None]
    made: Mapping[str, Array] | None = None
    refused: dict[int, Outcome] = field(default_factory=dict)

    def make(self) -> None:
        """Put the requests together, without those whose numbers are none."""
        if self.made is not None or len(self.refused) == len(self.feeds):
            return
        whole = together(self.feeds)
        if _finite(whole):
            self.made = whole
            return
        for at, one in enumerate(self.feeds):
            if not _finite(one):
                problem = f"input '{_where(one)}' holds values that are no finite numbers"
                self.refused[at] = InputError(problem, "send finite numbers")
        if sound := self.sound:
            self.made = together(sound)

    @property
    def sound(self) -> list[Mapping[str, Array]]:
        """Those that the model is asked."""
        return [one for at, one in enumerate(self.feeds) if at not in self.refused]

    def run(self, predict: Predict) -> Ran:
        """Ask the model; each alone where it stumbles."""
        spent = 0.0

        def timed(batch: Mapping[str, Array]) -> dict[str, Array]:
            nonlocal spent
            started = time.perf_counter()
            try:
                return predict(batch)
            finally:
                spent += time.perf_counter() - started

        try:
            self.make()
            found = iter(() if self.made is None else _outcomes(timed, self.sound, self.made))
            answers = [self.refused[at] if at in self.refused else next(found) for at in range(len(self.feeds))]
        except Exception as error:  # memory is full, say: the thread goes on
            return Ran([_said(error) for _ in self.feeds], 0.0)
        return Ran(answers, spent)


@final
class Lanes:
    """So many batches at once, and one thread that makes the next ones ready while the model runs.

    A thread that has run the model finds the next batch ready beside it, and asks nobody before it goes on: each time
    that threads wait for one another costs more than putting a batch together.
    """

    def __init__(self, predict: Predict, count: int, name: str) -> None:
        """``predict`` runs the model; ``count`` calls of it may go on side by side."""
        self._predict, self.count = predict, count
        self._loop = asyncio.get_running_loop()
        self._raw: queue.SimpleQueue[Batch | None] = queue.SimpleQueue()
        self._ready: queue.SimpleQueue[Batch | None] = queue.SimpleQueue()
        self._busy = 0
        self._maker = threading.Thread(target=self._make, name=f"{name}-next", daemon=True)
        self._runners = [
            threading.Thread(target=self._run, name=f"{name}-{one}", daemon=True) for one in range(count)
        ]  # fmt: skip
        for thread in (self._maker, *self._runners):
            thread.start()

    @property
    def free(self) -> int:
        """How many could begin at once."""
        return self.count - self._busy

    def run(self, feeds: Sequence[Mapping[str, Array]], done: Callable[[Ran], None]) -> None:
        """Run these as one batch; ``done`` is called in the event loop."""

        def ended(ran: Ran) -> None:
            self._busy -= 1
            done(ran)

        (self._ready if self.free > 0 else self._raw).put(Batch(feeds, ended))
        self._busy += 1

    def close(self) -> None:
        """End the threads once they have done what they were given."""
        self._raw.put(None)
        self._maker.join()
        for _ in self._runners:
            self._ready.put(None)
        for thread in self._runners:
            thread.join()

    def _make(self) -> None:
        while (batch := self._raw.get()) is not None:
            with suppress(Exception):  # it fails again where its requests hear of it
                batch.make()
            self._ready.put(batch)

    def _run(self) -> None:
        while (batch := self._ready.get()) is not None:
            ran = batch.run(self._predict)
            try:
                self._loop.call_soon_threadsafe(batch.done, ran)
            except RuntimeError:  # the loop is closed, and nobody waits
                return


def answered(predict: Predict, feeds: Sequence[Mapping[str, Array]]) -> list[Outcome]:
    """Run these as one batch, those apart that cannot be run."""
    return Batch(feeds, lambda _: None).run(predict).answers


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
