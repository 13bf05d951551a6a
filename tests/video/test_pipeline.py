from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from throughline.video.pipeline import Intake, Pipeline, Stage


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert not set(threading.enumerate()) - before


def counting(upto: int) -> Callable[[Intake[Any]], Iterator[int]]:
    return lambda intake: iter(range(upto))


def adding(more: int) -> Callable[[Intake[int]], Iterator[int]]:
    return lambda intake: (number + more for number in intake)


def test_everything_comes_out_in_order() -> None:
    with Pipeline([Stage("a", counting(500), 3), Stage("b", adding(1)), Stage("c", adding(1), 7)]) as pipeline:
        assert list(pipeline) == list(range(2, 502))
        times = pipeline.times()
    assert [(stage.name, stage.items) for stage in times] == [("a", 500), ("b", 500), ("c", 500)]
    assert [stage.deepest <= depth for stage, depth in zip(times, (3, 1, 7), strict=True)] == [True] * 3
    assert all(min(stage.busy, stage.starved, stage.blocked) >= 0 for stage in times)


def test_a_slow_reader_makes_all_wait_and_no_queue_grows() -> None:
    given: list[int] = []

    def source(_: Intake[Any]) -> Iterator[int]:
        for number in range(100):
            given.append(number)
            yield number

    with Pipeline([Stage("a", source, 2), Stage("b", adding(0), 1)]) as pipeline:
        for read in pipeline:
            # two wait and one is in hand behind a, one waits and one is in hand behind b
            assert len(given) <= read + 1 + 5
    assert len(given) == 100


@pytest.mark.parametrize("failing", [0, 1, 2, 3])
@pytest.mark.parametrize("after", [0, 1, 7])
def test_an_error_in_any_stage_comes_out_once_in_its_place(failing: int, after: int) -> None:
    def stage(at: int) -> Callable[[Intake[Any]], Iterator[int]]:
        def work(intake: Intake[Any]) -> Iterator[int]:
            for number in range(10_000) if at == 0 else intake:
                if at == failing and number == after:
                    raise ZeroDivisionError(f"stage {at}")
                yield number

        return work

    seen = []

    def read() -> None:
        with Pipeline([Stage(str(at), stage(at), 2) for at in range(4)]) as pipeline:
            for number in pipeline:
                seen.append(number)

    with pytest.raises(ZeroDivisionError, match=f"stage {failing}"):
        read()
    assert seen == list(range(after)), "what came before the error was delivered"


@pytest.mark.parametrize("read", [0, 1, 5])
def test_leaving_early_ends_every_stage_and_lets_it_clean_up_on_its_own_thread(read: int) -> None:
    cleaned = []

    def endless(_: Intake[Any]) -> Iterator[int]:
        mine = threading.current_thread()
        try:
            yield from range(10**9)
        finally:
            cleaned.append(threading.current_thread() is mine)

    with Pipeline([Stage("a", endless), Stage("b", adding(0))]) as pipeline:
        for number in pipeline:
            if number == read:
                break
    assert cleaned == [True]


def test_the_readers_own_error_is_the_one_that_is_raised() -> None:
    def failing_late(_: Intake[Any]) -> Iterator[int]:
        try:
            yield from range(100)
        finally:
            raise ValueError("while cleaning up")

    def read() -> None:
        with Pipeline([Stage("a", failing_late), Stage("b", adding(0))]) as pipeline:
            for _ in pipeline:
                raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        read()


def test_an_intake_gives_several_at_once_and_waits_only_when_patient() -> None:
    taken: list[list[int]] = []
    ready, go = threading.Event(), threading.Event()

    def source(_: Intake[Any]) -> Iterator[int]:
        yield from range(3)
        ready.set()
        go.wait()
        yield from range(3, 10)

    def taking(intake: Intake[int]) -> Iterator[int]:
        ready.wait()
        taken.append(intake.take(8, patient=False))
        go.set()
        while some := intake.take(4):
            taken.append(some)
        yield 0

    with Pipeline([Stage("a", source, 5), Stage("b", taking)]) as pipeline:
        assert list(pipeline) == [0]
    assert taken == [[0, 1, 2], [3, 4, 5, 6], [7, 8, 9]]
