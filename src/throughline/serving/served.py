"""One version of a model, open and warm: what it takes, its queue, and how it sees pictures.

It is shown to work before anybody is sent to it: it answers rows alone and in a full batch, with finite numbers and
the same ones. Only then is it offered; a version that does not pass never replaces one that does.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

import numpy as np

from throughline.contracts.artifacts import Array, Artifact, TensorSpec
from throughline.contracts.errors import InputError, ModelRefused
from throughline.models.artifact import read_artifact
from throughline.models.feeding import noise
from throughline.models.session import Session, open_model
from throughline.serving.batcher import Answered, Batcher, Feeds, Limits
from throughline.serving.lanes import Lanes
from throughline.serving.pace import Pace
from throughline.vision.detector import Detector, detector_for

_APART: Final = 0.02
"""A row in a batch and alone may differ by so much of the answer's size: halves and bytes round differently."""
_RUNS: Final = 3
_OF_TIMEOUT: Final = 0.8
"""Of the time that a request has, the model's part; the rest is for the way there and back."""
_SURE: Final = 0.6
"""The same where others wait already: whoever is let in then is to be answered even if it takes longer than it did."""
_CALM: Final = 0.005
"""A server that is so many seconds behind is not."""


@final
@dataclass(frozen=True, slots=True)
class Running:
    """How every version is run.

    Attributes:
        backend: the runtime, or "auto".
        device: where.
        threads: of a prediction; None for every core.
        max_batch_size: the largest batch.
        max_latency: the longest that a batch waits for more, in seconds.
        max_queue: how many rows may wait.
        timeout: the seconds in which a request is answered that says nothing else.
        conf: the least confidence of an object.
        iou: two boxes that overlap more are one object.
        trust: open models that are programs.
    """

    backend: str = "auto"
    device: str = "auto"
    threads: int | None = None
    max_batch_size: int = 8
    max_latency: float = 0.005
    max_queue: int = 512
    timeout: float = 1.0
    conf: float = 0.25
    iou: float = 0.7
    trust: bool = False


@final
@dataclass(frozen=True, slots=True, eq=False)
class Opened:
    """A version that was shown to work, and how long its batches take."""

    artifact: Artifact
    session: Session
    rows: int
    pace: Pace


def opened(path: Path, running: Running) -> Opened:
    """Open a model, warm it up, and see that it works; this takes its time, and is done beside the event loop.

    Raises:
        ThroughlineError: it cannot be opened, or does not answer as it should.
    """
    artifact = read_artifact(path)
    session = open_model(
        path, backend=running.backend, device=running.device, threads=running.threads, trust=running.trust
    )
    try:
        rows = _largest(session.inputs, session.outputs, running.max_batch_size)
        return Opened(artifact, session, rows, _warm(session, rows, artifact))
    except BaseException:
        session.close()
        raise


@final
class Served:
    """A version that requests are sent to."""

    def __init__(
        self, name: str, version: str, opened: Opened, running: Running, watch: Callable[[int, float], None]
    ) -> None:
        """``watch`` hears of every batch: its rows and its seconds.

        ``inside`` is how many requests are on their way through the server to it, or back.
        """
        self.name, self.version, self.running = name, version, running
        self.artifact, self.session = opened.artifact, opened.session
        self.inputs, self.outputs = opened.session.inputs, opened.session.outputs
        self.rows = opened.rows
        limits = Limits(opened.rows, running.max_latency, running.max_queue)
        lanes = Lanes(self.session.predict, self.session.lanes, f"{name}-{version}")
        self.batcher = Batcher(lanes, limits, opened.pace, watch)
        self._specs = {spec.name: spec for spec in self.inputs}
        self.inside = 0
        self._detectors: dict[tuple[int, int], Detector] = {}
        self._holders = 0
        self._let_go = asyncio.Event()

    def ask(self, feeds: Feeds, timeout: float | None = None, priority: int = 0) -> asyncio.Future[Answered]:
        """Send a request into the queue; its shapes are known to be those of the inputs."""
        sizes = {len(array) for array in feeds.values()} if self.rows > 1 else {1}
        rows = max(sizes)
        if len(sizes) > 1:
            raise InputError(f"the inputs have {sorted(sizes)} rows", "send the same number of rows in each")
        if rows > self.rows:
            raise InputError(f"{rows} rows at once; the model takes at most {self.rows}", "send several requests")
        kind = tuple((name, feeds[name].dtype.str, feeds[name].shape[1:]) for name in self._specs)
        limit = _OF_TIMEOUT * (self.running.timeout if timeout is None else timeout)
        return self.batcher.ask(feeds, rows, kind if self.rows > 1 else (object(),), limit, priority)

    def busy(self, timeout: float, lag: float) -> float | None:
        """After how many seconds to come again, where a request that came now would not be answered in time.

        Everything that is on its way through the server counts, also what has not yet come as far as the queue, and
        how far the server itself is behind (``lag``), on the way there and on the way back.
        """
        batches = self.inside // self.rows
        if not batches and 2 * lag < _OF_TIMEOUT * timeout:
            return None
        full = self.batcher.pace.of(self.rows) / self.session.lanes
        late = (batches + 1) * full + 2 * lag - _SURE * timeout
        return max(late, full) if late > 0 else None

    def pressed(self, lag: float) -> bool:
        """There may be too much to do."""
        return self.inside >= self.rows or lag > _CALM

    @contextmanager
    def held(self) -> Iterator[Served]:
        """It stays open while the block runs: whoever is on the way to ask it will be answered by it."""
        self._holders += 1
        try:
            yield self
        finally:
            self._holders -= 1
            if not self._holders:
                self._let_go.set()

    def waiting(self) -> float:
        """How many rows wait for it."""
        return float(self.batcher.waiting)

    def detector(self, size: tuple[int, int]) -> Detector:
        """What turns pictures of this height and width into what the model takes, and its answers into objects."""
        if (known := self._detectors.get(size)) is None:
            known = detector_for(self.artifact, self.session, frame=size, conf=self.running.conf, iou=self.running.iou)
            if len(self._detectors) > 256:
                self._detectors.clear()  # as many sizes as there are pictures: remembering them is no use
            self._detectors[size] = known
        return known

    async def close(self) -> None:
        """Answer everything that was accepted, then give the model back."""
        while self._holders:
            self._let_go.clear()
            await self._let_go.wait()
        await self.batcher.drain()
        await asyncio.to_thread(self._end)

    def _end(self) -> None:
        self.batcher.close()
        self.session.close()


def _largest(inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...], asked: int) -> int:
    """How many rows a batch may have: one request at a time where the first axis is not every tensor's own rows."""
    axes = [spec.shape[0] if spec.shape else None for spec in (*inputs, *outputs)]
    if all(isinstance(axis, str) for axis in axes) and len({axis for axis in axes[: len(inputs)]}) == 1:
        return asked
    return 1


def _warm(session: Session, rows: int, artifact: Artifact) -> Pace:
    full: Mapping[str, Array] = noise(session.inputs, rows, artifact.passport.imgsz)
    first, last = ({name: array[at:][:1] for name, array in full.items()} if rows > 1 else full for at in (0, rows - 1))
    alone, one = _timed(session, first)
    _finite(alone, artifact)
    if rows == 1:
        return Pace(one, one, 1)
    batch, most = _timed(session, full)
    _finite(batch, artifact)
    # a sum along the first axis leaves the first row as it is alone, and the last one not
    for at, single in ((0, alone), (rows - 1, session.predict(last))):
        for name, array in batch.items():
            if array.dtype.kind == "f" and array.ndim and len(array) == rows:
                apart = float(np.abs(array[at:][:1] - single[name]).max(initial=0))
                if apart > _APART * max(1e-6, float(np.abs(single[name]).max(initial=0))):
                    raise ModelRefused(
                        f"{artifact.path}: '{name}' of a row differs by {apart:.3g} in a batch of {rows} and alone",
                        "serve it with --max-batch-size 1",
                    )
    return Pace(one, most, rows)


def _timed(session: Session, feeds: Mapping[str, Array]) -> tuple[dict[str, Array], float]:
    """The answer, and the least of a few times: what others on this machine took is no part of the model's pace."""
    outputs, least = session.predict(feeds), float("inf")
    for _ in range(_RUNS):
        started = time.perf_counter()
        outputs = session.predict(feeds)
        least = min(least, time.perf_counter() - started)
    return outputs, least


def _finite(outputs: Mapping[str, Array], artifact: Artifact) -> None:
    for name, array in outputs.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ModelRefused(
                f"{artifact.path}: output '{name}' is not finite for plain noise", "look at it with: throughline verify"
            )
