"""Identities for what several models find: each model's objects are followed on their own, and no two share a number.

A person found by two models is two rows with two identities. What is said of a whole
frame is not followed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, final

from throughline.contracts.detections import Detections
from throughline.contracts.errors import Unavailable
from throughline.contracts.frames import Frame
from throughline.contracts.streams import Tracker


@final
class Following:
    """One tracker a model, or none at all."""

    def __init__(self, models: Sequence[str], make_tracker: Callable[[], Tracker] | None) -> None:
        self._models = models
        self._trackers = [] if make_tracker is None else [make_tracker() for _ in models]

    def update(self, said: Sequence[Detections], frame: Frame) -> Detections:
        """What the models say of this frame as one, the objects with their identities."""
        if self._trackers:
            said = [self._followed(number, found, frame) for number, found in enumerate(said)]
        return said[0] if len(said) == 1 else Detections.together(said, self._models)

    def reset(self) -> None:
        """Forget everything: the picture jumped, or the stream came back."""
        for tracker in self._trackers:
            tracker.reset()

    def state(self) -> list[dict[str, Any]] | None:
        """All that the trackers know, as JSON values; None where one of them cannot say."""
        try:
            return [tracker.state() for tracker in self._trackers]
        except Unavailable:  # then the run cannot be resumed, and says so there
            return None

    def restore(self, states: Sequence[Mapping[str, Any]] | None) -> None:
        """Go on exactly as the trackers that gave these states would have."""
        if states is None:
            raise Unavailable("this tracker cannot be put back to where it was", "begin again under another --name")
        for tracker, state in zip(self._trackers, states, strict=True):
            tracker.restore(state)

    def _followed(self, number: int, found: Detections, frame: Frame) -> Detections:
        if "of_frame" in found.data:
            return found
        followed = self._trackers[number].update(found, frame)
        if len(self._trackers) == 1 or followed.tracker_id is None:
            return followed
        return replace(followed, tracker_id=(followed.tracker_id - 1) * len(self._trackers) + number + 1)
