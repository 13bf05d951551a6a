"""How the trackers of Roboflow's ``trackers`` library take part: their arrays, our contract."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, final

import numpy as np

from throughline.contracts.detections import Detections
from throughline.contracts.errors import Unavailable
from throughline.contracts.frames import Frame

NEEDS: Final = ("supervision", "scipy")
LIBRARY_FPS: Final = 30
"""The library counts how long to wait for a lost object in frames of this rate, whatever the true one."""
_ROW: Final = "throughline_row"


def library() -> Any:
    """The library's module.

    No extra brings it, because it asks for opencv-python, which would write over the
    opencv-python-headless that everything else here uses, and which it works with as well.
    """
    try:
        return importlib.import_module("trackers")
    except ModuleNotFoundError as error:
        raise Unavailable(
            f"this tracker needs the library 'trackers', which cannot be imported: {error}",
            "pip install 'throughline[track]', then pip install --no-deps trackers==2.6.1",
        ) from None


@final
class Borrowed:
    """One of the library's trackers. It is told every frame's time, which the library takes."""

    def __init__(self, name: str, tracker: Any) -> None:
        self._name, self._tracker = name, tracker
        self._before = self._highest = 0

    def update(self, found: Detections, frame: Frame) -> Detections:
        """The detections that are followed, each with its ``tracker_id``."""
        usable = np.nonzero(np.isfinite(found.xyxy).all(axis=1) & (found.xyxy[:, 2:] > found.xyxy[:, :2]).all(axis=1))[
            0
        ]
        given = Detections(
            found.xyxy[usable], found.confidence[usable], found.class_id[usable], data={_ROW: usable}
        ).to_supervision()
        given = self._tracker.update(given, timestamp=frame.seconds)
        followed = given.tracker_id >= 0
        if not followed.any():
            return replace(found[np.empty(0, np.intp)], tracker_id=np.empty(0, np.int64))
        rows, identity = given.data[_ROW][followed], given.tracker_id[followed].astype(np.int64) + self._before + 1
        order = np.argsort(rows)
        self._highest = max(self._highest, int(identity.max()))
        return replace(found[rows[order]], tracker_id=identity[order])

    def reset(self) -> None:
        """Forget every object; the library counts from 0 again, so what it gives out then is moved up."""
        self._tracker.reset()
        self._before = self._highest

    def state(self) -> dict[str, Any]:
        """The library keeps its state to itself."""
        raise self._cannot()

    def restore(self, state: Mapping[str, Any]) -> None:
        """The library keeps its state to itself."""
        raise self._cannot()

    def _cannot(self) -> Unavailable:
        return Unavailable(
            f"the tracker '{self._name}' cannot be stopped and taken up again: its library does not give its state out",
            "use the tracker 'hybrid', which can; or run again from the start",
        )
