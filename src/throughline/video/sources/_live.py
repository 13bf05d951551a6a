"""Frames of something that does not wait: read on a thread, kept or dropped by a named policy, opened again when lost.

What is lost in between is a gap. Time goes on through it, by the wall clock from the
first frame; numbers count the frames that came, dropped ones too. A sender that says how
long it will send has an end, and its own time: it is read once, and its frames are waited for.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any, final

from throughline.contracts.errors import InputError, SourceFailed, ThroughlineError
from throughline.contracts.frames import Frame
from throughline.contracts.runs import Gap
from throughline.contracts.streams import SourceInfo
from throughline.data.picture_headers import check_size
from throughline.video.sources._hardware import decoder_of
from throughline.video.sources._media import picture_stream, reason_of
from throughline.video.sources._picture import decoded
from throughline.video.sources._turn import Turns
from throughline.video.sources._window import Window

if TYPE_CHECKING:
    import av
    from av.container import InputContainer

POLICIES = ("block", "latest", "drop-oldest")
_DEPTH = 32
_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 30.0
_STEP = 0.001
_GOODBYE = 1.0
_SLACK = 0.5
_KNOW_WHERE_TO_BEGIN = ("h264",)
"""Decoders that give nothing before it is whole; the others are not shown before their first key picture."""
_WAITS_FOR_A_KEY = 6
"""How many times the stall timeout may pass while data comes that gives no picture."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How a live source deals with a slow reader and a lost sender.

    Attributes:
        policy: what a full queue does: ``block`` the sender, keep the ``latest`` frame alone, or ``drop-oldest``.
            When not given: ``block`` where the sender has an end that it told, else ``drop-oldest``.
        reconnect: how many times in a row to try again before it has failed.
        stall_timeout: seconds without data after which the sender counts as lost.
    """

    policy: str | None = None
    reconnect: int = 8
    stall_timeout: float = 10.0

    def __post_init__(self) -> None:
        if self.policy not in (*POLICIES, None):
            raise InputError(f"policy '{self.policy}' is not known", f"use one of: {', '.join(POLICIES)}")
        if self.reconnect < 0 or not 0 < self.stall_timeout < 86_400:
            raise InputError(
                f"reconnect {self.reconnect}, stall_timeout {self.stall_timeout:g} s: out of range",
                "reconnect is 0 or more, stall_timeout above 0 and below a day",
            )


@final
class LiveSource:
    """Frames from whatever ``connect`` opens, until it is told to end or the sender stays away."""

    def __init__(
        self,
        name: str,
        connect: Callable[[float], InputContainer],
        patience: Patience,
        window: Window,
        threads: int | None,
        hwaccel: str | None = None,
    ) -> None:
        self._name, self._connect, self._patience = name, connect, patience
        self._window, self._threads, self._hwaccel = window, threads, hwaccel
        self._gaps: list[Gap] = []
        self._changed = threading.Condition()
        self._kept: deque[Frame] = deque()
        self._ended = self._closed = False
        self._error: ThroughlineError | None = None
        self._thread: threading.Thread | None = None
        self._number, self._began, self._last, self._late = 0, 0.0, -1.0, 0
        self._turns = Turns()
        media = connect(patience.stall_timeout)
        try:
            stream = picture_stream(media, name, threads)
            context, rate = stream.codec_context, stream.average_rate
            fps, decoder = Fraction(rate) if rate else None, decoder_of(stream, None, hwaccel)
            self._info = SourceInfo(name, context.width, context.height, fps, live=True, decoder=decoder)
        except BaseException:
            media.close()
            raise
        self._opened: InputContainer | None = media
        self._ends = (media.duration or 0) / 1e6
        self._policy = patience.policy or ("block" if self._ends else "drop-oldest")

    @property
    def info(self) -> SourceInfo:
        """What it said when it was first opened, and what decoded its latest picture; each frame has its own size."""
        return self._info

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """When the sender was away."""
        with self._changed:
            return tuple(self._gaps)

    @property
    def late(self) -> int:
        """How many frames came and were dropped, as the policy has it; each has a number that no frame bears."""
        with self._changed:
            return self._late

    def frames(self, start: int = 0, gaps: Sequence[Gap] = ()) -> Iterator[Frame]:
        """The frames as they come. What was before cannot be had again: ``start`` is only the first number."""
        if self._thread is not None:
            raise InputError(f"{self._name}: a live source is read once", "open it again")
        self._number = start
        self._began = time.monotonic()
        self._thread = threading.Thread(target=self._receive, name=f"receive {self._name}", daemon=True)
        self._thread.start()
        given = 0
        try:
            while (frame := self._next()) is not None:
                if frame.seconds >= self._window.end:
                    break
                given += 1
                yield frame
                if given == self._window.max_frames:
                    break
        finally:
            self.close()
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """End: whoever reads its frames gets no more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        thread = self._thread
        if thread is None:
            self._drop()
        elif thread is not threading.current_thread():
            thread.join(timeout=_GOODBYE)  # one that waits for a silent sender ends by itself, at the stall timeout

    def _next(self) -> Frame | None:
        with self._changed:
            self._changed.wait_for(lambda: bool(self._kept) or self._ended or self._closed)
            if self._closed or not self._kept:
                return None
            frame = self._kept.popleft()
            self._changed.notify_all()
            return frame

    def _receive(self) -> None:
        try:
            self._until_it_stays_away()
        except ThroughlineError as error:
            self._error = error
        finally:
            self._drop()
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def _until_it_stays_away(self) -> None:
        import av

        tries, reason = 0, "the stream ended"
        while not self._closed:
            try:
                if self._opened is None:
                    self._opened = self._connect(self._patience.stall_timeout)
                stream = picture_stream(self._opened, self._name, self._threads)
                away = self._last if reason and self._last >= 0 else None
                for picture, came in self._pictures(self._opened, stream):
                    if away is not None or self._last < 0:
                        self._info = replace(self._info, decoder=decoder_of(stream, picture, self._hwaccel))
                    self._keep(picture, came, self._own_time(picture, stream), away, reason)
                    tries, away = 0, None
                    if self._closed:
                        return
                reason = "the stream ended"
            except (InputError, av.error.FFmpegError, OSError) as error:
                reason = error.problem if isinstance(error, InputError) else reason_of(error)
                if isinstance(error, av.error.ExitError):
                    reason = f"nothing came for {self._patience.stall_timeout:g} s"
            self._drop()
            if self._closed or (self._ends and self._last > self._ends - _SLACK):
                return
            if self._ends:  # tried again, it would begin again
                raise SourceFailed(
                    f"{self._name}: lost after {max(0.0, self._last):.1f} s of {self._ends:.1f} ({reason})",
                    "fetch the file, and run over that",
                )
            if tries == self._patience.reconnect:
                raise SourceFailed(
                    f"{self._name}: lost, and not back after {tries} tries ({reason})", "check the sender"
                )
            pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**tries)
            tries += 1
            with self._changed:
                self._changed.wait_for(lambda: self._closed, timeout=pause)

    def _pictures(self, media: InputContainer, stream: av.VideoStream) -> Iterator[tuple[av.VideoFrame, float]]:
        """Each with the time at which the last data came that it needed."""
        import av

        lost: Exception | None = None
        packets, heard, seen = media.demux(), time.monotonic(), time.monotonic()
        begun = stream.codec_context.name in _KNOW_WHERE_TO_BEGIN
        while True:
            try:
                packet = next(packets, None)
            except (av.error.FFmpegError, OSError) as error:
                lost, packet = error, None
            now = time.monotonic()
            if packet is not None and packet.stream.index == stream.index:
                heard = now
            elif packet is not None:
                if now - heard > self._patience.stall_timeout:  # sound alone is no sign of life
                    raise TimeoutError("no picture came")
                continue
            try:  # None asks for the pictures that the decoder still holds
                pictures = stream.codec_context.decode(packet)
            except (av.error.InvalidDataError, av.error.EOFError):  # the next key picture mends it
                pictures = []
            for picture in pictures:
                begun = begun or picture.key_frame
                if begun and not picture.is_corrupt:
                    seen = now
                    yield picture, heard
            if packet is None:
                break
            if now - seen > _WAITS_FOR_A_KEY * self._patience.stall_timeout:
                raise TimeoutError("what comes cannot be decoded")
        if lost is not None:
            raise lost

    def _keep(self, picture: av.VideoFrame, came: float, shown: float | None, away: float | None, reason: str) -> None:
        check_size(picture.width, picture.height, self._name)
        seconds = max(came - self._began if shown is None else shown, self._last + _STEP)
        self._last = seconds
        if self._window.start > seconds:
            return
        frame = Frame(self._number, seconds, decoded(picture, self._turns.of(picture)), self._name)
        self._number += 1
        with self._changed:
            if away is not None:
                self._gaps.append(Gap(round(away, 3), round(seconds, 3), reason))
            depth = 1 if self._policy == "latest" else _DEPTH
            if self._policy == "block":
                self._changed.wait_for(lambda: len(self._kept) < depth or self._closed)
            else:
                while len(self._kept) >= depth:
                    self._kept.popleft()
                    self._late += 1
            self._kept.append(frame)
            self._changed.notify_all()

    def _own_time(self, picture: av.VideoFrame, stream: av.VideoStream) -> float | None:
        """When the sender shows it, where its time means something here."""
        if not self._ends or picture.pts is None or stream.time_base is None:
            return None
        return float((picture.pts - (stream.start_time or 0)) * stream.time_base)

    def _drop(self) -> None:
        if self._opened is not None:
            with suppress(Exception):  # it is going away
                self._opened.close()
            self._opened = None


def patience_of(options: dict[str, Any]) -> Patience:
    """From options as the user gives them, None for what was not given."""
    known = {name: options[name] for name in ("policy", "reconnect", "stall_timeout") if options.get(name) is not None}
    return Patience(**known)
