"""What the server says while it runs: one line of JSON an event, no more than so many a second, and no secret in any.

Nothing that a client sent is written: no header, no body, no path but the route's own pattern. What is written in
spite of that (an exception's text) is cleared of whatever looks like a secret, and of the values that this process
itself keeps secret in its environment.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TextIO, final

_SECRET_NAMES: Final = re.compile(r"key|token|secret|passw|credential|auth|cookie|session", re.IGNORECASE)
_LOOKS_SECRET: Final = (
    (re.compile(r"(?i)(bearer|basic)\s+[\w.~+/=-]+"), r"\1 ***"),
    (re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://)[^\s/@]+@"), r"\1***@"),
    (re.compile(r"tl_[\w-]{20,}"), "***"),
    (
        re.compile(
            r"""(?i)([\w-]*(?:key|token|secret|passw|signature|auth|credential)[\w-]*["']?\s*[=:]\s*["']?)[^\s&;"',}]+"""
        ),
        r"\1***",
    ),
)  # fmt: skip
_SHORTEST: Final = 6


@dataclass(slots=True)
class _Measure:
    left: float
    since: float
    left_out: int = 0


@final
class Log:
    """Lines of JSON, at most ``most`` a second of each event; what was left out is counted, and said with the next.

    Each event has its own measure, so that a flood of one hides none of another.
    """

    def __init__(
        self, most: int = 50, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most, self._stream, self._clock = most, stream, clock
        self._measures: dict[str, _Measure] = {}
        self._scrub = scrubber(os.environ)

    def __call__(self, event: str, **fields: Any) -> None:
        """Write a line."""
        now, most = self._clock(), float(self._most)
        measure = self._measures.setdefault(event, _Measure(most, now))
        measure.left, measure.since = min(most, measure.left + (now - measure.since) * most), now
        if measure.left < 1:
            measure.left_out += 1
            return
        measure.left -= 1
        line = {"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "event": event, **fields}
        if measure.left_out:
            line["left_out"], measure.left_out = measure.left_out, 0
        said = {name: self._scrub(value) if isinstance(value, str) else value for name, value in line.items()}
        print(json.dumps(said, separators=(",", ":"), default=str), file=self._stream or sys.stderr, flush=True)

    def failure(self, event: str, error: BaseException, **fields: Any) -> None:
        """Write down a fault of ours: what it is and where, for whoever mends it."""
        frames = traceback.extract_tb(error.__traceback__)[-8:]
        where = [f"{os.path.basename(one.filename)}:{one.lineno} {one.name}" for one in frames]
        said = self._scrub(f"{type(error).__name__}: {error}")[:300]  # cleared, then cut: half a secret is one
        self(event, error=said, where=" < ".join(reversed(where)), **fields)


@final
class Overheard(logging.Handler):
    """What libraries say: that they did and where, but not what, since a client may have put it into their mouths."""

    def __init__(self, log: Log) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Write down where something was said."""
        if record.name.partition(".")[0] != "throughline":  # we say what we have to say ourselves
            self._log("library", name=record.name, where=f"{record.filename}:{record.lineno}")


def scrubber(environment: Mapping[str, str]) -> Callable[[str], str]:
    """Takes secrets out of texts: what looks like one, and what this environment calls one."""
    values = {value for name, value in environment.items() if _SECRET_NAMES.search(name) and len(value) >= _SHORTEST}
    ordered = sorted(values, key=len, reverse=True)

    def scrub(text: str) -> str:
        for value in ordered:
            text = text.replace(value, "***")
        for pattern, instead in _LOOKS_SECRET:
            text = pattern.sub(instead, text)
        return text

    return scrub
