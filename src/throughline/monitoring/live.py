"""Monitoring beside whoever answers requests: what was seen is handed over and forgotten, and never waited for.

Everything that takes time happens in threads of its own: measuring the picture, judging windows, writing files,
telling somebody. Where these do not keep up, observations are dropped and counted; an answer is never late for them.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, final

import numpy as np
import numpy.typing as npt

from throughline.contracts.detections import Detections
from throughline.contracts.errors import InputError
from throughline.contracts.observations import Spoke
from throughline.files import whole_file, writing
from throughline.monitoring.alerts import ALERTS, Alert
from throughline.monitoring.lane import Lane
from throughline.monitoring.observers import OBSERVERS
from throughline.monitoring.observing import observe_frame
from throughline.monitoring.profile import read_profile
from throughline.monitoring.truth import LateTruth
from throughline.vision.drawing import jpeg

_ROOM: Final = 128


@final
@dataclass(frozen=True, slots=True, eq=False)
class _Taken:
    request: str
    seconds: float
    model: Spoke
    picture: npt.NDArray[np.uint8]
    found: Detections


@final
class Live:
    """What watches a server's answers.

    Attributes:
        truth: answers that wait for what is true of them, and what they were worth.
    """

    def __init__(self, reference: Path | None, folder: Path | None, webhook: str | None, keep: int = 0) -> None:
        """Begin to watch.

        Args:
            reference: a profile, to judge drift by.
            folder: where to keep observations, as Parquet.
            webhook: where to tell that an alarm went on or off.
            keep: the pictures of so many answers are kept beside the observations, the newest.
        """
        if keep and folder is None:
            raise InputError(f"{keep} pictures are to be kept, and nothing says where", "give a folder of observations")
        self._pictures = _Pictures(folder / "pictures", keep) if folder is not None and keep else None
        self.truth = LateTruth(score=in_common)
        self._gauges: Any = ALERTS.make("prometheus")
        alerts: list[Alert] = [ALERTS.make("log"), self._gauges]
        if webhook is not None:
            alerts.append(ALERTS.make("webhook", url=webhook))
        self._observers: list[Any] = []
        if reference is not None:
            self._observers.append(OBSERVERS.make("drift", read_profile(reference), alerts=alerts))
        if folder is not None:
            self._observers.append(OBSERVERS.make("parquet", folder))
        self._lane: Lane[_Taken] = Lane(self._observe, name="live", room=_ROOM, at_once=16)

    def see(self, request: str, model: Spoke, picture: npt.NDArray[np.uint8], found: Detections) -> None:
        """Take one answer; at once, and whether or not there is room."""
        self._lane.put(_Taken(request, time.time(), model, picture, found))

    def told(self, request: str, truth: str) -> bool:
        """What is true of an answer; False where nobody remembers it."""
        return self.truth.told(request, truth)

    def figures(self) -> Mapping[tuple[str, str], float]:
        """What is known, by model and by name: alarms, how far features are off, accuracy, and what was dropped."""
        found: dict[tuple[str, str], float] = {}
        for (name, labels), value in self._gauges.values().items():
            said = dict(labels)
            short = name.removeprefix("throughline_drift_").replace("_", " ")
            about = " ".join(part for part in (said.get("feature", ""), said.get("detector", ""), short) if part)
            found[said.get("model", ""), about] = value
        if points := self.truth.points():
            found["", "accuracy"] = points[-1].value
            found["", "accuracy of"] = float(points[-1].count)
        dropped = self._lane.dropped + sum(one.dropped for one in self._observers)
        if dropped:
            found["", "observations dropped"] = float(dropped)
        return found

    def settled(self) -> bool:
        """Wait until everything so far was judged and kept."""
        return self._lane.settled() and all(one.settled() for one in self._observers)

    def close(self) -> None:
        """Judge and keep what is left."""
        self._lane.close()
        for one in self._observers:
            one.close()

    def _observe(self, several: Sequence[_Taken]) -> None:
        for one in several:
            kept = self._pictures.keep(one.picture) if self._pictures is not None else ""
            seen = observe_frame(
                one.picture, one.found, request=one.request, seconds=one.seconds, model=one.model,
                source=one.model.name, picture=kept,
            )  # fmt: skip
            if not seen.prediction:
                seen = replace(seen, prediction=",".join(sorted(box.class_name for box in one.found)))
            for observer in self._observers:
                observer.take(seen)
            if one.request:
                self.truth.take(seen)


def in_common(answer: str, truth: str) -> float:
    """What an answer is worth, given the truth, both classes with commas between: F1, so 1 or 0 for a single class."""
    said, true = (Counter(one.strip() for one in text.split(",") if one.strip()) for text in (answer, truth))
    whole = said.total() + true.total()
    return 2 * (said & true).total() / whole if whole else 1.0


@final
class _Pictures:
    """The newest pictures, in files with names of our own."""

    def __init__(self, folder: Path, most: int) -> None:
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._most = folder, most
        self._kept: deque[Path] = deque(sorted(folder.glob("*.jpg")))

    def keep(self, picture: npt.NDArray[np.uint8]) -> str:
        path = self._folder / f"{time.time_ns():020d}.jpg"
        with whole_file(path) as draft:
            draft.write_bytes(jpeg(picture))
        self._kept.append(path)
        while len(self._kept) > self._most:
            self._kept.popleft().unlink(missing_ok=True)
        return str(path)
