"""What was seen of one frame or request while a model worked: small enough to keep of every one, and to judge later.

An observation holds figures and no pixels. It leaves whoever made it through an ``Observer``, which
never makes that one wait: what it has no room for it drops, and counts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float32]
_NONE: Mapping[str, float] = MappingProxyType({})
_NAMELESS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Spoke:
    """Which model it was: what it is called, its version, and the hash of its file; each "" where nobody has said."""

    name: str = ""
    version: str = ""
    sha256: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Observation:
    """One frame or request.

    Attributes:
        request: its id, by which the truth is joined once it is known.
        seconds: when: the time of day in seconds, or the time from the start of its source.
        model: which model answered.
        numbers: figures by name; NaN where there is none (the size of boxes on a frame without any).
        categories: words by name.
        vector: a small embedding; None where there is none.
        picture: where the picture is kept; "" where it is not.
        prediction: the answer in a word or two: a class, a number.
        score: how sure the model was, from 0 to 1; NaN where it does not say.
        source: what it belongs to: a video, a camera.
    """

    request: str
    seconds: float
    model: Spoke = field(default_factory=Spoke)
    numbers: Mapping[str, float] = field(default_factory=lambda: _NONE)
    categories: Mapping[str, str] = field(default_factory=lambda: _NAMELESS)
    vector: Vector | None = None
    picture: str = ""
    prediction: str = ""
    score: float = math.nan
    source: str = ""


class Observer(Protocol):
    """Takes observations from whoever answers requests; any thread may call it, and none is made to wait."""

    def take(self, one: Observation) -> bool:
        """Keep it; False where there was no room, and it was dropped and counted."""

    def close(self) -> None:
        """Bring what was taken to where it belongs, and end."""
