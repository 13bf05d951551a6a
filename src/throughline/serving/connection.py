"""A client's connection, watched: the slow and the endless are cut, so that others get in.

A connection gets so many seconds for the whole of its headers, and its body must keep coming; both are looked at
once a second for all of them. There are never more connections than this process has room for: where there are, those
that have asked for nothing yet go first, the oldest before the others.
"""

from __future__ import annotations

import asyncio
import math
import resource
import time
from typing import Any, Final, final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from throughline.serving.house import House

HEAD_SECONDS: Final = 5.0
BODY_SECONDS: Final = 5.0
BODY_RATE: Final = 16_384
"""Bytes a second, beyond the first seconds, below which a body is not coming but being kept away."""
MOST_HEADERS: Final = 100
MOST_HEAD_BYTES: Final = 65_536
_BUSY: Final = b'{"error":"there is more to do than can be done in time; come again"}'
_RESERVE: Final = 64
"""Descriptors that are left for models, files and everything else."""


@final
class Crowd:
    """All connections of a server.

    Attributes:
        most: how many there may be.
        house: what they come to; asked once the head of a request is there, so that what is refused costs little.
        cut: how many were cut off.
    """

    def __init__(self, house: House, most: int | None = None) -> None:
        self.house = house
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft < hard and soft < 65_536:
            soft = 65_536 if hard == resource.RLIM_INFINITY else min(hard, 65_536)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        self.most = most or max(16, min(soft - _RESERVE - _open_files(), 20_000))
        self.here: dict[Watched, None] = {}
        self.cut = 0

    def came(self, one: Watched) -> None:
        """Take one in, and show another out where there is no room."""
        self.here[one] = None
        if len(self.here) > self.most:
            quiet = next((other for other in self.here if other.idle), None) or one
            self.end(quiet)

    def left(self, one: Watched) -> None:
        """It is gone."""
        self.here.pop(one, None)

    def end(self, one: Watched) -> None:
        """Cut one off."""
        self.here.pop(one, None)
        self.cut += 1
        if one.transport is not None and not one.transport.is_closing():
            one.transport.abort()

    async def watch(self) -> None:
        """Cut off those that keep us waiting, for as long as the server runs."""
        while True:
            await asyncio.sleep(1.0)
            now = time.monotonic()
            for one in [one for one in self.here if one.late(now)]:
                self.end(one)


class Watched(HttpToolsProtocol):
    """Uvicorn's protocol, which counts and times what it is sent; each server's kind has its own crowd."""

    crowd: Crowd

    def connection_made(self, transport: Any) -> None:
        """A client is there."""
        super().connection_made(transport)
        self._head_since: float | None = time.monotonic()
        self._body_since: float | None = None
        self._got = self._head_bytes = 0
        self._passing = False  # a request that was refused already, whose body still comes
        self.leaving: set[asyncio.Future[Any]] = set()
        self.crowd.came(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone; what it waited for is given up."""
        super().connection_lost(exc)
        self.crowd.left(self)
        for answer in self.leaving:
            answer.cancel()

    @property
    def idle(self) -> bool:
        """Nothing is being done for it."""
        return self.cycle is None or self.cycle.response_complete or self._body_since is not None

    def late(self, now: float) -> bool:
        """It has kept us waiting for too long."""
        if self._head_since is not None:
            return now - self._head_since > HEAD_SECONDS
        if self._body_since is not None and not self.cycle.response_complete:
            return now - self._body_since > BODY_SECONDS + self._got / BODY_RATE
        return False

    def data_received(self, data: bytes) -> None:
        """Bytes of a request."""
        if self._head_since is None and self._body_since is None:
            self._head_since = time.monotonic()
        if self._body_since is not None:
            self._got += len(data)
        super().data_received(data)

    def on_url(self, url: bytes) -> None:
        """A piece of the address."""
        self._weigh(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header."""
        self._weigh(len(name) + len(value))
        if len(self.headers) >= MOST_HEADERS:
            self._refuse()
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._head_since, self._head_bytes = None, 0
        if self.transport.is_closing():
            return
        self._body_since, self._got = time.monotonic(), 0
        if self._turned_away():
            return
        self.scope["throughline.leaving"] = self.leaving  # type: ignore[typeddict-unknown-key]
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._body_since = None
        if self._passing:
            self._passing = False
            return
        super().on_message_complete()

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        if not self._passing and not self.transport.is_closing():
            super().on_body(body)

    def _turned_away(self) -> bool:
        """Refuse a request by its head alone, where more is to be done than can be; else let it in, and count it."""
        house, cycle = self.crowd.house, self.cycle
        if self.parser.get_method() != b"POST" or (cycle is not None and not cycle.response_complete):
            return False
        served = house.asked_for(self.url)
        if served is None:
            return False
        wait = house.busy(served, self.headers)
        if wait is None:
            served.inside += 1
            self.scope["throughline.inside"] = served  # type: ignore[typeddict-unknown-key]
            return False
        self._passing = True
        keep = self.parser.should_keep_alive() and not self.expect_100_continue
        self.transport.write(
            b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: %d\r\n"
            b"content-length: %d\r\n%s\r\n%s"
            % (max(1, math.ceil(wait)), len(_BUSY), b"" if keep else b"connection: close\r\n", _BUSY)
        )
        if not keep:
            self.transport.close()
        return True

    def _weigh(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > MOST_HEAD_BYTES:
            self._refuse()

    def _refuse(self) -> None:
        if self.transport.is_closing():
            return
        said = b'{"error":"the head of the request is too large"}'
        self.transport.write(
            b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: application/json\r\n"
            b"connection: close\r\ncontent-length: %d\r\n\r\n%s" % (len(said), said)
        )
        self.transport.close()


def _open_files() -> int:
    import os

    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 32
