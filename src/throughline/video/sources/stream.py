"""A network stream: RTSP, HTTP and their like, opened again when it is lost."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from throughline.plugins import Plugin
from throughline.video.sources._live import LiveSource, patience_of
from throughline.video.sources._media import decoder_options, open_media
from throughline.video.sources._window import Window

if TYPE_CHECKING:
    from av.container import InputContainer

# without "file": no playlist of a stranger may read this machine's files
_PROTOCOLS = "http,https,tcp,tls,udp,rtp,rtsp,rtmp,srt,crypto"


def make(
    spec: str,
    *,
    start: float | None = None,
    end: float | None = None,
    max_frames: int | None = None,
    hwaccel: str | None = None,
    threads: int | None = None,
    **options: Any,
) -> LiveSource:
    """The stream at this address; passwords in it are not repeated in names."""
    name = re.sub(r"//[^/@]*@", "//", spec)
    network = {"protocol_whitelist": _PROTOCOLS}
    if spec.lower().startswith("rtsp"):
        network["rtsp_transport"] = "tcp"

    def connect(timeout: float) -> InputContainer:
        media: InputContainer = open_media(
            spec, {**decoder_options(), **network}, hwaccel, name, timeout=(timeout, timeout)
        )
        return media

    return LiveSource(name, connect, patience_of(options), Window.of(start, end, max_frames), threads, hwaccel)


PLUGIN = Plugin(make=make, summary="a network stream: rtsp, http, https, rtmp, udp, srt", needs=("av",))
