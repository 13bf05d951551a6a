"""Pictures in, objects out: what ``/predict`` does around the model, in threads of its own.

A picture's size is read from its header before anything is decoded, so that a small file that would become a huge
picture is refused for what it says of itself.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, final

import numpy as np
import numpy.typing as npt

from throughline.contracts.detections import Detections
from throughline.contracts.errors import InputError
from throughline.contracts.frames import Frame
from throughline.data.picture_headers import size_of
from throughline.data.pictures import decode_picture
from throughline.serving.batcher import Answered, Feeds
from throughline.serving.refusals import Refused
from throughline.serving.served import Served

Ask: TypeAlias = Callable[[Served, Feeds, float | None], Awaitable[Answered]]
"""How a version is asked, so that whoever follows or shares requests hears of pictures, too."""
MOST_PIXELS: Final = 50_000_000


@final
@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """A picture, and what was found on it.

    Attributes:
        stages: the seconds of each step.
    """

    picture: npt.NDArray[np.uint8]
    found: Detections
    stages: dict[str, float]


@final
class Eyes:
    """Decodes pictures and reads answers, a few at a time."""

    def __init__(self, threads: int, most_pixels: int = MOST_PIXELS) -> None:
        self._pool = ThreadPoolExecutor(threads, "eyes")
        self._most = most_pixels

    async def see(self, ask: Ask, served: Served, data: bytes | bytearray, name: str, timeout: float | None) -> Seen:
        """What a model finds on a picture that is still a file's bytes."""
        loop, began = asyncio.get_running_loop(), time.perf_counter()
        picture = await loop.run_in_executor(self._pool, self._decoded, data, name)
        decoded = time.perf_counter()
        seen = await self.look(ask, served, picture, timeout)
        return Seen(picture, seen.found, {"decode": decoded - began, **seen.stages})

    async def look(self, ask: Ask, served: Served, picture: npt.NDArray[np.uint8], timeout: float | None) -> Seen:
        """What a model finds on a picture."""
        loop, began = asyncio.get_running_loop(), time.perf_counter()
        detector = served.detector((picture.shape[0], picture.shape[1]))

        def filled() -> tuple[dict[str, Any], list[Any]]:
            buffer = detector.buffer(1)
            fits = detector.fill(buffer, [Frame(0, 0.0, picture, "")])
            return detector.inputs_for(buffer), fits

        feeds, fits = await loop.run_in_executor(self._pool, filled)
        ready = time.perf_counter()
        answered = await ask(served, feeds, timeout)
        ended = time.perf_counter()
        found = await loop.run_in_executor(self._pool, lambda: detector.read(answered.outputs, fits)[0])
        stages = {"prepare": ready - began, "queue": answered.queued, "compute": answered.computed}
        return Seen(picture, found, {**stages, "read": time.perf_counter() - ended})

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()

    def _decoded(self, data: bytes | bytearray, name: str) -> npt.NDArray[np.uint8]:
        import cv2

        if not data:
            raise InputError(f"{name}: it is empty", "send a picture")
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # what is wrong is said to who sent it
        width, height = size_of(bytes(data))
        if width * height > self._most:
            raise Refused(
                413,
                f"{name}: {width}x{height} is {width * height:,} pixels, and {self._most:,} may be",
                "send it smaller",
            )
        return decode_picture(bytes(data), name)


def said_of(found: Detections, size: Sequence[int]) -> dict[str, Any]:
    """What was found, as JSON: objects with their boxes, and what the whole picture shows."""
    whole = found.of_frame
    said: dict[str, Any] = {"height": int(size[0]), "width": int(size[1])}
    if "of_frame" in found.data:
        said["classes"] = _named(found[whole])
        found = found[~whole]
        if not len(found):
            return said
    objects = _named(found)
    boxes, points = np.round(found.xyxy.astype(np.float64), 2).tolist(), found.keypoints
    for row, (one, box) in enumerate(zip(objects, boxes, strict=True)):
        one["box"] = box
        if (shown := points[row]) is not None:
            one["keypoints"] = np.round(shown.astype(np.float64), 2).tolist()
        if found.masks is not None and (mask := found.masks.rle(row)) is not None:
            one["mask"] = mask
    return {**said, "detections": objects}


def _named(found: Detections) -> list[dict[str, Any]]:
    rows = zip(found.confidence.astype(np.float64).round(5).tolist(), found.class_id.tolist(), strict=True)
    return [{"class": found.name_of(kind), "class_id": kind, "confidence": sure} for sure, kind in rows]
