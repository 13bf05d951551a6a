"""Whether an MPEG-TS file ends within a picture: it declares no length, and a decoder fills up what is missing.

The packet that ends a picture is padded to its length. Where the last one is not, the
picture may go on or may just fit. So it is decoded with other bytes behind it: they change the
picture only if the decoder still needs some.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from throughline.video.sources._media import open_file, picture_stream

if TYPE_CHECKING:
    from av.packet import Packet

_SIZE, _SYNC = 188, 0x47
_LOOK_BACK = 4096
_MOST_HELD = 1024


def ends_within_a_picture(path: Path, program: int) -> bool:
    """Whether the pictures of the stream with this id break off."""
    return _may_go_on(path, program) and _last_pictures(path, b"\x5a" * 64) != _last_pictures(path, b"\xa6" * 64)


def _may_go_on(path: Path, program: int) -> bool:
    """Whether the last packet of this stream is full to its end."""
    packets = path.stat().st_size // _SIZE
    with path.open("rb") as file:
        file.seek(max(0, packets - _LOOK_BACK) * _SIZE)
        tail = file.read(min(packets, _LOOK_BACK) * _SIZE)
    for at in range(len(tail) - _SIZE, -1, -_SIZE):
        if tail[at] == _SYNC and int.from_bytes(tail[at + 1 : at + 3], "big") & 0x1FFF == program:
            return not tail[at + 3] & 0x20
    return False


def _last_pictures(path: Path, behind: bytes) -> list[bytes]:
    """What is decoded from the last key picture on, with these bytes behind the very last."""
    import av
    from av.packet import Packet

    held: list[Packet[Any]] = []
    with open_file(path) as media:
        stream = picture_stream(media, path.name, 1)
        for packet in media.demux(stream):
            if packet.is_keyframe or len(held) == _MOST_HELD:
                held.clear()
            if packet.size:
                held.append(packet)
        if not held:
            return []
        last = Packet(bytes(held[-1]) + behind)
        last.pts, last.dts, last.time_base = held[-1].pts, held[-1].dts, held[-1].time_base
        given = []
        for one in (*held[:-1], last, None):
            try:
                pictures = stream.codec_context.decode(one)
            except (av.error.FFmpegError, ValueError):
                return [behind]  # not one that is whole, whatever is behind it
            given += [bytes(plane) for picture in pictures for plane in picture.planes]
        return given
