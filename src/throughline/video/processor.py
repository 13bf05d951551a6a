"""The frames of one source in batches, for a loop that is the user's own.

Decoding goes on, on a thread of its own, while the loop works on the batch before.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from typing import Self, cast, final

from throughline.contracts.errors import InputError, SourceFailed
from throughline.contracts.frames import Frame
from throughline.contracts.runs import Accounting
from throughline.contracts.streams import Source, SourceInfo
from throughline.video.pipeline import Intake, Pipeline, Stage
from throughline.video.sources import open_sources


@final
class VideoProcessor:
    """The frames of a video file, a folder of images, a camera or a stream.

    A source that is damaged never just ends early. Everything that can be read of it is given
    first; then, in the place of the loop's end, ``SourceFailed`` says what was missing.
    ``accounting`` has the same, at any time, stretch by stretch.

    Args:
        path: a file, a folder or glob of images, the number of a camera, an address (``rtsp://...``).
        hw_accel: decode on hardware: ``"auto"`` where there is some for it, or by the hardware's name, which is
            an error where this machine has none. None decodes on the CPU. ``info`` says what it came to.
    """

    def __init__(self, path: str | os.PathLike[str], hw_accel: str | None = None) -> None:
        sources = open_sources([os.fspath(path)], hwaccel=hw_accel)
        if len(sources) != 1:
            for source in sources:
                source.close()
            raise InputError(f"{path} lists {len(sources)} sources", "give them one at a time")
        self._source: Source = sources[0]
        self._reading = threading.Lock()
        self._given = self._late = 0
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def info(self) -> SourceInfo:
        """What the source says of itself: size, rate, length."""
        return self._source.info

    @property
    def accounting(self) -> Accounting:
        """Of the latest ``stream_frames``, so far: the frames that it gave, those that came and were dropped, the gaps.

        A live source that is read too slowly drops frames: they are "late".
        """
        late = {"late": self._late} if self._late else {}
        return Accounting(self._given + self._late, self._given, late, self.info.declared, self._source.gaps)

    def stream_frames(self, batch_size: int = 8) -> Iterator[list[Frame]]:
        """Every frame in order, ``batch_size`` at a time, the last ones fewer.

        A live source does not wait for a batch to fill: it gives what has come, and is closed
        when the loop is left. Any other begins again with every call.

        Raises:
            SourceFailed: after the last frame, if the source could not be read whole.
        """
        if batch_size < 1:
            raise InputError(f"batch_size={batch_size}: a batch is one frame or more", "give 1 or more")
        if self._closed:
            raise InputError(f"{self.info.name} is closed", "open it again")
        return self._batches(batch_size)

    def close(self) -> None:
        """Give back what the source holds; a loop that reads it ends."""
        self._closed = True
        self._source.close()

    def _batches(self, size: int) -> Iterator[list[Frame]]:
        if not self._reading.acquire(blocking=False):
            raise InputError(f"{self.info.name} is being read already", "leave the other loop first, or open it twice")
        try:
            self._given = self._late = 0
            with Pipeline([Stage("decode", lambda _: self._source.frames(), depth=size)]) as pipeline:
                try:
                    frames = cast(Intake[Frame], iter(pipeline))
                    while batch := frames.take(size, patient=not self.info.live):
                        self._given += len(batch)
                        if self.info.live:  # what was dropped has a number too
                            self._late = batch[-1].index + 1 - self._given
                        yield batch
                    if not self._closed:
                        self._judge()
                finally:
                    if self.info.live:  # its thread may be waiting for a frame that does not come
                        self.close()
        finally:
            self._reading.release()

    def _judge(self) -> None:
        gaps = self._source.gaps
        if self._given and not gaps:
            return
        what = "; ".join(f"{gap.start:.2f} to {gap.end:.2f} s: {gap.reason}" for gap in gaps[:3])
        more = f"; and {len(gaps) - 3} more" if len(gaps) > 3 else ""
        raise SourceFailed(
            f"{self.info.name}: {self._given} frames were read, and not all there is: {what or 'it gave none'}{more}",
            "catch SourceFailed around the loop to go on with what was read; accounting.gaps has every gap",
        )
