"""A server from what it was told to the House that hosts run, opened in their event loop, and closed again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, final

from throughline.serving.app import App
from throughline.serving.house import Bounds, Figures, House, Observe, Watch
from throughline.serving.keys import Door, read_keys
from throughline.serving.logs import Log
from throughline.serving.metrics import Metrics
from throughline.serving.pictures import Eyes
from throughline.serving.served import Running
from throughline.serving.sharing import Sharing
from throughline.serving.shelf import Shelf
from throughline.serving.tracing import tracing

Grpc: TypeAlias = tuple[str, int, Path | None, Path | None]
_EYES = 2
_PATIENCE, _LAST_WORDS = 30, 0.5


@final
@dataclass(frozen=True, slots=True)
class Monitor:
    """What somebody else makes of answers: the server only hands them over.

    Attributes:
        observe: hears of every picture that was answered.
        observed: what is known.
        feedback: hears what is true of an answer, by the request's name.
    """

    observe: Observe
    observed: Figures
    feedback: Callable[[str, str], bool]


@final
class Opening:
    """What is to be served, and how."""

    def __init__(
        self,
        models: Mapping[str, str],
        *,
        running: Mapping[str, Any],
        keys: Path | None = None,
        anonymous: bool = True,
        body: int = 64 * 2**20,
        grace: float = 0.0,
        watch: Watch | None = None,
        streams: Mapping[str, str] | None = None,
        dedupe: bool = False,
        cache: int = 0,
        monitor: Monitor | None = None,
        version: str = "",
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Names, and where their models are; keys are read at once, before anything is opened."""
        self._models, self._running, self._say = dict(models), Running(**running), say
        self._door = Door(read_keys(keys) if keys is not None else (), anonymous)
        self._bounds, self._grace, self._watch = Bounds(body=body), grace, watch
        self._streams, self._monitor, self._version = dict(streams or {}), monitor, version
        self._sharing = Sharing(dedupe, cache) if dedupe or cache else None
        self._house: House | None = None
        self._grpc: Any = None
        self.grpc_port: int | None = None
        self._began = time.monotonic()

    async def begin(self, grpc: Grpc | None = None) -> tuple[App, App]:
        """Open every model, one after the other; the application, and the one for health and metrics.

        Raises:
            ThroughlineError: a model does not work; nothing is served then.
        """
        metrics = Metrics()
        shelf = Shelf(self._running, metrics, self._say)
        house = House(
            shelf, self._door, metrics, Log(), Eyes(_EYES), self._bounds, self._sharing, tracing(), self._streams,
            watch=self._watch, version=self._version, grace=self._grace,
        )  # fmt: skip
        if self._monitor is not None:
            house.observe, house.observed = self._monitor.observe, self._monitor.observed
            house.feedback = self._monitor.feedback
        try:
            for name, source in self._models.items():
                await shelf.load(name, source)
            if grpc is not None:
                from throughline.serving.grpc import listening

                self._grpc, self.grpc_port = await listening(house, *grpc)
        except BaseException:
            await shelf.close()
            house.eyes.close()
            raise
        self._house = house
        return App(house), App(house, ops=True)

    async def end(self) -> None:
        """Answer what was accepted, and close everything."""
        house = self._house
        assert house is not None
        if self._grpc is not None:
            ending = asyncio.create_task(self._grpc.stop(_PATIENCE))
            await house.shelf.idle()
            await self._grpc.stop(_LAST_WORDS)  # a stream that nobody writes to any more keeps nobody waiting
            await ending
        await house.shelf.close()
        await asyncio.to_thread(house.eyes.close)
        if house.tracing is not None:
            await asyncio.to_thread(house.tracing.close)

    def totals(self) -> tuple[dict[str, int], dict[str, int], float]:
        """Requests answered by model, and refused by kind, and for how long it was open."""
        answered: dict[str, int] = {}
        refused: dict[str, int] = {}
        if self._house is not None:
            for name, labels, value in self._house.metrics.totals():
                if name == "throughline_requests_total":
                    answered[labels["model"]] = answered.get(labels["model"], 0) + int(value)
                elif name == "throughline_errors_total":
                    refused[labels["kind"]] = refused.get(labels["kind"], 0) + int(value)
        return answered, refused, time.monotonic() - self._began
