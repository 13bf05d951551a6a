from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from throughline.models import timing
from throughline.models.timing import Stopwatch, peak_rss_mb


class Clock:
    """Time that passes only when told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1_000
        monkeypatch.setattr(timing.time, "perf_counter_ns", lambda: self.now)

    def pass_ms(self, milliseconds: float) -> None:
        self.now += int(milliseconds * 1e6)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def _call(watch: Stopwatch, clock: Clock, milliseconds: float, samples: int | None = 1) -> None:
    started = watch.start()
    clock.pass_ms(milliseconds)
    watch.stop(started, samples)


def test_percentiles_are_those_of_the_calls(clock: Clock) -> None:
    watch = Stopwatch()
    for milliseconds in range(1, 101):
        _call(watch, clock, milliseconds)
    stats = watch.stats()
    assert (stats.p50_ms, stats.p90_ms, stats.p99_ms) == tuple(np.percentile(range(1, 101), (50, 90, 99)))
    assert stats.mean_ms == 50.5


def test_idle_time_is_not_throughput(clock: Clock) -> None:
    watch = Stopwatch()
    for _ in range(10):
        _call(watch, clock, 5, samples=4)
        clock.pass_ms(60_000)
    assert watch.stats().throughput == pytest.approx(40 / 0.05)


def test_calls_that_overlap_share_their_time(clock: Clock) -> None:
    watch = Stopwatch()
    first = watch.start()
    clock.pass_ms(5)
    second = watch.start()
    clock.pass_ms(5)
    watch.stop(first, 1)
    clock.pass_ms(5)
    watch.stop(second, 1)
    stats = watch.stats()
    assert stats.mean_ms == 10
    assert stats.throughput == pytest.approx(2 / 0.015)


def test_a_call_that_failed_costs_time_and_counts_for_nothing(clock: Clock) -> None:
    watch = Stopwatch()
    _call(watch, clock, 10, samples=None)
    _call(watch, clock, 10)
    stats = watch.stats()
    assert (stats.calls, stats.samples, stats.p50_ms) == (1, 1, 10)
    assert stats.throughput == pytest.approx(1 / 0.02)


def test_only_the_last_calls_are_kept_and_all_are_counted(clock: Clock) -> None:
    watch = Stopwatch()
    for _ in range(4096):
        _call(watch, clock, 1)
    for _ in range(4096):
        _call(watch, clock, 3)
    stats = watch.stats()
    assert (stats.calls, stats.mean_ms, stats.p50_ms) == (8192, 2, 3)


def test_a_reset_forgets_even_the_call_that_is_running(clock: Clock) -> None:
    watch = Stopwatch()
    running = watch.start()
    watch.reset()
    _call(watch, clock, 1)
    watch.stop(running, 1)
    assert watch.stats().calls == 1


def test_nothing_yet_is_zero_and_not_an_error() -> None:
    stats = Stopwatch().stats(gpu_bytes=3 << 20)
    assert (stats.calls, stats.p99_ms, stats.throughput, stats.gpu_mb) == (0, 0, 0, 3)
    assert "0 calls" in str(stats)
    assert "GPU 3 MB" in str(stats)


def test_many_threads_lose_no_count() -> None:
    watch = Stopwatch()

    def work(_: int) -> None:
        for _ in range(200):
            watch.batch(2)
            watch.stop(watch.start(), 2, 1)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    stats = watch.stats()
    assert (stats.calls, stats.samples, stats.non_finite, dict(stats.batch_sizes)) == (1600, 3200, 1600, {2: 1600})


def test_peak_memory_is_of_this_process() -> None:
    before = peak_rss_mb()
    held = np.ones(50 << 20, np.uint8)
    assert peak_rss_mb() >= max(before, held.nbytes / 2**20)
