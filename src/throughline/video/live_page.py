"""``--show``: a page that tells what a run is doing, served on this machine alone and closed with the run.

Watching must never slow the work. A job leaves a reference and goes on; pictures are made
small, drawn and packed on the page's own threads, only while somebody looks, and for at
most a fifth of one core. Nothing from the disk is served, and nothing from elsewhere is asked for.
"""

from __future__ import annotations

import contextlib
import json
import re
import secrets
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from html import escape
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from string import Template
from types import MappingProxyType
from typing import Any, Final, Self, final
from urllib.parse import parse_qsl

from throughline.contracts.errors import Unavailable
from throughline.reports.page import text as page_text
from throughline.video.moments import EVERY, Moment, Moments
from throughline.video.preview import Preview, preview

_HOST: Final = "127.0.0.1"
_OUR_NAMES: Final = r"(127\.0\.0\.1|localhost)(:[0-9]{1,5})?"
"""What a browser may call us: another name would be somebody's who made it lead here. A forwarded port may differ."""
_CONNECTIONS: Final = 32
_SHORTEST: Final = 0.1
"""Seconds between two drawings, at least."""
_REST: Final = 4
"""And this many times as long as the last one took."""
_STALE: Final = 2.0
_GOODBYE: Final = 0.2
"""Seconds that the end of a run waits for browsers to hear of it."""
_LAST_WORDS: Final = 0.05
"""And so long for what they asked before they heard it."""
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


@final
class LivePage:
    """The page of one run, as long as the ``with`` block lasts. ``show`` may be called from any thread."""

    def __init__(self, name: str = "run") -> None:
        self.name = name
        self.moments = Moments()
        self._key = secrets.token_urlsafe(12)
        self._changed = threading.Condition()
        self._samples = 0
        self._ended = threading.Event()
        self._pen = threading.Lock()
        self._free_at = 0.0
        self._pictures: dict[int, Preview] = {}

    def __enter__(self) -> Self:
        try:
            self._server = _Server(self)
        except OSError as error:
            raise Unavailable(
                f"the live page cannot be served on {_HOST}: {error.strerror}", "leave --show away"
            ) from None
        self._threads = [
            threading.Thread(target=self._server.serve_forever, args=(0.05,), name="throughline-page", daemon=True),
            threading.Thread(target=self._sample, name="throughline-page-samples", daemon=True),
        ]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.moments.sample(time.monotonic())  # how it ended is told whatever the other threads are at
        self._ended.set()
        with self._changed:
            self._changed.notify_all()
        self._server.leave(time.monotonic() + _GOODBYE)
        for thread in self._threads:
            thread.join(_GOODBYE)  # one that draws is not waited for

    @property
    def address(self) -> str:
        """Where a browser finds it. Part of it is secret, so that other users of the machine do not."""
        return f"http://{_HOST}:{self._server.server_address[1]}{self.root}"

    @property
    def root(self) -> str:
        """The path that everything lies under."""
        return f"/{self._key}/"

    @property
    def closed(self) -> bool:
        """Whether the run has ended."""
        return self._ended.is_set()

    def show(self, moment: Moment) -> None:
        """This is what a job is doing now."""
        self.moments.take(moment)

    def ended(self, source: str, said: str) -> None:
        """This source has ended, and this is said of it: COMPLETE, GAPS and so on."""
        self.moments.end(source, said)

    def told(self, after: int, chosen: int) -> tuple[int, bytes, bool]:
        """How things stand, once there is a sample after this one: its number, JSON, and whether it is the last."""
        with self._changed:
            self._changed.wait_for(lambda: self._samples > after or self.closed)
            number, closed = self._samples, self.closed
        told = {**self.moments.told(time.monotonic(), chosen), "name": self.name, "ended": closed}
        return number, json.dumps(told, separators=(",", ":")).encode(), closed

    def picture(self, place: int) -> Preview | None:
        """The latest picture of a source, drawn now if there is a newer frame and it is time for another."""
        asked = time.monotonic()
        with self._pen:
            last = self._pictures.get(place)
            if last is None or last.at < asked:
                self._ended.wait(max(0.0, self._free_at - time.monotonic()))
                if not self.closed and (taken := self.moments.picture(place)) is not None:
                    began = time.monotonic()
                    last = self._pictures[place] = preview(*taken)
                    self._free_at = last.at + max(_SHORTEST, _REST * (last.at - began))
            return last

    def _sample(self) -> None:
        while not self._ended.wait(EVERY):
            now = time.monotonic()
            self.moments.sample(now)
            with self._changed:
                self._samples += 1
                self._changed.notify_all()
            for place in self.moments.waiting(now, _STALE):
                with contextlib.suppress(Exception):  # whoever asks for the picture is told why there is none
                    self.picture(place)


@final
class _Server(ThreadingHTTPServer):
    """A thread for each connection, no more than so many, and all of them gone when it is left."""

    daemon_threads = True
    request_queue_size = _CONNECTIONS
    block_on_close = False

    def __init__(self, page: LivePage) -> None:
        self.page = page
        self._gone = threading.Condition()
        self._open: set[socket.socket] = set()
        self._listening = 0
        super().__init__((_HOST, 0), _Handler)

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Whether there is room for another."""
        return len(self._open) < _CONNECTIONS

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve one connection."""
        with self._gone:
            self._open.add(request)
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._gone:
                self._open.discard(request)
                self._gone.notify_all()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that went away is no error."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Somebody is told how things stand until the end, and the end is held up a little for that."""
        with self._gone:
            self._listening += 1
        try:
            yield
        finally:
            with self._gone:
                self._listening -= 1
                self._gone.notify_all()

    def leave(self, until: float) -> None:
        """Let those who listen hear the end, until then; take no one in any more, and show everybody out."""
        with self._gone:
            anyone = self._listening > 0
            self._gone.wait_for(lambda: not self._listening, timeout=max(0.0, until - time.monotonic()))
        time.sleep(_LAST_WORDS if anyone else 0)
        self.shutdown()
        with self._gone:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            self._gone.wait_for(lambda: not self._open, timeout=max(0.0, until + _GOODBYE - time.monotonic()))
        self.server_close()


@final
class _Handler(BaseHTTPRequestHandler):
    """What may be asked: the page, how things stand, and a picture. Everything else is refused."""

    server: _Server
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "throughline", ""
    timeout = 10

    def do_GET(self) -> None:
        """Answer, if it was asked by this machine and with the page's key."""
        page = self.server.page
        path, _, options = self.path.partition("?")
        if not re.fullmatch(_OUR_NAMES, self.headers.get("Host", "")):
            return self._say(HTTPStatus.FORBIDDEN, "This page is for this machine alone.")
        if not path.startswith(page.root):
            return self._say(HTTPStatus.NOT_FOUND, "There is nothing here. The run printed the page's whole address.")
        query = dict(parse_qsl(options))
        what, _, place = path.removeprefix(page.root).partition("/")
        if (what, place) == ("", ""):
            return self._page()
        if (what, place) == ("moments", "") and _number(query.get("source", "0")) is not None:
            return self._moments(int(query.get("source", "0")))
        if what == "picture" and _number(place) is not None:
            return self._picture(int(place), query.get("after", ""))
        return self._say(HTTPStatus.NOT_FOUND, "There is nothing here.")

    def do_POST(self) -> None:
        """Nothing can be changed from the page."""
        self.close_connection = True  # whatever was sent along is not read
        self._send(HTTPStatus.METHOD_NOT_ALLOWED, "text/plain", b"This page can only be read.\n", {"Allow": "GET"})

    do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_HEAD = do_POST

    def log_message(self, *_: object) -> None:
        """The terminal is the run's own."""

    def _page(self) -> None:
        nonce = secrets.token_urlsafe(12)
        page = Template(_text()).substitute(
            title=escape(self.server.page.name), nonce=nonce, style=page_text("page.css")
        )
        policy = (
            f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; img-src blob: data:; "
            "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        body = page.encode("utf-8", "replace")
        self._send(HTTPStatus.OK, "text/html; charset=utf-8", body, {"Content-Security-Policy": policy})

    def _moments(self, chosen: int) -> None:
        """Say how things stand again and again, until the run has ended."""
        self.close_connection = True
        with self.server.listening():
            self.send_response(HTTPStatus.OK)
            for name, value in {**_HEADERS, "Content-Type": "text/event-stream", "Connection": "close"}.items():
                self.send_header(name, value)
            self.end_headers()
            number, closed = 0, False
            while not closed:
                number, told, closed = self.server.page.told(number, chosen)
                self.wfile.write(b"data: " + told + b"\n\n")

    def _picture(self, place: int, after: str) -> None:
        try:
            drawn = self.server.page.picture(place) if place < len(self.server.page.moments) else None
        except Exception as error:  # a picture that cannot be drawn is the page's trouble, never the run's
            return self._say(HTTPStatus.INTERNAL_SERVER_ERROR, f"this frame cannot be drawn: {error!r}")
        if drawn is None or str(drawn.index) == after:
            return self._send(HTTPStatus.NO_CONTENT)
        about = {"Frame-Index": str(drawn.index), "Frame-Seconds": f"{drawn.seconds:.3f}"}
        return self._send(HTTPStatus.OK, "image/jpeg", drawn.jpeg, about)

    def _say(self, status: HTTPStatus, text: str) -> None:
        self._send(status, "text/plain; charset=utf-8", f"{text}\n".encode())

    def _send(
        self, status: HTTPStatus, kind: str = "", body: bytes = b"", further: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        self.send_response(status)
        lasting = {"Content-Type": kind, "Content-Length": str(len(body))} if kind else {}
        for name, value in {**_HEADERS, **lasting, **further}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def _number(text: str) -> int | None:
    """A place in a list as it may stand in an address."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 7 else None


def _text() -> str:
    return resources.files("throughline.video").joinpath("live_page.html").read_text("utf-8")
