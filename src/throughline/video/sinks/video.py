"""Annotated frames into a video file that is there whole or not at all."""

from __future__ import annotations

import contextlib
import os
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Self, cast

from throughline.contracts.detections import Detections
from throughline.contracts.errors import InputError
from throughline.contracts.frames import Frame
from throughline.plugins import Plugin
from throughline.vision.drawing import annotate

if TYPE_CHECKING:
    import av

_CLOCK = 90_000
_CONTAINERS = {".mp4", ".mkv", ".mov"}


class VideoSink:
    """Draws each frame's detections and encodes it at the frame's own time.

    Use it as a context manager: the file appears under its name only when the
    block ends well, and nothing is left behind when it does not.
    """

    def __init__(self, path: Path, *, fps: Fraction) -> None:
        import av

        if path.suffix.lower() not in _CONTAINERS:
            raise InputError(f"{path}: cannot write this kind of video", "end the name in .mp4, .mkv or .mov")
        self.path = path
        self._fresh = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = av.open(str(self._fresh), "w")
        except OSError as error:
            raise self._cannot_write(error) from None
        encoder = "libx264" if "libx264" in av.codecs_available else "mpeg4"
        self._stream = cast("av.VideoStream", self._file.add_stream(encoder, rate=fps))
        self._stream.pix_fmt = "yuv420p"
        self._stream.time_base = self._stream.codec_context.time_base = Fraction(1, _CLOCK)
        if encoder == "libx264":
            self._stream.options = {"preset": "veryfast", "crf": "20"}

    def write(self, frame: Frame, found: Detections) -> None:
        """Draw and encode one frame."""
        import av

        picture = annotate(frame.image, found)
        height, width = (side - side % 2 for side in picture.shape[:2])  # 4:2:0 has no odd sides
        if not self._stream.codec_context.is_open:
            self._stream.width, self._stream.height = width, height
        elif (height, width) != (self._stream.height, self._stream.width):
            raise InputError(
                f"frame {frame.index} is {width}x{height}; {self.path} began with frames of "
                f"{self._stream.width}x{self._stream.height}",
                "write each size to a video of its own",
            )
        encoded = av.VideoFrame.from_ndarray(picture[:height, :width], format="rgb24")
        encoded.pts, encoded.time_base = round(frame.seconds * _CLOCK), Fraction(1, _CLOCK)
        self._encode(encoded)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._encode(None)
                self._finish()
                self._fresh.replace(self.path)
            else:
                with contextlib.suppress(InputError):  # the first error is the one to hear of
                    self._finish()
        finally:
            self._fresh.unlink(missing_ok=True)

    def _encode(self, picture: av.VideoFrame | None) -> None:
        try:
            self._file.mux(self._stream.encode(picture))
        except OSError as error:
            raise self._cannot_write(error) from None

    def _finish(self) -> None:
        try:
            self._file.close()
        except OSError as error:
            raise self._cannot_write(error) from None

    def _cannot_write(self, error: OSError) -> InputError:
        return InputError(
            f"{self.path}: cannot write: {error.strerror}", "choose a folder with room that you can write to"
        )


PLUGIN = Plugin(make=VideoSink, summary="annotated video", needs=("av", "cv2"))
