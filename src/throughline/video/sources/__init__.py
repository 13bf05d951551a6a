"""Where frames come from: one file each.

A member's ``make(spec, **options)`` returns a ``contracts.streams.Source``. Which member
reads a spec is decided by what is there (the first bytes of a file, the scheme of an
address), never by a file's ending alone.
"""

from __future__ import annotations

import glob
import re
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from throughline.contracts.errors import InputError
from throughline.contracts.streams import Source
from throughline.data.picture_headers import is_image
from throughline.plugins import Family
from throughline.video.sources._listed import listed

__all__ = ["SOURCES", "kind_of", "listed", "open_sources"]

SOURCES = Family("source", "throughline.video.sources")

_SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+://")
_LIVE = ("rtsp://", "rtsps://", "http://", "https://", "rtmp://", "udp://", "srt://")


def open_sources(specs: Sequence[str], **options: Any) -> list[Source]:
    """Open each spec with the member that reads it; a listing opens all that it lists.

    Args:
        specs: files, folders or globs of images, listings (``-`` for stdin), cameras, addresses.
        options: ``start``, ``end``, ``max_frames``, ``hwaccel``, ``threads``, ``workers``; for live sources ``policy``,
            ``reconnect`` and ``stall_timeout``. A member takes those that mean something to it.
    """
    opened: list[Source] = []
    try:
        for spec in specs:
            kind = kind_of(spec)
            if kind == "listing":
                opened += open_sources(listed(spec), **options)
            else:
                opened.append(cast(Source, SOURCES.make(kind, spec, **options)))
    except BaseException:
        for source in opened:
            source.close()
        raise
    return opened


def kind_of(spec: str) -> str:
    """The name of the member that reads this spec."""
    if spec == "-":
        return "listing"
    if _SCHEME.match(spec):
        if spec.lower().startswith(_LIVE):
            return "stream"
        raise InputError(f"'{spec}': addresses of this kind are not read", f"use one of: {', '.join(_LIVE)}")
    if re.fullmatch(r"\d{1,3}|/dev/video\d+", spec):
        return "camera"
    path = Path(spec)
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        if glob.has_magic(spec):
            return "images"
        raise InputError(f"'{spec}' is not there", "give a file, a folder of images, a glob or an address") from None
    except (OSError, ValueError) as error:
        raise InputError(f"'{spec}' cannot be read: {error}", "check the name and the permissions") from None
    if stat.S_ISDIR(mode):
        return "images"
    if not stat.S_ISREG(mode):
        raise InputError(f"'{spec}' is neither a file nor a folder", "give a file, a folder of images or an address")
    return _kind_of_file(path)


def _kind_of_file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            begins = file.read(4096)
    except OSError as error:
        raise InputError(f"'{path}' cannot be read: {error}", "check the permissions") from None
    if not begins:
        raise InputError(f"'{path}' is empty", "give a file with something in it")
    if is_image(begins):
        return "images"
    if path.suffix.lower() in {".txt", ".list"} and _is_text(begins):
        return "listing"
    return "file"


def _is_text(begins: bytes) -> bool:
    return not any(byte < 9 or 13 < byte < 32 for byte in begins)
