"""Decoding on hardware where it was asked for and is there; and what really decodes, said as it is.

FFmpeg goes over to the CPU without a word where a device does not know a format. So what
decodes is read off the first picture: a device gives brightness and interleaved colours.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from throughline.contracts.errors import Unavailable

if TYPE_CHECKING:
    import av
    from av.codec.hwaccel import HWAccel

AUTO = "auto"
_OF_A_DEVICE = ("nv", "p0", "p2", "p4")


def opened_with(hwaccel: str | None, opened: Callable[[HWAccel | None], Any]) -> Any:
    """What ``opened`` gives for the first device of this name that decodes its pictures ("auto": any), or for none.

    A device that was asked for by its name and is not there is an error; one that does not know the format is not.
    """
    if hwaccel in (None, "", "none"):
        return opened(None)
    from av.codec.hwaccel import HWAccel, hwdevices_available

    reason = "FFmpeg was built without it"
    for kind in (kind for kind in hwdevices_available() if hwaccel in (AUTO, kind)):
        try:
            media = opened(HWAccel(kind, allow_software_fallback=True))
        except (OSError, ValueError, RuntimeError) as error:
            reason = str(getattr(error, "strerror", None) or error)
            continue
        if hwaccel == kind or any(one.codec_context and one.codec_context.is_hwaccel for one in media.streams.video):
            return media
        media.close()
    media = opened(None)  # if it cannot be opened at all, that is what is said
    if hwaccel == AUTO:
        return media
    media.close()
    raise Unavailable(
        f"hwaccel '{hwaccel}': this machine has no such decoder ({reason})", "leave hwaccel out to decode on the CPU"
    )


def decoder_of(stream: av.VideoStream, picture: av.VideoFrame | None, hwaccel: str | None) -> str:
    """What decodes this stream, by the first picture that it gave."""
    context: Any = stream.codec_context
    if context.is_hwaccel and picture is not None and picture.format.name.startswith(_OF_A_DEVICE):
        config = context.hwaccel.config
        return f"{context.name} on {config.device_type.name if config else hwaccel}"
    threads = context.thread_count
    said = f"{context.name} on the CPU, {threads} thread{'s' * (threads != 1)}"
    return f"{said}; hwaccel '{hwaccel}' does not decode it here" if hwaccel not in (None, "", "none") else said
