"""A camera of this machine, by its number or its device file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from throughline.contracts.errors import InputError
from throughline.plugins import Plugin
from throughline.video.sources._live import LiveSource, patience_of
from throughline.video.sources._media import decoder_options, open_media
from throughline.video.sources._window import Window

if TYPE_CHECKING:
    from av.container import InputContainer


def make(
    spec: str,
    *,
    start: float | None = None,
    end: float | None = None,
    max_frames: int | None = None,
    threads: int | None = None,
    **options: Any,
) -> LiveSource:
    """The camera ``0``, ``1`` ... or ``/dev/video0`` ..."""
    device = f"/dev/video{spec}" if spec.isdecimal() else spec
    if not Path(device).exists():
        present = ", ".join(sorted(str(path) for path in Path("/dev").glob("video*"))) or "none"
        raise InputError(f"there is no camera {device}", f"cameras here: {present}")

    def connect(timeout: float) -> InputContainer:
        media: InputContainer = open_media(
            device, decoder_options(), None, device, format="v4l2", timeout=(timeout, timeout)
        )
        return media

    return LiveSource(device, connect, patience_of(options), Window.of(start, end, max_frames), threads)


PLUGIN = Plugin(make=make, summary="a camera of this machine (V4L2)", needs=("av",))
