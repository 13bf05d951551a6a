"""How long calls take, one turn at a time: nothing is summed up here, so that every sample can be kept and looked at.

A turn ends when its time is up, or when it has more samples than anybody reads. What is called is the
caller's: a model alone, or all that is done with a frame.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from throughline.models.batching import peak
from throughline.models.timing import peak_rss_mb

STRETCH: Final = 0.4
"""Seconds that a turn takes, at least."""
LEAST: Final = 3
"""Calls in a turn, however long they take."""
_MOST: Final = 2000
"""Calls in a turn: more would fill a disk and say nothing new."""
_WARM: Final = 3


@final
@dataclass(frozen=True, slots=True)
class Turn:
    """What one turn took.

    Attributes:
        calls: seconds of each call; empty where calls overlap and have no time of their own.
        samples: rows or frames, all calls together.
        wall: seconds from the first call's begin to the last one's end.
        cpu: seconds of processor time, of all threads of the process and of those it started.
        peak_mb: the most memory the process has held since its warm-up ended.
        gpu_mb: what the model holds on the GPU; None where there is none or it does not say.
    """

    calls: tuple[float, ...]
    samples: int
    wall: float
    cpu: float
    peak_mb: float
    gpu_mb: float | None = None


def warmed_up(call: Callable[[int], object], seconds: float = STRETCH) -> int:
    """Call for as long as a turn, until the runtime has settled, and say how often; none of it is counted."""
    began, done = time.perf_counter(), 0
    while done < _WARM or (time.perf_counter() - began < seconds and done < _MOST):
        call(done)
        done += 1
    return done


def timed(
    call: Callable[[int], object],
    samples: int,
    *,
    least: int = LEAST,
    seconds: float = STRETCH,
    gpu_mb: Callable[[], float | None] = lambda: None,
) -> Turn:
    """Call again and again, each time with the number of the call, and time each.

    Args:
        call: does the work once.
        samples: rows in each call.
        least: so many calls are made however long they take.
        seconds: as many more follow as begin before this time is up.
        gpu_mb: what the model holds on the GPU.
    """
    calls: list[float] = []
    began, cpu = time.perf_counter(), processor_seconds()
    now = began
    while (len(calls) < least or now - began < seconds) and len(calls) < max(least, _MOST):
        call(len(calls))
        before, now = now, time.perf_counter()
        calls.append(now - before)
    spent = processor_seconds() - cpu
    return Turn(tuple(calls), samples * len(calls), now - began, spent, peak_mb(), gpu_mb())


def processor_seconds() -> float:
    """Seconds of processor time so far, of this process and of those it started that have ended."""
    about = os.times()
    return time.process_time() + about.children_user + about.children_system


def peak_mb() -> float:
    """The most memory this process has held since ``batching.begin_peak``, or since it started."""
    # what getrusage says would hold the peak of the process that started this one
    return peak() / 2**20 if Path("/proc/self/status").exists() else peak_rss_mb()
