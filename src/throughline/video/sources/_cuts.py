"""Whether decoding one file in several processes is worth it, and where the file can be cut for that."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from throughline.video.sources._media import open_file, picture_stream
from throughline.video.sources._table import Entry, Table
from throughline.video.sources._window import Window

if TYPE_CHECKING:
    import av
    from av.container import InputContainer

_INDEXED = {"mov", "matroska", "avi"}
"""Containers whose key pictures are found by an index."""
_MOST = 8
_WORTH_IT = 600_000_000
"""So many pixels, all pictures together: ten seconds of 1080p."""


@dataclass(frozen=True, slots=True)
class Cuts:
    """Key pictures to cut at, where the pictures that are wanted end, and how many there are."""

    at: list[Entry]
    last: int
    total: int


def workers_for(path: Path, options: Mapping[str, Any], cores: int) -> int:
    """How many processes to decode it with on so many cores; 0 is in this one.

    One for every two cores, eight at most, where the decoder uses no threads itself, the file has an index and
    what is wanted of it is long; and if that is two or more. Elsewhere it costs more than it gives: a decoder with
    threads keeps the cores busy as it is, and from one key picture of its files to the next is often more than
    memory holds. None either where the user said what decodes the file.
    """
    workers = min(_MOST, cores // 2)
    if workers < 2 or options.get("threads") or options.get("hwaccel") not in (None, "", "none"):
        return 0
    window = Window.of(options.get("start"), options.get("end"), options.get("max_frames"))
    with open_file(path) as media:
        stream = picture_stream(media, path.name, 1)
        context, rate = stream.codec_context, float(stream.average_rate or 0)
        if not _is_indexed(media) or _uses_threads(context):
            return 0
        ends = min(window.end, float(media.duration or 0) / 1e6)
        wanted = min(window.max_frames or math.inf, (ends - window.start) * rate)
        return workers if wanted * context.width * context.height >= _WORTH_IT else 0


def cuts_of(path: Path, options: Mapping[str, Any], least: int) -> Cuts:
    """Where to cut it, into stretches of ``least`` pictures or more; nowhere if its packets do not prove it clean."""
    table = Table.read(path, 1)
    with open_file(path) as media:
        known = _is_indexed(media) and picture_stream(media, path.name, 1).start_time is not None
    if table is None or not known:
        return Cuts([], 0, 0)
    window = Window.of(options.get("start"), options.get("end"), options.get("max_frames"))
    last = len(table.times) if math.isinf(window.end) else table.number_at(window.end)
    if window.max_frames is not None:
        last = min(last, table.number_at(window.start) + window.max_frames)
    return Cuts(list(table.far_apart(least)), min(last, len(table.times)), len(table.times))


def _is_indexed(media: InputContainer) -> bool:
    return not _INDEXED.isdisjoint(media.format.name.split(","))


def _uses_threads(context: av.VideoCodecContext) -> bool:
    from av.codec.codec import Capabilities

    some = Capabilities.frame_threads | Capabilities.slice_threads | Capabilities.auto_threads
    return bool(context.codec.capabilities & int(some))
