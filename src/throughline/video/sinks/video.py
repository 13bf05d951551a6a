"""Annotated video: the frames at their own times, the source's sound beside them.

Each part is encoded by itself, beginning with a key frame, and the result strings the
encoded parts together without encoding anything again. So a killed run encodes only
its last part again, and the result does not know where it was killed. The encoder
runs with a fixed number of threads, because its output depends on that number.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from throughline.contracts.detections import Detections
from throughline.contracts.errors import InputError
from throughline.contracts.frames import Frame
from throughline.contracts.streams import SourceInfo
from throughline.plugins import Plugin
from throughline.video.sinks._parts import Parts
from throughline.vision.drawing import annotate

if TYPE_CHECKING:
    import av
    from av.container import InputContainer, OutputContainer
    from av.packet import Packet

_CLOCK = Fraction(1, 90_000)
_THREADS = 4
_BT709 = 1
_REPEATABLE = "mbtree=0:rc-lookahead=0:weightp=0"
"""With its lookahead on, x264 was measured to give other bytes for the same pictures about once in 200 short videos."""
_MP4_SOUND = {"aac", "ac3", "alac", "eac3", "mp2", "mp3", "opus"}


class VideoSink:
    """Draws each frame's detections and encodes it. Frames of another size are fitted into the first."""

    def __init__(self, target: Path, info: SourceInfo, sound: Path | None = None) -> None:
        self._parts = Parts(target)
        self._size = max(2, info.height // 2 * 2), max(2, info.width // 2 * 2)  # 4:2:0 has no odd sides
        self._fps = info.fps or Fraction(30)
        self._sound = sound
        self._file: OutputContainer | None = None
        self._stream: av.VideoStream | None = None
        self._last = -1

    def write(self, frame: Frame, found: Detections) -> None:
        """Draw and encode one frame."""
        import av

        drawn = av.VideoFrame.from_ndarray(_fitted(annotate(frame.image, found), self._size), format="rgb24")
        picture = drawn.reformat(format="yuv420p", dst_colorspace="ITU709")
        self._last = max(round(frame.seconds / _CLOCK), self._last + 1)  # two frames never share one time
        picture.pts, picture.time_base = self._last, _CLOCK
        with self._parts.writing():
            if self._file is None:
                self._open()
            self._encode(picture)

    def commit(self, part: int) -> None:
        """End the encoded part and put it in place."""
        with self._parts.writing():
            if self._file is None:
                self._parts.fresh().write_bytes(b"")
            else:
                self._encode(None)
                self._file.close()
        self._file, self._last = None, -1
        self._parts.put(part)

    def finish(self, parts: int) -> tuple[Path, ...]:
        """String the parts together, with the sound."""
        return self._parts.join(parts, partial(_join, sound=self._sound, frame=round(1 / self._fps / _CLOCK)))

    def abort(self) -> None:
        """Drop the part that was not committed."""
        if self._file is not None:
            with suppress(OSError):  # it is going away
                self._file.close()
            self._file = None
        self._last = -1
        self._parts.drop()

    def _open(self) -> None:
        import av

        self._file = av.open(str(self._parts.fresh()), "w", format="nut")  # any time base, and packets as they are
        encoder = "libx264" if "libx264" in av.codecs_available else "mpeg4"
        self._stream = cast("av.VideoStream", self._file.add_stream(encoder, rate=self._fps))
        self._stream.height, self._stream.width = self._size
        self._stream.pix_fmt = "yuv420p"
        self._stream.time_base = self._stream.codec_context.time_base = _CLOCK
        context = self._stream.codec_context
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.color_range = 1  # said outright, because players guess by the size of the picture
        self._stream.codec_context.thread_count = _THREADS
        if encoder == "libx264":
            # without B-frames every packet's time is its frame's, so parts meet without overlapping
            self._stream.options = {"preset": "veryfast", "crf": "20", "bf": "0", "x264-params": _REPEATABLE}

    def _encode(self, picture: av.VideoFrame | None) -> None:
        assert self._file is not None
        assert self._stream is not None
        self._file.mux(self._stream.encode(picture))


def _fitted(picture: npt.NDArray[np.uint8], size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """The picture itself, less an odd row or column; one of another size is scaled and centred on black."""
    import cv2

    height, width = (side // 2 * 2 for side in picture.shape[:2])
    if (height, width) == size:
        return picture[:height, :width]
    scale = min(size[0] / picture.shape[0], size[1] / picture.shape[1])
    inner = max(1, int(picture.shape[0] * scale)), max(1, int(picture.shape[1] * scale))
    top, left = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
    canvas = np.zeros((*size, 3), np.uint8)
    canvas[top : top + inner[0], left : left + inner[1]] = cv2.resize(picture, inner[::-1])
    return canvas


def _join(paths: Sequence[Path], draft: Path, *, sound: Path | None, frame: int) -> None:
    import av

    filled = [path for path in paths if path.stat().st_size]
    if not filled:
        return  # there is no such thing as a video without frames
    with ExitStack() as opened:
        # bitexact: Matroska would number its tracks at random
        options = {"fflags": "+bitexact", "movflags": "+faststart"}
        whole = opened.enter_context(av.open(str(draft), "w", options=options))
        with av.open(str(filled[0]), format="nut") as first:
            stream = whole.add_stream_from_template(first.streams.video[0])
        stream.time_base = _CLOCK
        heard: Iterator[tuple[Fraction, Packet[Any]]] = iter(())
        if sound is not None:
            heard = _sounds(opened.enter_context(_open_sound(sound)), whole)
        coming, begun = next(heard, None), False
        for start, end, picture in _pictures(filled, stream, frame):
            while coming is not None and coming[0] < end:
                if coming[0] >= start or begun:
                    whole.mux(coming[1])
                coming = next(heard, None)
            whole.mux(picture)
            begun = True


def _pictures(
    paths: Sequence[Path], stream: av.VideoStream, frame: int
) -> Iterator[tuple[Fraction, Fraction, Packet[Any]]]:
    """The packets of every part in order, each with its start and end; none begins before the last one did."""
    import av

    held: Packet[Any] | None = None
    at = 0
    for path in paths:
        with av.open(str(path), format="nut") as part:
            for packet in part.demux(video=0):
                if packet.pts is None:  # the mark at the end of a file
                    continue
                begins = round(packet.pts * packet.time_base / _CLOCK)
                if held is not None:
                    begins = max(begins, at + 1)
                    yield _timed(held, at, begins - at)
                packet.stream = stream
                held, at = packet, begins
    if held is not None:
        yield _timed(held, at, frame)


def _timed(packet: Packet[Any], at: int, duration: int) -> tuple[Fraction, Fraction, Packet[Any]]:
    packet.time_base, packet.pts, packet.dts, packet.duration = _CLOCK, at, at, duration
    return at * _CLOCK, (at + duration) * _CLOCK, packet


def _sounds(source: InputContainer, whole: OutputContainer) -> Iterator[tuple[Fraction, Packet[Any]]]:
    """The packets of every sound track, as far as they can be read, with their times on the frames' clock."""
    import av

    tracks = {track.index: whole.add_stream_from_template(track) for track in source.streams.audio}
    zero = _start(source)
    last = dict.fromkeys(tracks, -1)

    def packets() -> Iterator[tuple[Fraction, Packet[Any]]]:
        with suppress(av.error.FFmpegError):  # a broken end of the sound is no reason to lose the pictures
            for packet in source.demux(*source.streams.audio):
                if packet.pts is None or packet.dts is None:
                    continue
                base, track = packet.time_base, packet.stream.index
                shift = round(zero / base)
                packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
                if packet.dts > last[track]:
                    last[track] = packet.dts
                    packet.stream = tracks[track]
                    yield packet.pts * base, packet

    return packets()


def _start(source: InputContainer) -> Fraction:
    """Where the frames' clock is zero: at the first picture."""
    picture = source.streams.video[0] if source.streams.video else None
    if picture is None or picture.start_time is None or picture.time_base is None:
        return Fraction(0)
    return picture.start_time * picture.time_base


def _open_sound(path: Path) -> InputContainer:
    import av

    try:
        return av.open(str(path))
    except (av.error.FFmpegError, OSError) as error:
        raise InputError(
            f"{path}: cannot read its sound: {error}", "put the file back, or leave the sound out"
        ) from None


def make(
    folder: Path,
    *,
    info: SourceInfo,
    labels: tuple[str, ...] = (),
    models: Sequence[str] = (),
    sound: Path | None = None,
) -> VideoSink:
    """``annotated.mp4`` with the sound of the file ``sound``, or ``annotated.mkv`` where MP4 cannot hold that sound."""
    codecs: set[str] = set()
    if sound is not None:
        with _open_sound(sound) as file:
            codecs = {track.codec_context.name for track in file.streams.audio}
    name = "annotated.mp4" if codecs <= _MP4_SOUND else "annotated.mkv"
    return VideoSink(folder / name, info, sound if codecs else None)


PLUGIN = Plugin(make=make, summary="annotated video", needs=("av", "cv2"))
