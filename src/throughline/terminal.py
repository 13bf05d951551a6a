"""How Throughline looks on a terminal: aligned, quiet, the same when piped except for colour.

Long values are never wrapped or cut, so that a path or a hash can be copied.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

_STYLES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}


def styled(text: str, style: str, *, stream: str = "stdout") -> str:
    """The text in a style, where the stream is a terminal that shows colours."""
    target = sys.stdout if stream == "stdout" else sys.stderr
    shows = target.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return f"\x1b[{_STYLES[style]}m{text}\x1b[0m" if shows else text


def note(text: str) -> None:
    """One line about what is going on, to stderr, so that stdout stays the result."""
    print(f"{styled('note', 'cyan', stream='stderr')}: {printable(text)}", file=sys.stderr, flush=True)


@contextmanager
def only_warnings() -> Iterator[None]:
    """Inside, what the library says in passing (each model that it opens) is not shown: a search opens a hundred."""
    logger = logging.getLogger("throughline")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


def printable(text: str) -> str:
    """Text that cannot move the cursor or recolour the screen: what files say of themselves is not to be trusted."""
    return "".join(char if char.isprintable() or char == "\n" else f"\\x{ord(char):02x}" for char in text)


def fields(pairs: Iterable[tuple[str, str]]) -> str:
    """Names and values in two columns; a value of several lines hangs under itself."""
    kept = [(name, value) for name, value in pairs if value]
    width = max((len(name) for name, _ in kept), default=0)
    hang = "\n" + " " * (width + 2)
    return "\n".join(
        f"{styled(name.ljust(width), 'bold')}  {hang.join(printable(value).splitlines())}" for name, value in kept
    )


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Rows under a head, every column as wide as its widest cell."""
    cells = [[printable(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in [list(head), *cells]) for column in range(len(head))]
    numeric = [all(re.fullmatch(r"[-+\d.,]*( ?%| ms| MB)?", row[at]) for row in cells) for at in range(len(head))]

    def line(row: Sequence[str]) -> str:
        padded = [
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numeric, strict=True)
        ]
        return "  ".join(padded).rstrip()

    return "\n".join([styled(line(head), "bold"), *map(line, cells)])


def human_bytes(count: int) -> str:
    """A size as people say it, with the exact count behind it."""
    size = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024 or unit == "GiB":
            return f"{count} B" if unit == "B" else f"{size:.1f} {unit} ({count:,} bytes)"
        size /= 1024
    raise AssertionError
