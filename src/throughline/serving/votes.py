"""Which of the versions that share the requests is better: what clients say of answers afterwards, by version.

Only so many answers are remembered, the newest; what is said of older ones is counted as unknown.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Final, final

import numpy as np

from throughline.stats.runs import welch

_REMEMBERED: Final = 10_000
_KEPT: Final = 10_000


@final
class Votes:
    """What was said of the answers of one model."""

    def __init__(self) -> None:
        self.unknown = 0
        self._versions: OrderedDict[str, str] = OrderedDict()
        self._scores: dict[str, list[float]] = {}

    def answered(self, request: str, version: str) -> None:
        """Remember which version answered a request that has a name."""
        self._versions[request] = version
        if len(self._versions) > _REMEMBERED:
            self._versions.popitem(last=False)

    def say(self, request: str, score: float) -> bool:
        """Count what somebody says of an answer: greater is better. Once each; False where nobody knows the request."""
        version = self._versions.pop(request, None)
        if version is None:
            self.unknown += 1
            return False
        scores = self._scores.setdefault(version, [])
        if len(scores) < _KEPT:
            scores.append(score)
        return True

    def report(self) -> dict[str, Any]:
        """The mean of each version, and each against the first, by Welch's test."""
        means = {version: {"answers": len(one), "mean": float(np.mean(one))} for version, one in self._scores.items()}
        (first, *others) = sorted(self._scores) or ("",)
        tests = {}
        for version in others:
            one, other = (np.array(self._scores[name]) for name in (first, version))
            if min(len(one), len(other)) > 1:
                found = welch(one, other)
                tests[f"{version} against {first}"] = {
                    "difference": found.value, "low": found.low, "high": found.high, "p": found.test.p,
                }  # fmt: skip
        return {"versions": means, "tests": tests, "unknown": self.unknown}
