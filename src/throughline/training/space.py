"""What a search may choose from, written as a person would: ``1e-4 .. 1e-2 log``, ``2 .. 8 step 2``, ``adam | sgd``."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, final

from throughline.contracts.errors import InputError

_NUMBER: Final = r"[-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?"
_RANGE: Final = re.compile(rf"\s*({_NUMBER})\s*\.\.\s*({_NUMBER})\s*(log)?\s*(?:step\s+({_NUMBER}))?\s*")
_FEW: Final = 5
"""Points of a range that has no step, where every combination is tried."""


@final
@dataclass(frozen=True, slots=True)
class Range:
    """Numbers from ``low`` to ``high``, both included.

    Attributes:
        whole: whole numbers only.
        log: spread over orders of magnitude.
        step: how far apart they are; None for any.
    """

    low: float
    high: float
    whole: bool = False
    log: bool = False
    step: float | None = None

    def __post_init__(self) -> None:
        told = str(self)
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise InputError(f"'{told}' is no range", "the lower end first, and below the upper")
        if self.log and (self.low <= 0 or self.step is not None):
            raise InputError(f"'{told}' has no logarithm", "log needs ends above 0, and no step")
        if self.step is not None and not 0 < self.step <= self.high - self.low:
            raise InputError(f"'{told}' takes steps of {self.step:g}", "a step above 0 that fits in between")

    def __str__(self) -> str:
        told = f"{self.low:g} .. {self.high:g}" + (" log" if self.log else "")
        return told + (f" step {self.step:g}" if self.step is not None else "")

    def points(self) -> tuple[float, ...]:
        """A few of them that stand for all: every step, or some evenly spread."""
        if self.step is not None:
            count = math.floor((self.high - self.low) / self.step + 1e-9) + 1
            found = [self.low + number * self.step for number in range(count)]
        elif self.whole and self.high - self.low < _FEW:
            found = [self.low + number for number in range(int(self.high - self.low) + 1)]
        else:
            shares = [number / (_FEW - 1) for number in range(_FEW)]
            if self.log:
                found = [self.low * (self.high / self.low) ** share for share in shares]
            else:
                found = [self.low + (self.high - self.low) * share for share in shares]
        return tuple(dict.fromkeys(round(one) if self.whole else one for one in found))


@final
@dataclass(frozen=True, slots=True)
class Choice:
    """One of several."""

    options: tuple[Any, ...]

    def __post_init__(self) -> None:
        if len(self.options) < 2 or len(set(map(str, self.options))) < len(self.options):
            raise InputError(f"'{self}' leaves nothing to choose", "two or more different values")

    def __str__(self) -> str:
        return " | ".join(map(str, self.options))

    def points(self) -> tuple[Any, ...]:
        """All of them."""
        return self.options


Dimension: TypeAlias = Range | Choice
Space: TypeAlias = Mapping[str, Dimension]


def dimension(written: object) -> Dimension | None:
    """What a text, a pair of numbers or a list says may be chosen; None where it says one value.

    ``(low, high)`` is a range, of whole numbers where both are; a list is a choice.
    """
    if isinstance(written, Range | Choice):
        return written
    if isinstance(written, tuple) and len(written) == 2 and all(_is_number(one) for one in written):
        return Range(float(written[0]), float(written[1]), all(isinstance(one, int) for one in written))
    if isinstance(written, Sequence) and not isinstance(written, str):
        return Choice(tuple(written))
    if not isinstance(written, str):
        return None
    if found := _RANGE.fullmatch(written):
        low, high, log, step = found.groups()
        whole = all(re.fullmatch(r"[-+]?\d+", one) for one in (low, high, step) if one)
        return Range(float(low), float(high), whole, log is not None, None if step is None else float(step))
    if ".." in written and re.search(rf"{_NUMBER}\s*\.\.", written):
        raise InputError(f"'{written}' is no range", "LOW .. HIGH, then log or step N where it is wanted")
    if "|" in written:
        return Choice(tuple(part.strip() for part in written.split("|")))
    return None


def propose(trial: Any, space: Space) -> dict[str, Any]:
    """What an Optuna trial takes from each dimension."""
    return {name: _proposed(trial, name, one) for name, one in space.items()}


def short(value: object) -> str:
    """A value that was taken, as people read it."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def seeded(seed: int, number: int) -> int:
    """A seed of its own for every trial."""
    return (seed + 1_000_003 * number) % 2**32


def _proposed(trial: Any, name: str, one: Dimension) -> Any:
    if isinstance(one, Choice):
        return trial.suggest_categorical(name, one.options)
    if one.whole:
        return trial.suggest_int(name, int(one.low), int(one.high), log=one.log, step=int(one.step or 1))
    return trial.suggest_float(name, one.low, one.high, log=one.log, step=one.step)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
