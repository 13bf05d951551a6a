"""A version that is asked what another is asked, and is only compared: nobody hears what it says.

Its questions wait behind everybody's, and are left out where there is no room: a shadow never costs an answer.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from typing import Any, Final, final

import numpy as np

from throughline.contracts.artifacts import Array
from throughline.contracts.errors import ThroughlineError
from throughline.serving.batcher import Answered
from throughline.serving.served import Served
from throughline.stats.paired import mean_interval, t_test, wilcoxon

_KEPT: Final = 2000
_AT_ONCE: Final = 4


@final
class Shadow:
    """The shadow, and what it said compared with what was answered."""

    def __init__(self, served: Served) -> None:
        self.served = served
        self.asked = self.left_out = self.failed = 0
        self._pending: set[asyncio.Task[None]] = set()
        self._apart: list[float] = []
        self._sizes: list[tuple[float, float]] = []

    def follow(self, feeds: Mapping[str, Array], answer: asyncio.Future[Answered]) -> None:
        """Ask the same, and compare, once there is time: whoever was answered waits for none of it."""
        if answer.cancelled() or answer.exception() is not None:
            return
        if len(self._pending) >= _AT_ONCE or self.served.batcher.waiting:
            self.left_out += 1
            return
        task = asyncio.get_running_loop().create_task(self._compare(feeds, answer.result().outputs))
        self._pending.add(task)
        task.add_done_callback(self._pending.discard)

    async def _compare(self, feeds: Mapping[str, Array], outputs: Mapping[str, Array]) -> None:
        try:
            said = await self.served.ask(feeds, priority=-1)
        except ThroughlineError:
            self.failed += 1
            return
        self.asked += 1
        if len(self._apart) < _KEPT:
            self._apart.append(_apart(outputs, said.outputs))
            self._sizes.append((_size(outputs), _size(said.outputs)))

    def report(self) -> dict[str, Any]:
        """How far the two are apart, and whether one says more than the other: a paired test on the answers' size."""
        report: dict[str, Any] = {
            "version": self.served.version, "asked": self.asked, "left_out": self.left_out, "failed": self.failed,
        }  # fmt: skip
        if len(self._apart) >= 2:
            ordered = sorted(self._apart)
            report |= {"apart_median": ordered[len(ordered) // 2], "apart_most": ordered[-1]}
            one, other = (np.array(side) for side in zip(*self._sizes, strict=True))
            report["size"] = described(one, other)
        return report


def described(one: Any, other: Any) -> dict[str, float | int | str]:
    """The mean difference of pairs, its 95 % interval, and how often chance alone would give it."""
    differences = other - one
    low, high = mean_interval(differences)
    said: dict[str, float | int | str] = {
        "pairs": len(one), "difference": float(differences.mean()), "low": low, "high": high
    }  # fmt: skip
    return said | {test.name: test.p for test in (t_test(differences), wilcoxon(differences))}


def _apart(one: Mapping[str, Array], other: Mapping[str, Array]) -> float:
    """The worst output's error, as a share of its size."""
    worst = 0.0
    for name, array in one.items():
        theirs = other.get(name)
        if theirs is None or theirs.shape != array.shape:
            return math.inf
        if array.dtype.kind == "f" and array.size:
            size = float(np.sqrt(np.mean(np.square(array, dtype=np.float64)))) or 1.0
            worst = max(worst, float(np.sqrt(np.mean(np.square(array.astype(np.float64) - theirs)))) / size)
    return worst


def _size(outputs: Mapping[str, Array]) -> float:
    first = next(iter(outputs.values()))
    return float(np.mean(np.abs(first, dtype=np.float64))) if first.dtype.kind == "f" else 0.0
