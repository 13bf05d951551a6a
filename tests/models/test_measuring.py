"""A turn keeps every sample, and ends when it should; the machine that it ran on is told."""

from __future__ import annotations

import time

import pytest

from throughline.models.measuring import LEAST, timed, warmed_up
from throughline.models.surroundings import look_around


def test_every_call_of_a_turn_is_kept_and_they_fill_its_time() -> None:
    numbers: list[int] = []
    turn = timed(numbers.append, 4, seconds=0.02)
    assert numbers == list(range(len(turn.calls)))
    assert turn.samples == 4 * len(turn.calls)
    assert sum(turn.calls) == pytest.approx(turn.wall)
    assert turn.wall >= 0.02 or len(turn.calls) == 2000
    assert turn.peak_mb > 1


def test_a_slow_call_is_made_a_few_times_all_the_same() -> None:
    turn = timed(lambda number: sum(range(10_000)), 1, seconds=0.0, gpu_mb=lambda: 7.0)
    assert len(turn.calls) == LEAST
    assert turn.gpu_mb == 7.0


def test_processor_time_is_that_of_the_work() -> None:
    def work(number: int) -> None:
        until = time.process_time() + 0.02
        while time.process_time() < until:
            pass

    assert timed(work, 1, seconds=0.0).cpu >= LEAST * 0.02


def test_nothing_is_counted_before_the_runtime_has_settled() -> None:
    numbers: list[int] = []
    assert warmed_up(numbers.append) == len(numbers) >= LEAST


def test_the_machine_is_told_with_what_does_the_work() -> None:
    found = look_around()
    assert found.cores >= 1
    assert 0 <= found.busy <= 1
    assert {"numpy", "onnxruntime"} <= set(found.libraries)
