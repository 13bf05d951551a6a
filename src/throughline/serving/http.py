"""A request and a response over ASGI: limits before anything is parsed, and errors that say what to do.

A body is only read as far as it may be large, and unpacked only as far, too: a kilobyte that unpacks to a gigabyte
costs no more than the limit.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias, final
from urllib.parse import parse_qsl

from throughline.contracts.errors import InputError, ThroughlineError
from throughline.serving.json_bodies import parsed
from throughline.serving.refusals import Refused, status_of

Scope: TypeAlias = dict[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[dict[str, Any]]]
Send: TypeAlias = Callable[[dict[str, Any]], Awaitable[None]]

JSON: Final = b"application/json"
_MOST_CHUNKS: Final = 100_000


@final
@dataclass(slots=True, eq=False)
class Request:
    """What a client sent, its body not yet read."""

    scope: Scope
    receive: Receive
    most: int
    path: Mapping[str, str]
    key: str = ""
    _headers: dict[bytes, bytes] | None = None

    def header(self, name: bytes) -> str | None:
        """A header's value, by its name in lower case."""
        if self._headers is None:
            self._headers = dict(self.scope["headers"])
        value = self._headers.get(name)
        return None if value is None else value.decode("latin-1")

    @property
    def query(self) -> dict[str, str]:
        """What stands after the question mark."""
        try:
            return dict(parse_qsl(self.scope["query_string"].decode("latin-1"), max_num_fields=50))
        except ValueError:
            raise InputError("the address asks for more than 50 things", "say less after the '?'") from None

    def number(self, name: bytes) -> int | None:
        """A header that is a whole number."""
        value = self.header(name)
        if value is None:
            return None
        if not value.isascii() or not value.isdecimal() or len(value) > 18:
            raise InputError(f"the header {name.decode()} is {value[:40]!r}", "send a whole number")
        return int(value)

    async def body(self) -> bytes | bytearray:
        """The whole body, unpacked.

        Raises:
            Refused: it is larger than it may be, or comes in more pieces.
        """
        length = self.number(b"content-length")
        if length is not None and length > self.most:
            raise too_large(length, self.most)
        message = await self._message()
        data: bytes | bytearray = message.get("body", b"")
        pieces = 1
        if message.get("more_body"):
            data = bytearray(data)
            while message.get("more_body"):
                message = await self._message()
                data += message.get("body", b"")
                pieces += 1
                if len(data) > self.most:
                    raise too_large(len(data), self.most)
                if pieces > _MOST_CHUNKS:
                    raise Refused(413, f"the body comes in more than {_MOST_CHUNKS:,} pieces", "send larger ones")
        if len(data) > self.most:
            raise too_large(len(data), self.most)
        return self._unpacked(data)

    async def json(self) -> Any:
        """The body as JSON."""
        try:
            return parsed(await self.body() or b"null")
        except (ValueError, RecursionError) as error:
            raise InputError(f"the body is no JSON: {str(error)[:120]}", "send JSON") from None

    async def pieces(self, most: int) -> AsyncIterator[bytes]:
        """The body piece by piece, up to so many bytes."""
        total, more = 0, True
        while more:
            message = await self._message()
            piece, more = message.get("body", b""), bool(message.get("more_body"))
            total += len(piece)
            if total > most:
                raise too_large(total, most)
            yield piece

    async def _message(self) -> dict[str, Any]:
        message = await self.receive()
        if message["type"] == "http.disconnect":
            raise Refused(400, "the client left before its request was whole")
        return message

    def _unpacked(self, data: bytes | bytearray) -> bytes | bytearray:
        how = (self.header(b"content-encoding") or "identity").strip().lower()
        if how == "identity":
            return data
        if how not in ("gzip", "deflate"):
            raise Refused(415, f"Content-Encoding is {how[:40]!r}", "send gzip, deflate, or nothing packed")
        unpacking = zlib.decompressobj(31 if how == "gzip" else 15)
        try:
            whole = unpacking.decompress(bytes(data), self.most + 1)
        except zlib.error as error:
            raise InputError(f"the body is no {how}: {error}", "pack it again") from None
        if len(whole) > self.most:
            raise too_large(len(whole), self.most)
        if not unpacking.eof:
            raise InputError(f"the body's {how} has no end", "send all of it")
        return whole


@final
@dataclass(frozen=True, slots=True)
class Response:
    """What is sent back: parts that are known, or a stream of them."""

    status: int = 200
    parts: list[bytes] = field(default_factory=list)
    kind: bytes = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()
    stream: AsyncGenerator[bytes, None] | None = None

    @classmethod
    def of(cls, value: Any, status: int = 200, headers: tuple[tuple[bytes, bytes], ...] = ()) -> Response:
        """A value as JSON."""
        try:
            said = json.dumps(value, separators=(",", ":"), default=str, allow_nan=False)
        except ValueError:
            said = json.dumps(_sayable(value), separators=(",", ":"), default=str)
        return cls(status, [said.encode()], headers=headers)

    async def send(self, send: Send) -> None:
        """Send it."""
        headers = [(b"content-type", self.kind), (b"x-content-type-options", b"nosniff"), *self.headers]
        if self.stream is None:
            body = self.parts[0] if len(self.parts) == 1 else b"".join(self.parts)
            headers.append((b"content-length", b"%d" % len(body)))
            await send({"type": "http.response.start", "status": self.status, "headers": headers})
            await send({"type": "http.response.body", "body": body})
            return
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        async with aclosing(self.stream) as stream:
            async for part in stream:
                await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


def refusal(error: BaseException) -> Response:
    """An error as a response; of a fault that nobody foresaw, nothing is told but that it is one."""
    if not isinstance(error, ThroughlineError):
        return Response.of({"error": "a fault of the server's"}, 500)
    said = f"{error.problem}; {error.fix}" if error.fix else error.problem
    status = status_of(error)
    headers = list(error.headers) if isinstance(error, Refused) else []
    if isinstance(error, Refused) and error.retry_after is not None:
        headers.append((b"retry-after", b"%d" % max(1, math.ceil(error.retry_after))))
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    return Response.of({"error": said}, status, tuple(headers))


def _sayable(value: Any) -> Any:
    """The same without what JSON has no number for."""
    if isinstance(value, Mapping):
        return {name: _sayable(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_sayable(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def too_large(size: int, most: int) -> Refused:
    """The refusal of a body that is larger than it may be."""
    return Refused(413, f"the body has {size:,} bytes or more, and may have {most:,}", "send less at once")
