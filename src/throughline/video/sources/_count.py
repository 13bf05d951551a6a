"""Which number a decoded picture has, and which ones are missing: packets are counted, not pictures.

A container numbers its pictures by their times. A picture's number is how many
packets have an earlier time; so one that cannot be decoded leaves a hole in the numbers
instead of shifting all after it, and reading from the middle gives the same numbers.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import av
    from av.container import InputContainer
    from av.packet import Packet

_HIDDEN_VP8 = 0x10


def shows(packet: Packet[av.VideoStream]) -> bool:
    """Whether this packet promises a picture that is displayed."""
    if packet.size == 0 or packet.is_discard:
        return False
    return not (packet.stream.codec_context.name == "vp8" and not bytes(packet)[0] & _HIDDEN_VP8)


def is_dated(media: InputContainer, stream: av.VideoStream) -> bool:
    """Whether its packets say when they are shown; AVI knows only the order in which they are stored."""
    context = stream.codec_context
    return not (media.format.name == "avi" and context.name in ("h264", "hevc") and context.has_b_frames)


class Count:
    """Told of every packet and picture in the order they come, says each picture's number."""

    def __init__(self, first: int = 0) -> None:
        self.next = first
        self.lost: list[int | None] = []
        self._due: list[int] = []
        self._undated = 0

    def packet(self, pts: int | None) -> None:
        """A picture is promised."""
        if pts is None:
            self._undated += 1
        else:
            heapq.heappush(self._due, pts)

    def picture(self, pts: int | None, tolerant: bool) -> int:
        """The number of the picture that came; ``lost`` then says which times before it never did.

        ``tolerant``: two packets may make one picture (interlaced), so an extra one is no loss.
        """
        self.lost = []
        while pts is not None and self._due and self._due[0] < pts:
            self.lost.append(heapq.heappop(self._due))
        if pts is not None and self._due and self._due[0] == pts:
            heapq.heappop(self._due)
        elif self._undated:
            self._undated -= 1
        if tolerant:
            self.lost = []
        number = self.next + len(self.lost)
        self.next = number + 1
        return number

    def end(self) -> None:
        """Nothing comes any more: ``lost`` says what was still due."""
        self.lost = [*sorted(self._due), *([None] * self._undated)]
        self._due, self._undated = [], 0
