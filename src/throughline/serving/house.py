"""Everything that a server is made of, in one place: what its HTTP, gRPC and dashboard ask."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias, final

from throughline.contracts.frames import Frame
from throughline.serving.keys import Door
from throughline.serving.logs import Log
from throughline.serving.metrics import Metrics
from throughline.serving.pictures import Eyes, Seen
from throughline.serving.served import Served
from throughline.serving.shelf import Shelf
from throughline.serving.votes import Votes

Observe: TypeAlias = Callable[[str, Served, Seen], None]
"""Hears of every picture that was answered: the request's name, what answered, what was seen. It must not wait."""
Watch: TypeAlias = Callable[[Path], Iterator[Frame]]
"""The frames of a video file."""


@final
@dataclass(frozen=True, slots=True)
class Bounds:
    """What a client may send.

    Attributes:
        body: bytes of a request.
        video: bytes of a video.
        pictures: in one request.
    """

    body: int = 64 * 2**20
    video: int = 2 * 2**30
    pictures: int = 64


@final
@dataclass(slots=True, eq=False)
class House:
    """A server's rooms.

    Attributes:
        ready: it is willing to take requests; False from the moment on that it is asked to end.
        grace: the seconds between being asked to end and taking no more connections.
        feedback: hears what clients say of answers, beyond the votes.
    """

    shelf: Shelf
    door: Door
    metrics: Metrics
    log: Log
    eyes: Eyes
    bounds: Bounds = field(default_factory=Bounds)
    observe: Observe | None = None
    feedback: Callable[[str, Any], None] | None = None
    watch: Watch | None = None
    ready: bool = True
    grace: float = 0.0
    began: float = field(default_factory=time.time)
    votes: dict[str, Votes] = field(default_factory=dict)

    def answered(self, model: str, request: str, version: str) -> None:
        """Remember which version answered, where requests are shared out among several."""
        if request and len(self.shelf.models[model].weights) > 1:
            self.votes.setdefault(model, Votes()).answered(request, version)
