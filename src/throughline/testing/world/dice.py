"""Chance that falls the same way everywhere.

Only the raw 64-bit stream of a bit generator is promised to stay the same
between numpy's versions and machines, so every draw of the world is made from
it, with integer and exactly rounded arithmetic alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar, final

import numpy as np
import numpy.typing as npt

T = TypeVar("T")


@final
class Dice:
    """A stream of draws that belongs to a few whole numbers, and to nothing else."""

    def __init__(self, *key: int) -> None:
        self._bits = np.random.PCG64(np.random.SeedSequence(key))

    def below(self, count: int) -> int:
        """A whole number from 0 up to, not including, ``count``."""
        return (int(self._bits.random_raw()) >> 11) * count >> 53

    def between(self, low: float, high: float) -> float:
        """A number from ``low`` to ``high``."""
        return low + (high - low) * ((int(self._bits.random_raw()) >> 11) / 9007199254740992.0)

    def chance(self, probability: float) -> bool:
        """True this often."""
        return self.between(0.0, 1.0) < probability

    def pick(self, choices: Sequence[T]) -> T:
        """One of them."""
        return choices[self.below(len(choices))]

    def bytes(self, *shape: int) -> npt.NDArray[np.uint8]:
        """Evenly distributed bytes."""
        count = 1
        for size in shape:
            count *= size
        words = np.asarray(self._bits.random_raw((count + 7) // 8), dtype="<u8")
        return words.view(np.uint8)[:count].reshape(shape)
