"""Where a picture's colours lie between its pixels: FFmpeg converts by it, PyAV does not tell it.

A copy of a picture has to be converted as the picture itself is. So noise that is said
to be like the picture is converted, and the place is the one with which noise of ours
comes out the same.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Final, cast, final

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import av

UNKNOWN: Final = "unspecified"
_PLACES: Final = (UNKNOWN, "left", "center", "topleft", "top", "bottomleft", "bottom")
_PATCH: Final = "w=min(iw\\,34):h=min(ih\\,33):x=0:y=0:exact=1"
"""As much of a picture as is tried, of odd height: there the place always makes a difference."""


def matters(layout: str, height: int) -> bool:
    """Whether it makes a difference: elsewhere FFmpeg takes a short cut."""
    return not layout.startswith(("yuv444", "yuvj444")) and (height % 2 == 1 or layout.endswith("le"))


def sited(picture: av.VideoFrame, place: str) -> av.VideoFrame:
    """The same picture, with its colours said to lie there."""
    return _filtered(picture, "setparams", f"chroma_location={place}")


@final
class Sitings:
    """The place for the pictures of one stream: found for the first, and where their layout or size changes."""

    def __init__(self) -> None:
        self._of: tuple[str, int, int] | None = None
        self._place = UNKNOWN

    def of(self, picture: av.VideoFrame) -> str:
        """Where this picture's colours lie."""
        of = picture.format.name, picture.height, picture.width
        if not matters(*of[:2]):
            return UNKNOWN
        if of != self._of:
            self._of, self._place = of, _found(picture)
        return self._place


def _found(picture: av.VideoFrame) -> str:
    import av

    like = _filtered(picture, "crop", _PATCH)
    like.make_writable()
    most = 4 if like.format.name.endswith("le") else 256  # a byte of a number that may have ten bits only
    noise = av.VideoFrame(like.width, like.height, like.format.name)
    for mine, theirs in zip(noise.planes, like.planes, strict=True):
        size, rows = min(mine.line_size, theirs.line_size), mine.height
        dice = np.random.default_rng(0).integers(0, most, (rows, size), np.uint8)
        for plane in (mine, theirs):
            np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[:rows, :size] = dice
    expected = _rgb(like)
    return next((place for place in _PLACES if np.array_equal(_rgb(sited(noise, place)), expected)), UNKNOWN)


def _rgb(picture: av.VideoFrame) -> npt.NDArray[np.uint8]:
    converted = picture.reformat(format="rgb24", src_colorspace="ITU709", src_color_range="JPEG")
    return np.asarray(converted.to_ndarray(), np.uint8)


def _filtered(picture: av.VideoFrame, name: str, options: str) -> av.VideoFrame:
    from av.filter import Graph

    graph = Graph()
    base = Fraction(picture.time_base or Fraction(1, 1000))
    begin = graph.add_buffer(width=picture.width, height=picture.height, format=picture.format, time_base=base)
    step, end = graph.add(name, options), graph.add("buffersink")
    begin.link_to(step)
    step.link_to(end)
    graph.configure()
    graph.push(picture)
    filtered = graph.pull()
    return cast("av.VideoFrame", filtered)
