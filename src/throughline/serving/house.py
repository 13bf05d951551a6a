"""Everything that a server is made of, in one place: what its HTTP, gRPC and dashboard ask."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias, final

from throughline.contracts.frames import Frame
from throughline.serving.batcher import Answered, Feeds
from throughline.serving.keys import Door
from throughline.serving.logs import Log
from throughline.serving.metrics import Metrics
from throughline.serving.pictures import Eyes, Seen
from throughline.serving.served import Served
from throughline.serving.sharing import Sharing
from throughline.serving.shelf import Shelf
from throughline.serving.tracing import Tracing
from throughline.serving.votes import Votes

Observe: TypeAlias = Callable[[str, Served, Seen], None]
"""Hears of every picture that was answered: the request's name, what answered, what was seen. It must not wait."""
Watch: TypeAlias = Callable[[str], Iterator[Frame]]
"""The frames of a video file, or of a stream."""
Figures: TypeAlias = Callable[[], Mapping[tuple[str, str], float]]
"""What monitoring knows, by model and name."""


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
        streams: cameras and the like that the operator lets clients watch, by name; there are no others.
        version: of the product.
        lag: how many seconds the server itself is behind, with what has come and nobody has looked at.
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
    sharing: Sharing | None = None
    tracing: Tracing | None = None
    streams: Mapping[str, str] = field(default_factory=dict)
    observe: Observe | None = None
    observed: Figures | None = None
    feedback: Callable[[str, str], bool] | None = None
    watch: Watch | None = None
    version: str = ""
    ready: bool = True
    lag: float = 0.0
    grace: float = 0.0
    began: float = field(default_factory=time.time)
    votes: dict[str, Votes] = field(default_factory=dict)

    def ask(self, served: Served, feeds: Feeds, timeout: float | None, priority: int = 0) -> asyncio.Future[Answered]:
        """The answer to a request; others who ask the same share it, and a shadow follows it, where that is wanted."""
        if self.sharing is None:
            answer = served.ask(feeds, timeout, priority)
        else:
            answer = asyncio.ensure_future(self.sharing.ask(served, feeds, timeout, priority))
        model = self.shelf.models.get(served.name)
        if model is not None and (shadow := model.shadow) is not None:
            answer.add_done_callback(lambda done: shadow.follow(feeds, done))
        return answer

    def asked_for(self, url: bytes) -> Served | None:
        """What a request for this address will be answered by; None where that is not plain from it."""
        path, _, query = url.partition(b"?")
        parts = path.split(b"/", 4)
        if len(parts) > 3 and parts[1:3] == [b"v2", b"models"]:
            model = self.shelf.models.get(parts[3].decode("latin-1"))
        elif path == b"/predict":
            model = self.shelf.models.get(query.removeprefix(b"model=").decode("latin-1"))
            if model is None and len(self.shelf.models) == 1:
                model = next(iter(self.shelf.models.values()))
        else:
            return None
        return model.current if model is not None and model.weights else None

    def busy(self, served: Served, timeout: float | None) -> float | None:
        """After how many seconds to come again, where there is no time for a request now that has so much."""
        wait = served.busy(served.running.timeout if timeout is None else timeout, self.lag)
        if wait is not None:
            self.metrics.failed("overload", "http")
        return wait

    def answered(
        self, served: Served, protocol: str, request: str, stages: dict[str, float], parent: str | None = None
    ) -> None:
        """Count an answer, and remember which version gave it, where requests are shared out among several."""
        model, version = served.name, served.version
        self.metrics.answered(model, version, protocol, stages)
        if self.tracing is not None:
            self.tracing.answered(model, version, protocol, stages, parent)
        if request and len(self.shelf.models[model].weights) > 1:
            self.votes.setdefault(model, Votes()).answered(request, version)
