"""What a training run is told, checked whole before anything heavy is loaded, and enough to do it again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final


@final
@dataclass(frozen=True, slots=True)
class Recipe:
    """A training run, before it has run.

    Attributes:
        trainer: who carries it out.
        data: what it learns from, as ``open_data`` or ``open_table`` takes it.
        options: the trainer's own frozen dataclass, complete.
        seed: from which everything random follows.
        name: of the run and of what comes of it.
    """

    trainer: str
    data: str
    options: Any
    seed: int = 0
    name: str = ""
