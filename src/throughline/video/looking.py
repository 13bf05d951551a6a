"""What the models see in frames: fitted in, predicted, read. Any number of threads may look at once.

On a CPU, frames are looked at side by side, one thread each: no thread ever waits for
another in the middle of a model, so the same cores do more frames than they do with
every thread in the same frame. On a GPU, one call with many frames does that.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar, final

import numpy as np
import numpy.typing as npt

from throughline.contracts.detections import Detections
from throughline.contracts.frames import Frame
from throughline.video.pipeline import StageTimes
from throughline.vision.detector import Detector

_Given = TypeVar("_Given")
_Made = TypeVar("_Made")


@final
class Looking:
    """Several models, each with buffers that are allocated once a thread, and what the steps took so far."""

    def __init__(self, detectors: Sequence[Detector], batch: int) -> None:
        self._detectors, self._batch = detectors, batch
        self._own = threading.local()
        self._lock = threading.Lock()
        self._frames = 0
        self._seconds = {"letterbox": 0.0, "model": 0.0, "decode outputs": 0.0}

    def __call__(self, frames: Sequence[Frame]) -> list[tuple[Detections, ...]]:
        """For each frame, what each model says of it."""
        said = [self._one(detector, buffer, frames) for detector, buffer in self._buffers()]
        with self._lock:
            self._frames += len(frames)
        return list(zip(*said, strict=True))

    def times(self) -> Iterator[StageTimes]:
        """What each step took, all threads together."""
        for name, seconds in self._seconds.items():
            yield StageTimes(name, seconds, 0.0, 0.0, self._frames, 0, 0)

    def _buffers(self) -> list[tuple[Detector, npt.NDArray[np.float32]]]:
        if not hasattr(self._own, "buffers"):
            self._own.buffers = [(detector, detector.buffer(self._batch)) for detector in self._detectors]
        buffers: list[tuple[Detector, npt.NDArray[np.float32]]] = self._own.buffers
        return buffers

    def _one(self, detector: Detector, buffer: npt.NDArray[np.float32], frames: Sequence[Frame]) -> list[Detections]:
        batch = buffer[: len(frames)]
        with self._timed("letterbox"):
            fits = detector.fill(batch, frames)
        with self._timed("model"):
            outputs = detector.predict(batch)
        with self._timed("decode outputs"):
            return detector.read(outputs, fits)

    @contextlib.contextmanager
    def _timed(self, step: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        with self._lock:
            self._seconds[step] += time.perf_counter() - began


def side_by_side(
    call: Callable[[_Given], _Made], several: Iterator[_Given], lanes: int
) -> Iterator[tuple[_Given, _Made]]:
    """Each of several with what ``call`` makes of it, in order; so many are worked on at once."""
    if lanes == 1:
        yield from ((given, call(given)) for given in several)
        return
    waiting: deque[tuple[_Given, Future[_Made]]] = deque()
    pool = ThreadPoolExecutor(lanes, "throughline-look")
    try:
        for given in several:
            waiting.append((given, pool.submit(call, given)))
            if len(waiting) > lanes:
                first, made = waiting.popleft()
                yield first, made.result()
        for first, made in waiting:
            yield first, made.result()
    finally:
        pool.shutdown(cancel_futures=True)
