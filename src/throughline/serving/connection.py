"""A client's connection, watched: the slow and the endless are cut, so that others get in.

A connection gets so many seconds for the whole of its headers, and its body must keep coming; both are looked at
once a second for all of them. There are never more connections than this process has room for: where there are, those
that have asked for nothing yet go first, the oldest before the others.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
import resource
import time
from typing import TYPE_CHECKING, Any, Final, final

from throughline.serving.glimpse import head_of
from throughline.serving.house import House
from throughline.serving.served import Served

if TYPE_CHECKING:
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol as Spoken
else:
    Spoken = object  # the host mixes in what it speaks, and this module loads without it

HEAD_SECONDS: Final = 5.0
BODY_SECONDS: Final = 5.0
BODY_RATE: Final = 16_384
"""Bytes a second, beyond the first seconds, below which a body is not coming but being kept away."""
READ_SECONDS: Final = 5.0
"""So long an answer may lie here that its client does not fetch, or fetches more slowly than a body may come."""
CRUMB: Final = 64
MOST_CRUMBS: Final = 10_000
"""So many pieces of a body may be of any size, and those after them have so many bytes on average."""
MOST_HEADERS: Final = 100
MOST_HEAD_BYTES: Final = 65_536
_BUSY: Final = b'{"error":"there is more to do than can be done in time; come again"}'
_HEAD: Final = ("431 Request Header Fields Too Large", "the head of the request is too large")
_UPGRADE: Final = re.compile(rb"(^|\n)upgrade[ \t]*:", re.IGNORECASE)
_RESERVE: Final = 96
"""Descriptors that are left for models, files and everything else."""
_TICK: Final = 0.01


@final
class Crowd:
    """All connections of a server.

    Attributes:
        most: how many there may be.
        house: what they come to; asked once the head of a request is there, so that what is refused costs little. None
            where nobody is turned away.
        cut: how many were cut off.
    """

    def __init__(self, house: House | None = None, most: int | None = None) -> None:
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
        one.gone()
        if one.transport is not None:
            one.transport.abort()  # also where it is closing already, and waits for a client that does not read

    async def feel(self) -> None:
        """Know how far behind this process is, by how late it wakes up; quick to notice, slower to forget."""
        while self.house is not None:
            asleep = time.monotonic()
            await asyncio.sleep(_TICK)
            late = max(0.0, time.monotonic() - asleep - _TICK)
            self.house.lag = max(late, 0.8 * self.house.lag)

    async def watch(self) -> None:
        """Cut off those that keep us waiting, for as long as the server runs."""
        while True:
            await asyncio.sleep(1.0)
            now = time.monotonic()
            for one in [one for one in self.here if one.late(now)]:
                self.end(one)


class Watched(Spoken):
    """Uvicorn's protocol, which counts and times what it is sent; each server's kind has its own crowd."""

    crowd: Crowd

    def connection_made(self, transport: Any) -> None:
        """A client is there."""
        super().connection_made(transport)
        self._head_since: float | None = time.monotonic()
        self._body_since: float | None = None
        self._unread: tuple[float, int] | None = None
        self._got = self._chunks = self._head_bytes = 0
        self._asks: Served | None = None
        self._ended = False  # nothing more that it sends is looked at
        self._begun = False  # a request, and it is not whole yet
        self._kept = b""  # a head whose body says how much time there is
        self._owed, self._refused = 0, -math.inf  # of the last one that was refused: what still comes, and when it was
        self.leaving: set[asyncio.Future[Any]] = set()
        self.crowd.came(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone; what it waited for is given up."""
        super().connection_lost(exc)
        self.crowd.left(self)
        self.gone()

    def eof_received(self) -> None:
        """It says no more, and the connection ends."""
        self.gone()

    def gone(self) -> None:
        """Nobody hears an answer any more; what it waited for is given up."""
        if self._answering:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        for answer in self.leaving:
            answer.cancel()

    @property
    def idle(self) -> bool:
        """Nothing is being done for it."""
        return self.cycle is None or self.cycle.response_complete or self._body_since is not None

    def late(self, now: float) -> bool:
        """It has kept us waiting for too long."""
        if self._does_not_read(now):
            return True
        if self._head_since is not None:
            return now - self._head_since > HEAD_SECONDS
        if self._body_since is None:
            return False
        if self.flow.read_paused:
            self._body_since = now  # it is we who do not read
            return False
        answered = not self._answering  # the rest of the body is of no use to anybody
        return now - self._body_since > BODY_SECONDS + (0 if answered else self._got / BODY_RATE)

    def _does_not_read(self, now: float) -> bool:
        """Answers lie here that it does not fetch."""
        left = self.transport.get_write_buffer_size()
        if not left or self._unread is None or left > self._unread[1]:
            self._unread = (now, left) if left else None
            return False
        since, before = self._unread
        if now - since <= READ_SECONDS:
            return False
        self._unread = now, left
        return before - left < (now - since) * BODY_RATE

    def data_received(self, data: bytes) -> None:
        """Bytes of a request."""
        if self._ended:
            return
        if self._owed:
            passed = min(self._owed, len(data))
            self._owed -= passed
            self._body_since = self._body_since if self._owed else None
            data = data[passed:]
        data, self._kept = self._kept + data, b""
        if not data or self._turned_away(data):
            return
        if self._head_since is None and self._body_since is None:
            self._head_since = time.monotonic()
        self._begun = True
        if self._body_since is None:
            end = data.find(b"\r\n\r\n")  # what follows is a body, which nobody need search
            if data.find(b"pgrade", 0, end if end >= 0 else len(data)) >= 0:
                # no other protocol is spoken here, and a parser that hears of one loses the request that came with it
                end = end if end >= 0 else len(data)
                data = _UPGRADE.sub(rb"\1x-noted:", data[:end]) + data[end:]
        super().data_received(data)

    def send_400_response(self, msg: str) -> None:
        """What came is no HTTP."""
        self._refuse("400 Bad Request", "this is no HTTP request")

    def on_message_begin(self) -> None:
        """A request begins, maybe right behind another."""
        self._head_since, self._body_since, self._head_bytes, self._begun = time.monotonic(), None, 0, True
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """A piece of the address."""
        self._weigh(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header."""
        self._weigh(len(name) + len(value))
        if self._head_since is None:
            return  # what comes after the body was in no head that anybody has checked
        if len(self.headers) >= MOST_HEADERS:
            self._refuse(*_HEAD)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._head_since, self._head_bytes = None, 0
        if self._deaf:
            return
        self._body_since, self._got, self._chunks = time.monotonic(), 0, 0
        self.scope["throughline.leaving"] = self.leaving  # type: ignore[typeddict-unknown-key]
        super().on_headers_complete()
        if self.scope["method"] != "HEAD":
            self.cycle.transport = _Whole(self.transport, self.cycle)  # type: ignore[assignment]
        house = self.crowd.house
        self._asks = house.asked_for(self.url) if house is not None and self.scope["method"] == "POST" else None

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._body_since, self._begun = None, False
        if not self._deaf:
            # its time begins now: how long a client takes to send is no part of it
            self.scope["throughline.since"] = time.monotonic()  # type: ignore[typeddict-unknown-key]
            if self._asks is not None and "throughline.over" not in self.scope:
                self._asks.inside += 1  # not before: whoever only begins to ask takes nobody's place
                self.scope["throughline.inside"] = self._asks  # type: ignore[typeddict-unknown-key]
            super().on_message_complete()
        self._asks = None

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self._got += len(body)
        if not self._deaf:
            super().on_body(body)

    def on_chunk_header(self) -> None:
        """A piece of the body, as the client cut it: crumbs cost us more than they cost it."""
        self._chunks += 1
        if self._chunks > MOST_CRUMBS + self._got // CRUMB:
            self._refuse("413 Content Too Large", "the body comes in crumbs; send larger pieces")

    def _turned_away(self, data: bytes) -> bool:
        """Refuse a request by the look of it, where there is too much to do; what is left of its body is let pass."""
        house = self.crowd.house
        if house is None or self._begun or self._answering or (head := head_of(data)) is None:
            return False
        served, owed = house.asked_for(head.url), head.size + head.body - len(data)
        if served is None or not served.pressed(house.lag) or head.body > house.bounds.body:
            return False  # it may be answered, or is to be told something else
        if owed < 0 or (owed and not head.stays) or head.ranked(data):
            return False  # there is another right behind it, one who would hear nothing if we closed now, or a rank
        now = time.monotonic()
        if head.body and owed == head.body:
            self._kept, self._head_since = data, self._head_since or now
            self._unset_keepalive_if_required()
            return True
        wait = house.busy(served, head.seconds(data))
        if wait is None:
            return False
        self._head_since, self._refused, self._owed, self._got = None, now, owed, 0
        self._body_since = now if owed else None
        self.transport.write(
            b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: %d\r\n"
            b"content-length: %d\r\n%s\r\n%s"
            % (max(1, math.ceil(wait)), len(_BUSY), b"" if head.stays else b"connection: close\r\n", _BUSY)
        )
        if not head.stays:
            self.transport.close()
        elif self.timeout_keep_alive_task is None:
            self.timeout_keep_alive_handler()
        return True

    def timeout_keep_alive_handler(self) -> None:
        """End the connection, unless a request that came on it meanwhile was refused."""
        left = self._refused + self.timeout_keep_alive - time.monotonic()
        if left > 0 and not self.transport.is_closing():
            self.timeout_keep_alive_task = self.loop.call_later(left, self.timeout_keep_alive_handler)
        else:
            super().timeout_keep_alive_handler()

    @property
    def _deaf(self) -> bool:
        return self._ended or self.transport.is_closing()

    @property
    def _answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _weigh(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > MOST_HEAD_BYTES:
            self._refuse(*_HEAD)

    def _refuse(self, status: str, problem: str) -> None:
        if self._deaf:
            return
        self._ended = True
        if self._answering and self._body_since is None:
            self.cycle.keep_alive = False  # those before it were requests, and are answered
            return
        read_as_its_answer = not self.pipeline and not (self._answering and self.cycle.response_started)
        self.gone()
        if read_as_its_answer:
            said = json.dumps({"error": problem})
            self.transport.write(
                f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\nconnection: close\r\n"
                f"content-length: {len(said)}\r\n\r\n{said}".encode()
            )
        self.transport.close()


@final
class _Whole:
    """What an answer is written to: its head goes out with the first of its body, in one piece and one call."""

    __slots__ = ("_answer", "_held", "_transport", "is_closing")

    def __init__(self, transport: asyncio.Transport, answer: Any) -> None:
        self._transport, self._answer = transport, answer
        self._held: bytes | None = None
        self.is_closing = transport.is_closing

    def write(self, data: bytes) -> None:
        """Send this; or keep it, where it is the head of the answer."""
        if self._held is None:
            if self._answer.response_started:
                self._held = data
            else:
                self._transport.write(data)  # the client is told to go on
        elif self._held:
            head, self._held = self._held, b""
            self._transport.writelines((head, data) if data else (head,))
        else:
            self._transport.write(data)

    def close(self) -> None:
        """Send what is left, and end."""
        if self._held:
            self._transport.write(self._held)
        self._transport.close()


def _open_files() -> int:
    import os

    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 32
