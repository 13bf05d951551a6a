"""The queue: each answer belongs to its request, nobody waits for nobody, and what cannot be answered is not asked."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from throughline.serving.batcher import Batcher, Limits
from throughline.serving.lanes import Lanes
from throughline.serving.pace import Pace
from throughline.serving.refusals import Refused

ROWS = 4
LONG = 1000.0
NAME = "doubling"


@dataclass
class Doubling:
    """A model that doubles, says what it was given, and goes on only when it may."""

    may: threading.Event = field(default_factory=threading.Event)
    began: threading.Event = field(default_factory=threading.Event)
    batches: list[np.ndarray[Any, Any]] = field(default_factory=list)

    def __call__(self, feeds: Mapping[str, Any]) -> dict[str, Any]:
        self.batches.append(feeds["x"].copy())
        self.began.set()
        assert self.may.wait(30)
        return {"y": feeds["x"] * 2}

    def asked(self) -> list[float]:
        """The first value of every row that it was asked, in order."""
        return [float(value) for batch in self.batches for value in batch[:, 0]]


def run(
    use: Callable[[Batcher, Doubling], Awaitable[None]],
    *,
    rows: int = ROWS,
    queue: int = 500,
    lanes: int = 1,
    pace: float = 0.0,
    latency: float = 0.005,
    open_: bool = False,
) -> Doubling:
    """A batcher around a doubling model, used and put away."""
    model = Doubling()
    if open_:
        model.may.set()

    async def whole() -> None:
        batcher = Batcher(
            Lanes(model, lanes, NAME), Limits(rows, latency, queue), Pace(pace, pace, rows), lambda *_: None
        )
        try:
            await use(batcher, model)
            model.may.set()
            await asyncio.wait_for(batcher.drain(), 30)
            assert (batcher.waiting, batcher.running) == (0, 0)
        finally:
            model.may.set()
            batcher.close()
        assert not [thread for thread in threading.enumerate() if thread.name.startswith(NAME)]

    asyncio.run(whole())
    return model


def feed(value: float, rows: int = 1, width: int = 2) -> tuple[dict[str, Any], int, tuple[Any, ...]]:
    return {"x": np.full((rows, width), value, np.float32)}, rows, (width,)


async def begun(model: Doubling) -> None:
    """Wait until the model is busy, so that whatever is asked now waits."""
    assert await asyncio.to_thread(model.began.wait, 30)


requests = st.lists(st.tuples(st.integers(1, ROWS), st.integers(1, 3), st.integers(-2, 2)), min_size=1, max_size=40)


@given(requests, st.integers(1, 3))
def test_each_answer_belongs_to_its_request(asked: list[tuple[int, int, int]], lanes: int) -> None:
    async def use(batcher: Batcher, model: Doubling) -> None:
        answers = [
            batcher.ask(*feed(at + 1, rows, width), LONG, priority) for at, (rows, width, priority) in enumerate(asked)
        ]
        model.may.set()
        for at, (answer, (rows, width, _)) in enumerate(zip(await asyncio.gather(*answers), asked, strict=True)):
            assert answer.outputs["y"].shape == (rows, width)
            assert (answer.outputs["y"] == 2 * (at + 1)).all()
            assert rows <= answer.batch <= ROWS

    model = run(use, lanes=lanes)
    assert max(len(batch) for batch in model.batches) <= ROWS
    assert sorted(model.asked()) == sorted(at + 1 for at, (rows, _, _) in enumerate(asked) for _ in range(rows))


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=30))
def test_greater_priorities_go_first_and_equal_ones_in_order(priorities: list[int]) -> None:
    async def use(batcher: Batcher, model: Doubling) -> None:
        for _ in range(2):
            batcher.ask(*feed(-1, ROWS), LONG)  # one runs and one lies ready
        await begun(model)
        for at, priority in enumerate(priorities):
            batcher.ask(*feed(at), LONG, priority)

    asked = run(use).asked()[2 * ROWS :]
    assert asked == sorted(range(len(priorities)), key=lambda at: (-priorities[at], at))


@given(st.lists(st.booleans(), min_size=1, max_size=30))
def test_what_nobody_waits_for_any_more_is_not_computed(leaves: list[bool]) -> None:
    async def use(batcher: Batcher, model: Doubling) -> None:
        for _ in range(2):
            batcher.ask(*feed(-1, ROWS), LONG)
        await begun(model)
        answers = [batcher.ask(*feed(at), LONG) for at in range(len(leaves))]
        for answer, gone in zip(answers, leaves, strict=True):
            if gone:
                answer.cancel()
        model.may.set()
        await asyncio.gather(*answers, return_exceptions=True)

    assert run(use).asked()[2 * ROWS :] == [at for at, gone in enumerate(leaves) if not gone]


def test_a_lone_request_is_not_kept_waiting() -> None:
    async def use(batcher: Batcher, model: Doubling) -> None:
        for at in range(20):  # one after the other: nobody else is ever there
            answered = await batcher.ask(*feed(at), LONG)
            assert answered.queued < 0.5
            assert answered.batch == 1

    run(use, latency=5.0, open_=True)


def test_those_who_come_while_the_model_is_busy_share_a_batch() -> None:
    async def use(batcher: Batcher, model: Doubling) -> None:
        for _ in range(2):
            batcher.ask(*feed(-1, ROWS), LONG)
        await begun(model)
        answers = [batcher.ask(*feed(at, 1, 2 + at % 2), LONG) for at in range(2 * ROWS)]
        model.may.set()
        assert [one.batch for one in await asyncio.gather(*answers)] == [ROWS] * len(answers)

    assert [len(batch) for batch in run(use).batches] == [ROWS] * 4


def test_what_cannot_be_answered_in_time_is_refused_at_once_with_when_to_come_again() -> None:
    async def use(batcher: Batcher, model: Doubling) -> None:
        for _ in range(3):
            batcher.ask(*feed(0, ROWS), LONG)
        began = time.monotonic()
        with pytest.raises(Refused) as refused:
            batcher.ask(*feed(1), 2.0)
        assert time.monotonic() - began < 0.5
        assert refused.value.status == 503
        assert refused.value.retry_after is not None
        assert refused.value.retry_after > 0
        batcher.ask(*feed(2), LONG)  # who has the time may wait

    assert 1 not in run(use, pace=1.0).asked()


def test_no_more_rows_wait_than_may() -> None:
    async def use(batcher: Batcher, model: Doubling) -> None:
        batcher.ask(*feed(0, ROWS), LONG)
        await begun(model)
        for _ in range(10 + ROWS):  # and a batch that lies ready
            batcher.ask(*feed(1), LONG)
        assert batcher.waiting == 10
        with pytest.raises(Refused) as refused:
            batcher.ask(*feed(2), LONG)
        assert refused.value.status == 429
        assert batcher.waiting == 10

    run(use, queue=10)


def test_whose_time_is_over_is_told_while_the_model_is_still_busy_and_is_never_computed() -> None:
    async def use(batcher: Batcher, model: Doubling) -> None:
        for _ in range(2):
            batcher.ask(*feed(-1, ROWS), LONG)
        await begun(model)
        patient = batcher.ask(*feed(1), LONG)
        hasty = batcher.ask(*feed(2), 0.05)
        with pytest.raises(Refused) as refused:
            await asyncio.wait_for(asyncio.shield(hasty), 10)  # the model has not moved
        assert refused.value.status == 503
        assert not patient.done()
        model.may.set()
        await patient

    assert run(use).asked()[2 * ROWS :] == [1]


def test_after_it_was_drained_it_takes_nothing_more() -> None:
    async def use(batcher: Batcher, model: Doubling) -> None:
        answer = batcher.ask(*feed(1), LONG)
        await batcher.drain()
        assert answer.done()
        with pytest.raises(Refused):
            batcher.ask(*feed(2), LONG)

    assert run(use, open_=True).asked() == [1]


def test_what_lies_ready_still_takes_all_of_its_time() -> None:
    async def use(batcher: Batcher, model: Doubling) -> None:
        batcher._behind = 3.0  # so that several lie ready
        answers = [batcher.ask({"x": np.ones((1, 1))}, 1, (), LONG) for _ in range(4)]
        assert batcher.waiting == 0
        batcher._running = {at: (since - 9.0, batch) for at, (since, batch) in batcher._running.items()}
        assert batcher.delay() == pytest.approx(4.0)  # of those four, the first is over any moment
        model.may.set()
        await asyncio.gather(*answers)

    run(use, rows=1, pace=1.0)
