"""What was measured, in figures: how fast, how sure that is, and whether one model is faster than another.

A ratio is worked out within each round, where both worked at the same time, and its interval comes from rounds
drawn anew. Few rounds make such an interval too narrow, so that a difference counts as real only where so many of
the rounds agree as would by chance once in twenty times at most.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from throughline.models.measuring import Turn
from throughline.stats.bootstrap import Counts, Floats, percentile_interval, spread

INSIDE: Final = {
    "engine": ("the model alone", "predict on inputs that are ready; nothing else"),
    "frames": (
        "with pre- and post-processing",
        "a decoded frame scaled into the model's input, predict, and its outputs read: boxes, doubles suppressed",
    ),
    "run": (
        "decode to sink",
        "a whole run: decoding, the same as above, results in JSONL with journal and accounting; no tracker, and "
        "opening the model is not counted",
    ),
}
"""The three numbers: what each is called, and what is inside."""
NOISY: Final = 0.10
"""Rounds that differ by more than this share of their middle are worth a warning."""
_FOR_P99: Final = 100
_FEWEST: Final = 6
"""Of fewer rounds there is no interval: five that all agree are still chance once in sixteen times."""
_CHANCE: Final = 0.05


@dataclass(frozen=True, slots=True)
class Speed:
    """One model's figures at one level; None where something was not measured, and ``lacking`` says why.

    Attributes:
        model: its name in this comparison.
        level: which of ``INSIDE``.
        ran_on: the runtime, the device, the threads.
        batch: frames or rows in a call.
        calls: how many were timed; for whole runs, how many runs.
        samples: frames or rows, all calls together.
        p50_ms, p95_ms, p99_ms: of single calls.
        per_second: frames or rows a second, the middle of the rounds.
        cpu_ms: processor time a frame or row, of all threads.
        peak_mb: the most memory its process held while it worked.
        gpu_mb: GPU memory: what the model holds, or else what is in use on the whole GPU.
        gpu_busy: the share of time in which the GPU was at work.
        gpu_mhz: the GPU's clock.
        spread: how far the rounds differ: the largest less the smallest, as a share of the middle; None of one round.
        lacking: what was not measured, and why; of what was not measured at all, the only name is empty.
    """

    model: str
    level: str
    ran_on: str = ""
    batch: int | None = None
    calls: int = 0
    samples: int = 0
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    per_second: float | None = None
    cpu_ms: float | None = None
    peak_mb: float | None = None
    gpu_mb: float | None = None
    gpu_busy: float | None = None
    gpu_mhz: float | None = None
    spread: float | None = None
    lacking: Mapping[str, str] = field(default_factory=dict)

    @property
    def measured(self) -> bool:
        """Whether there is any figure at all."""
        return self.per_second is not None


@dataclass(frozen=True, slots=True)
class Faster:
    """One model against another, at one level.

    Attributes:
        ratio: how many times as fast as the other it is: the middle of the rounds' ratios.
        low, high: the 95 % interval of that; None of too few rounds.
        rounds: how many there were.
        agree: in how many it was faster.
        real: whether a difference can be told.
    """

    model: str
    other: str
    level: str
    ratio: float
    low: float | None
    high: float | None
    rounds: int
    agree: int
    real: bool

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return (
                f"{self.model} against {self.other}: {self.ratio:.2f} x, and too few rounds to tell "
                f"({self.rounds}): give --rounds {_FEWEST} or more"
            )
        if self.real:
            return f"{self.model} is {self.ratio:.2f} x as fast as {self.other} ({self.low:.2f} to {self.high:.2f})"
        within = (
            f"{self.ratio:.2f} x ({self.low:.2f} to {self.high:.2f}), faster in {self.agree} of {self.rounds} rounds"
        )
        return f"no difference can be told between {self.model} and {self.other}: {within}"


def seconds_of(turn: Turn) -> float:
    """What a turn says a frame takes: by the middle of its calls, or by its whole time where calls have none."""
    if not turn.calls:
        return turn.wall / turn.samples
    return statistics.median(turn.calls) * len(turn.calls) / turn.samples


def speed(model: str, level: str, ran_on: str, batch: int, turns: Sequence[Turn]) -> Speed:
    """The figures of one model's turns."""
    calls = 1000 * np.array([one for turn in turns for one in turn.calls])
    lacking = {}
    if not len(calls):
        lacking["p50, p95, p99"] = "frames overlap in a run, and no call stands alone"
    elif len(calls) < _FOR_P99:
        lacking["p99"] = f"it takes {_FOR_P99} calls, and there were {len(calls)}: give more --rounds"
    p50, p95, p99 = (float(one) for one in np.percentile(calls, (50, 95, 99))) if len(calls) else (None, None, None)
    each = [seconds_of(turn) for turn in turns]
    held = [turn.gpu_mb for turn in turns if turn.gpu_mb is not None]
    samples = sum(turn.samples for turn in turns)
    return Speed(
        model, level, ran_on, batch,
        calls=len(calls) or len(turns),
        samples=samples,
        p50_ms=p50,
        p95_ms=p95,
        p99_ms=None if "p99" in lacking else p99,
        per_second=statistics.median(turn.samples / turn.wall for turn in turns),
        cpu_ms=1000 * sum(turn.cpu for turn in turns) / samples,
        peak_mb=max(turn.peak_mb for turn in turns),
        gpu_mb=max(held, default=None),
        spread=(max(each) - min(each)) / statistics.median(each) if len(each) > 1 else None,
        lacking=lacking,
    )  # fmt: skip


def unmeasured(model: str, level: str, why: str) -> Speed:
    """A level that says nothing of this model, and why."""
    return Speed(model, level, lacking={"": why})


def faster(model: str, other: str, level: str, ours: Sequence[Turn], theirs: Sequence[Turn], seed: int = 0) -> Faster:
    """How many times as fast as the other one it is, round for round."""
    ratios = np.array([seconds_of(b) / seconds_of(a) for a, b in zip(ours, theirs, strict=True)])

    def middles(counts: Counts) -> Floats:
        drawn = [np.median(np.repeat(ratios, taken)) for taken in counts.T]
        return np.array(drawn, np.float64)

    middle, rounds = float(np.median(ratios)), len(ratios)
    interval = percentile_interval(middle, spread(middles, rounds, seed=seed), rounds, fewest=_FEWEST)
    agree = int((ratios > 1).sum())
    known = not math.isnan(interval.low)
    apart = known and not interval.low <= 1 <= interval.high
    return Faster(
        model, other, level, middle, interval.low if known else None, interval.high if known else None, rounds, agree,
        apart and _by_chance(agree, rounds) <= _CHANCE,
    )  # fmt: skip


def _by_chance(agree: int, rounds: int) -> float:
    """How often at least so many rounds agree, one way or the other, where there is no difference."""
    most = max(agree, rounds - agree)
    tail = sum(math.comb(rounds, count) for count in range(most, rounds + 1))
    return float(min(1.0, 2 * tail / 2**rounds))
