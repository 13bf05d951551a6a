"""The three kinds of part that a run is put together from: where frames come from, who follows, where results go."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

from throughline.contracts.detections import Detections
from throughline.contracts.frames import Frame
from throughline.contracts.runs import Gap


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """What a source says of itself before it is read. Width and height are as displayed, rotation applied.

    ``decoder`` is what decodes it, such as "h264 on the CPU, 2 threads" or "h264 on cuda"; where hardware was
    asked for and does not do it, that is said there.
    """

    name: str
    width: int
    height: int
    fps: Fraction | None = None
    declared: int | None = None
    duration: float | None = None
    live: bool = False
    decoder: str = ""

    def __str__(self) -> str:
        said = (
            f"{self.width}x{self.height}" if self.width and self.height else "",
            f"{float(self.fps):g} frames per second" if self.fps else "",
            self.decoder,
        )
        return ", ".join(filter(None, said))


class Source(Protocol):
    """Frames in order. What cannot be read becomes a gap; what cannot go on raises SourceFailed."""

    @property
    def info(self) -> SourceInfo:
        """What it says of itself."""

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """The stretches that could not be had so far."""

    def frames(self, start: int = 0, gaps: Sequence[Gap] = ()) -> Iterator[Frame]:
        """Every frame from the one numbered ``start`` on, exactly as if all before it had been read.

        ``gaps`` are those that were told when what comes before ``start`` was read: after damage, only who
        reads all of it again comes to the same pictures.
        """

    def close(self) -> None:
        """Give back what it holds; a ``frames`` that is being read ends."""


class Tracker(Protocol):
    """Gives the objects of one source identities that hold over time. Its clock is ``Frame.seconds``."""

    def update(self, found: Detections, frame: Frame) -> Detections:
        """The detections that are followed, each with its ``tracker_id``."""

    def reset(self) -> None:
        """Forget everything: the picture jumped, or the stream came back."""

    def state(self) -> dict[str, Any]:
        """All it knows, as JSON values; floats survive the round trip exactly."""

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on exactly as the tracker that gave this state would have."""


class Sink(Protocol):
    """Writes one kind of result of one source, in parts, so that a killed run can go on.

    A part is written under a name of its own and put in place whole. ``finish`` joins
    the parts, in order, into the one file that the user asked for: the same bytes
    however often the run was killed on the way.
    """

    def write(self, frame: Frame, found: Detections) -> None:
        """Take one frame's results into the current part."""

    def commit(self, part: int) -> None:
        """Put the current part in place as number ``part``, on the disk for good, and begin the next."""

    def finish(self, parts: int) -> tuple[Path, ...]:
        """Join parts 0 to ``parts`` - 1 into the result, remove them, and say what was written."""

    def abort(self) -> None:
        """Drop the part that was not committed."""
