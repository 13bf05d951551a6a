"""Whether decoding one file in several processes is worth it, and where the file can be cut for that."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from throughline.hardware import cores
from throughline.video.sources._media import open_file, picture_stream
from throughline.video.sources._table import Entry, Table
from throughline.video.sources._window import Window

if TYPE_CHECKING:
    import av
    from av.container import InputContainer

_INDEXED = {"mov", "matroska", "avi"}
"""Containers whose key pictures are found by an index."""
_MOST = 8
THREADS = 4
"""What one decoder that uses threads can keep busy."""
_WORTH_IT = 600_000_000
"""So many pixels, all pictures together: ten seconds of 1080p."""


@dataclass(frozen=True, slots=True)
class Cuts:
    """Key pictures to cut at, where the pictures that are wanted end, and how many there are."""

    at: list[Entry]
    last: int
    total: int


def workers_for(path: Path, options: Mapping[str, Any]) -> int:
    """How many processes to decode it with; 0 is in this one.

    A decoder that uses threads itself keeps four cores busy, one that does not a single one. So many processes as
    fit, if that is two or more, eight at most; none for a file that is short, that has no index, or where the user
    said what decodes it.
    """
    free = cores()
    if free < 2 or options.get("threads") or options.get("hwaccel") not in (None, "", "none"):
        return 0
    with open_file(path) as media:
        stream = picture_stream(media, path.name, 1)
        context = stream.codec_context
        count = stream.frames or float(media.duration or 0) / 1e6 * float(stream.average_rate or 0)
        if not _is_indexed(media) or count * context.width * context.height < _WORTH_IT:
            return 0
        workers = min(_MOST, free // (THREADS if _uses_threads(context) else 1))
    return workers if workers > 1 else 0


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
