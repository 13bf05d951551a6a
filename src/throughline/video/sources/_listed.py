"""The sources that a text file names: one a line, ``#`` begins a remark, names are relative to the file."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from throughline.contracts.errors import InputError

_MOST_BYTES = 16 * 2**20


def listed(spec: str) -> list[str]:
    """What the file, or stdin for ``-``, lists; a listing in a listing is refused."""
    if spec == "-":
        text, folder = sys.stdin.read(_MOST_BYTES + 1), Path()
    else:
        path = Path(spec)
        if path.stat().st_size > _MOST_BYTES:
            raise InputError(f"'{spec}' is larger than 16 MiB", "a listing is a text file with one source a line")
        try:
            text, folder = path.read_text("utf-8-sig"), path.parent
        except UnicodeDecodeError:
            raise InputError(f"'{spec}' is not UTF-8 text", "a listing is a text file with one source a line") from None
    if len(text) > _MOST_BYTES:
        raise InputError("the listing on stdin is larger than 16 MiB", "give one source a line")
    lines = [line.strip() for line in text.splitlines()]
    specs = [_beside(line, folder) for line in lines if line and not line.startswith("#")]
    if not specs:
        raise InputError(f"'{spec}' lists nothing", "write one source a line")
    for one in specs:
        if one == "-" or Path(one).suffix.lower() in {".txt", ".list"}:
            raise InputError(f"'{spec}' lists another listing, '{one}'", "list the sources themselves")
    return specs


def _beside(line: str, folder: Path) -> str:
    if re.match(r"[a-zA-Z][a-zA-Z0-9+.-]+://", line) or re.fullmatch(r"\d{1,3}|-", line):
        return line
    return str(folder / line)
