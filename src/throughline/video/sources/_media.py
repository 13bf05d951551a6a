"""Opening media that may be hostile: only known formats, only this file, no absurd sizes.

A video file can name other files and addresses; none is followed. Sizes are checked by
the decoder itself before it allocates, and again here.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from throughline.contracts.errors import InputError
from throughline.data.picture_headers import MOST_PIXELS, check_size
from throughline.video.sources._hardware import opened_with

if TYPE_CHECKING:
    import av
    from av.codec.hwaccel import HWAccel
    from av.container import InputContainer

# what a video file may be; playlists and scripts, which lead elsewhere, are not among them
_FORMATS = (
    "mov", "matroska,webm", "matroska", "avi", "mpegts", "mpeg", "mpegvideo", "flv", "asf", "ogg", "nut", "ivf",
    "gif", "h264", "hevc", "m4v", "mjpeg", "mxf", "av1", "obu", "dv", "yuv4mpegpipe", "rm", "vc1", "apng",
    "mov,mp4,m4a,3gp,3g2,mj2",
)  # fmt: skip
_THREADS = 4
_KINDS = "give a video file (MP4, MKV, WebM, AVI, MPEG-TS ...) or an image (PNG, JPEG, BMP, WebP, TIFF)"
_STRICT = ("hevc", "mjpeg")
"""Decoders that give, for what is damaged, whatever happens to lie in memory; told to be strict, they give nothing."""


def decoder_options() -> dict[str, str]:
    """What every decoder is told: larger than this is refused before anything is allocated."""
    return {"max_pixels": str(MOST_PIXELS)}


def open_file(path: Path, hwaccel: str | None = None) -> InputContainer:
    """Open a local media file."""
    options = {
        **decoder_options(),
        "protocol_whitelist": "file",
        "format_whitelist": ",".join(dict.fromkeys(",".join(_FORMATS).split(","))),
    }
    media: InputContainer = open_media(str(path), options, hwaccel, path.name)
    return media


def open_media(address: str, options: Mapping[str, str], hwaccel: str | None, name: str, **more: Any) -> Any:
    """Open with these options; what cannot be opened is one clear error."""
    import av

    av.logging.set_level(None)  # damage is reported as gaps, once, not as the decoder's chatter

    def opened(device: HWAccel | None) -> Any:
        return av.open(address, options=dict(options), hwaccel=device, metadata_errors="replace", **more)

    try:
        return opened_with(hwaccel, opened)
    except (av.error.FFmpegError, OSError, ValueError, MemoryError) as error:
        if "://" in address:
            problem, fix = "nothing that can be read comes from it", "check the address, and that it is sending video"
        else:
            problem, fix = "this is no video that can be read", _KINDS
        raise InputError(f"{name}: {problem} ({reason_of(error)})", fix) from None


def picture_stream(media: InputContainer, name: str, threads: int | None) -> av.VideoStream:
    """Its first stream of moving pictures, ready to be decoded."""
    stream = next((one for one in media.streams.video if not _is_cover(one)), None)
    if stream is None:
        raise InputError(f"{name}: there are no pictures in it", "give a file with a video track")
    context = stream.codec_context
    if context is None:
        raise InputError(f"{name}: its video is of a kind that cannot be decoded here", "convert it to H.264")
    if context.width or context.height:
        check_size(context.width, context.height, name)
    strict = {"err_detect": "explode"} if context.name in _STRICT else {}
    context.options = {**context.options, **decoder_options(), **strict}
    context.thread_count = threads or min(_THREADS, os.cpu_count() or 1)
    context.thread_type = "AUTO"
    return stream


def reason_of(error: BaseException) -> str:
    """What a decoder's error says, without the address and the number around it."""
    return str(getattr(error, "strerror", None) or error or type(error).__name__)


def _is_cover(stream: av.VideoStream) -> bool:
    from av.stream import Disposition

    return bool(stream.disposition & Disposition.attached_pic)
