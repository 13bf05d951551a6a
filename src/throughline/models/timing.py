"""How long predictions took, how many there were and what they cost, kept cheaply and told honestly.

Percentiles come from the last few thousand calls; counts and throughput from all of them.
Throughput is samples over the time in which at least one call was running, so neither
an idle hour nor eight overlapping threads distort it; a call that failed costs time too. Warm-up is never counted.
"""

from __future__ import annotations

import resource
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import final

import numpy as np

_KEPT = 4096


@dataclass(frozen=True, slots=True)
class PerformanceStats:
    """What a session did so far.

    Attributes:
        calls: predictions that returned.
        samples: rows in them.
        mean_ms, p50_ms, p90_ms, p99_ms: latency of a call; 0 before the first.
        throughput: samples per second of busy time.
        peak_rss_mb: the most memory the whole process has held since it started.
        gpu_mb: what the model holds on the GPU, where there is one and it says so.
        batch_sizes: how often the runtime was given a batch of each size.
        non_finite: NaN and infinite values returned.
    """

    calls: int
    samples: int
    mean_ms: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    throughput: float
    peak_rss_mb: float
    gpu_mb: float | None = None
    batch_sizes: Mapping[int, int] = field(default_factory=dict)
    non_finite: int = 0

    def __str__(self) -> str:
        line = (
            f"{self.calls} calls, {self.samples} samples, {self.throughput:.1f}/s; latency "
            f"p50 {self.p50_ms:.2f} ms, p90 {self.p90_ms:.2f} ms, p99 {self.p99_ms:.2f} ms; "
            f"peak memory {self.peak_rss_mb:.0f} MB"
        )
        gpu = "" if self.gpu_mb is None else f", GPU {self.gpu_mb:.0f} MB"
        return line + gpu + (f"; {self.non_finite} values not finite" if self.non_finite else "")


@final
class Stopwatch:
    """Times calls that may overlap. Every method is safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        """Forget everything; calls now running are not counted."""
        with self._lock:
            self._recent = np.zeros(_KEPT, np.int64)
            self._calls = self._samples = self._total = self._non_finite = 0
            self._running = self._busy = self._busy_since = 0
            self._batches: Counter[int] = Counter()
            self._generation = object()

    def start(self) -> tuple[object, int]:
        """Begin a call; hand what this returns to ``stop``."""
        with self._lock:
            now = time.perf_counter_ns()
            if self._running == 0:
                self._busy_since = now
            self._running += 1
            return self._generation, now

    def stop(self, started: tuple[object, int], samples: int | None, non_finite: int = 0) -> None:
        """End a call that answered ``samples`` rows; None when it failed."""
        generation, began = started
        with self._lock:
            if generation is not self._generation:
                return
            now = time.perf_counter_ns()
            self._running -= 1
            if samples is not None:
                self._recent[self._calls % _KEPT] = now - began
                self._calls += 1
                self._samples += samples
                self._total += now - began
                self._non_finite += non_finite
            if self._running == 0:
                self._busy += now - self._busy_since

    def batch(self, size: int) -> None:
        """Count one batch as the runtime was given it."""
        with self._lock:
            self._batches[size] += 1

    def stats(self, gpu_bytes: int | None = None) -> PerformanceStats:
        """The figures so far."""
        with self._lock:
            recent = self._recent[: min(self._calls, _KEPT)] / 1e6
            running = time.perf_counter_ns() - self._busy_since if self._running else 0
            busy = (self._busy + running) / 1e9
            calls, samples, total = self._calls, self._samples, self._total
            batches, non_finite = dict(sorted(self._batches.items())), self._non_finite
        p50, p90, p99 = (float(value) for value in np.percentile(recent, (50, 90, 99))) if calls else (0.0, 0.0, 0.0)
        return PerformanceStats(
            calls=calls,
            samples=samples,
            mean_ms=total / calls / 1e6 if calls else 0.0,
            p50_ms=p50,
            p90_ms=p90,
            p99_ms=p99,
            throughput=samples / busy if calls and busy else 0.0,
            peak_rss_mb=peak_rss_mb(),
            gpu_mb=None if gpu_bytes is None else gpu_bytes / 2**20,
            batch_sizes=batches,
            non_finite=non_finite,
        )


def peak_rss_mb() -> float:
    """The most memory this process has held since it started."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10
