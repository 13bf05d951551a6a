"""What was tried for a faster model, which of it nothing beats, and which of that is the answer.

A candidate is beaten by one that is as fast and as accurate and better in one of the two. The
answer is the fastest that holds the accuracy; with a latency to be met, the most accurate that meets it.
Two that are within a few per cent of each other are told apart by accuracy, then by how plain they are,
so that a busy moment of the machine does not decide.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, final

from throughline.evaluation.non_inferiority import NonInferiority

ALIKE: Final = 0.03
"""Speeds that differ by less are the same speed."""


@final
@dataclass(frozen=True, slots=True)
class Setting:
    """One way to run the model.

    Attributes:
        recipe: which form of it (see ``recipes``).
        imgsz: the longer input side.
        lanes: how many predictions share the processor at once.
        batch: how many pictures go into one call.
        fitted: the input has the picture's shape where the model leaves it open; else it is a square.
    """

    recipe: str
    imgsz: int
    lanes: int
    batch: int
    fitted: bool = True

    def __str__(self) -> str:
        lanes = f", {self.lanes} at once" if self.lanes > 1 else ""
        square = "" if self.fitted else " square"
        return f"{self.recipe}, {self.imgsz} px{square}" + lanes + (f", batch {self.batch}" if self.batch > 1 else "")


@final
@dataclass(frozen=True, slots=True)
class Tried:
    """What became of one setting.

    Attributes:
        setting: what was tried.
        throughput: pictures a second; 0 where it was not measured.
        ratio: that over the baseline's, measured in turn with it.
        latency_ms: the median of one call.
        metric: its accuracy; not a number where it was not asked.
        held: how its accuracy stands to the baseline's; None where it was not asked.
        size: bytes of its files.
        memory: MB that a process takes that does nothing else; 0 where it was not measured.
        lost: why it is not the answer; empty for the one that is.
    """

    setting: Setting
    throughput: float
    ratio: float
    latency_ms: float
    metric: float
    held: NonInferiority | None
    size: int
    memory: float
    lost: str = ""


def front(tried: Sequence[Tried]) -> list[Tried]:
    """Those that none other beats, the fastest first."""
    measured = [one for one in tried if one.held is not None]
    kept = [
        one
        for one in measured
        if not any(
            other.ratio >= one.ratio
            and other.metric >= one.metric
            and (other.ratio > one.ratio or other.metric > one.metric)
            for other in measured
        )
    ]
    return sorted(kept, key=lambda one: -one.ratio)


def holds(one: Tried, accept_point_estimate: bool) -> bool:
    """Whether its accuracy is proven to be close enough; or, where that is accepted, looks so."""
    if one.held is None:
        return False
    return one.held.decision == "passed" or (accept_point_estimate and one.held.difference >= -one.held.margin)


def answer(
    tried: Sequence[Tried], plainest: Sequence[str], latency_target: float | None, accept_point_estimate: bool
) -> Tried | None:
    """The one to take; None where nothing holds. ``plainest`` lists the recipes, the plainest first."""
    able = [one for one in tried if holds(one, accept_point_estimate)]
    if latency_target is not None:
        able = [one for one in able if one.latency_ms <= latency_target]
        if not able:
            return None
        best = max(one.metric for one in able)
        able = [one for one in able if one.metric == best]
    if not able:
        return None
    fastest = max(one.ratio for one in able)
    alike = [one for one in able if one.ratio >= fastest * (1 - ALIKE)]
    return min(alike, key=lambda one: (-one.metric, plainest.index(one.setting.recipe), -one.ratio))
