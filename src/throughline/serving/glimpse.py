"""A request by the look of it, before anything is parsed: enough to say no, where there is too much to do.

What is refused must cost next to nothing, or saying no is all that a busy server does. This knows requests in the form
that clients send: one piece that holds the whole head, and a length for what follows. Any other goes the long way, and
is refused at its end. A client's heads are alike, and each is read once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, final

_FIRST: Final = re.compile(rb"POST (/[^\s]*) HTTP/1\.1\r\n")
_LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,12})[ \t]*\r\n")
_TIMEOUT: Final = re.compile(rb"\r\nx-timeout-ms:[ \t]*(\d{1,9})[ \t]*\r\n")
_WORDS: Final = re.compile(rb"\r\ninference-header-content-length:[ \t]*(\d{1,12})[ \t]*\r\n")
_TIMEOUT_SAID: Final = re.compile(rb'"timeout"\s*:\s*"?([1-9]\d{0,17})')
_ODD: Final = (b"transfer-encoding", b"expect", b"upgrade", b"\r\n ", b"\r\n\t")
_LONG: Final = 2048
"""No client of a model needs a longer head; those who send one go the long way."""


@final
@dataclass(frozen=True, slots=True)
class Head:
    """The head of a POST.

    Attributes:
        url: what is asked.
        size: how long it is itself.
        body: how long what follows is.
        words: where what it says in words ends, and its numbers begin.
        timeout: the seconds that it says it has.
        stays: its connection is for more requests.
    """

    url: bytes
    size: int
    body: int
    words: int
    timeout: float | None
    stays: bool

    def seconds(self, data: bytes) -> float | None:
        """The seconds that the request has: what its body says goes before what its head says."""
        at = data.find(b'"timeout"', self.size, self.words)
        said = None if at < 0 else _TIMEOUT_SAID.match(data, at)
        return self.timeout if said is None else int(said[1]) / 1e6

    def ranked(self, data: bytes) -> bool:
        """It may go before others, which only the queue can tell."""
        return data.find(b'"priority"', self.size, self.words) >= 0


def head_of(data: bytes) -> Head | None:
    """The head that these bytes begin with; None where they must be parsed to be known."""
    end = data.find(b"\r\n\r\n", 0, _LONG)
    return None if end < 0 else _read(data[: end + 4])


@lru_cache(1024)
def _read(given: bytes) -> Head | None:
    first, head = _FIRST.match(given), given[:-2].lower()
    lengths = _LENGTH.findall(head)
    if first is None or len(lengths) != 1:
        return None
    if head.count(b"content-length") != 1 + head.count(b"inference-header-content-length"):
        return None
    if any(odd in head for odd in _ODD) or head.count(b"\n") != head.count(b"\r\n"):
        return None
    said = _TIMEOUT.search(head)
    timeout = int(said[1]) / 1e3 if said is not None else None
    body, words = int(lengths[0]), _WORDS.search(head)
    ends = len(given) + (body if words is None else int(words[1]))
    return Head(first[1], len(given), body, ends, timeout or None, b"\r\nconnection: close" not in head)
