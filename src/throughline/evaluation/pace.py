"""How fast one way of running a model is beside another, measured in turn so that a busy moment hits both."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, final

from throughline.contracts.artifacts import Array, Predictor

_STRETCH: Final = 0.4
"""Seconds in which one of the two works before it is the other's turn."""


@final
@dataclass(frozen=True, slots=True)
class Runs:
    """One way of running a model: its calls' inputs, how many pictures each holds, and how many calls go at once."""

    predictor: Predictor
    calls: Sequence[Mapping[str, Array]]
    pictures: int
    lanes: int


@final
@dataclass(frozen=True, slots=True)
class Pace:
    """What was measured.

    Attributes:
        throughput: pictures a second, the median of the rounds.
        ratio: the other's seconds a picture over its own, the median of the pairs.
        latency_ms: the median of single calls.
    """

    throughput: float
    ratio: float
    latency_ms: float


def pace(one: Runs, other: Runs, rounds: int) -> Pace:
    """Measure ``one`` against ``other``, round after round in turn; nothing is counted before each has run."""
    _worked(one, 0.0)
    _worked(other, 0.0)
    ratios, rates, latencies = [], [], list[float]()
    for number in range(rounds):
        order = (one, other) if number % 2 == 0 else (other, one)
        seconds = {}
        for runs in order:
            took, each = _worked(runs, _STRETCH)
            seconds[id(runs)] = took
            if runs is one:
                latencies += each
        ratios.append(seconds[id(other)] / seconds[id(one)])
        rates.append(1 / seconds[id(one)])
    return Pace(statistics.median(rates), statistics.median(ratios), 1000 * statistics.median(latencies))


def _worked(runs: Runs, least: float) -> tuple[float, list[float]]:
    """Every input once, and again until the time is up: seconds a picture, and seconds of each call."""
    latencies: list[float] = []

    def call(feeds: Mapping[str, Array]) -> None:
        began = time.perf_counter()
        runs.predictor.predict(feeds)
        latencies.append(time.perf_counter() - began)

    began = time.perf_counter()
    if runs.lanes == 1:
        _until(call, runs.calls, began + least)
    else:
        shares = [runs.calls[lane :: runs.lanes] or runs.calls for lane in range(runs.lanes)]
        with ThreadPoolExecutor(runs.lanes) as pool:
            for done in [pool.submit(_until, call, share, began + least) for share in shares]:
                done.result()
    return (time.perf_counter() - began) / (len(latencies) * runs.pictures), latencies


def _until(call: Callable[[Mapping[str, Array]], None], calls: Sequence[Mapping[str, Array]], end: float) -> None:
    for number, feeds in enumerate(itertools.cycle(calls), 1):
        call(feeds)
        if number >= len(calls) and time.perf_counter() >= end:
            return
