"""Drift told to an address of the operator's: one POST of JSON for each window in which an alarm went on or off.

It is sent from a thread of its own, with a time limit, to that address and no other: a redirect is not
followed. What cannot be delivered is tried again a few times, then counted as lost.
"""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any, Final, final

from throughline.contracts.errors import InputError
from throughline.contracts.observations import Spoke
from throughline.monitoring.alerts import Alert, news_of
from throughline.monitoring.lane import PATIENCE, Lane
from throughline.monitoring.windows import Window
from throughline.plugins import Plugin

_TRIES: Final = 3


@final
class WebhookAlert:
    """Sends what changed.

    Attributes:
        sent: how many were delivered.
    """

    def __init__(self, url: str, timeout: float, room: int, pause: float) -> None:
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InputError(f"the webhook's address is {url!r}", "give a whole address: https://host/path")
        if not timeout > 0:
            raise InputError(f"a time limit of {timeout:g} seconds", "give more than 0")
        self._url, self._timeout, self._pause = url, timeout, pause
        self._opener = urllib.request.build_opener(_NoRedirect)
        self._leave = threading.Event()
        self.sent = 0
        self._lane: Lane[Mapping[str, Any]] = Lane(self._send, name="webhook", room=room, at_once=1)

    def tell(self, window: Window, model: Spoke) -> None:
        """Put what changed in the queue, if anything did."""
        if (news := news_of(window, model)) is not None:
            self._lane.put(news)

    @property
    def lost(self) -> int:
        """How many were not delivered: the queue was full, or the address did not take them."""
        return self._lane.dropped + self._lane.failed

    def settled(self, patience: float = PATIENCE) -> bool:
        """Wait until everything so far was delivered or given up."""
        return self._lane.settled(patience)

    def close(self) -> None:
        """Deliver what is left, each tried once more at most."""
        self._leave.set()
        self._lane.close()

    def _send(self, several: Sequence[Mapping[str, Any]]) -> None:
        for news in several:
            body = json.dumps(news, allow_nan=False).encode()
            asked = urllib.request.Request(self._url, body, {"Content-Type": "application/json"}, method="POST")
            for turn in range(1, _TRIES + 1):
                try:
                    with self._opener.open(asked, timeout=self._timeout):
                        self.sent += 1
                        break
                except (OSError, ValueError) as error:
                    last = turn == _TRIES or self._leave.is_set()
                    if last or (isinstance(error, urllib.error.HTTPError) and error.code < 500):
                        raise
                    self._leave.wait(self._pause * turn)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """Nobody but the operator says where to send."""
        return


def make(*, url: str, timeout: float = 5.0, room: int = 64, pause: float = 2.0) -> Alert:
    """To this address; each try is given so many seconds."""
    return WebhookAlert(url, timeout, room, pause)


PLUGIN = Plugin(make=make, summary="a POST of JSON to an address of yours")
