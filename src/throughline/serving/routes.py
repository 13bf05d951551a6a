"""Every address of the server in one table: its method, who may use it, what it does. There are no others.

The table is what requests are matched with, what the documentation is made of, and what a test walks through; an
address without a role cannot be written down.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, final

from throughline.serving.http import Request, Response
from throughline.serving.refusals import Refused

_PART = re.compile(r"\{(\w+)\}")


@final
@dataclass(frozen=True)
class Route:
    """One address.

    Attributes:
        role: who may use it: "open" to everybody, "infer", or "admin" (see ``throughline.serving.keys``).
        about: what it does, for the documentation.
        takes: the body's media type and its schema.
        gives: the media type of the answer and its schema.
    """

    method: str
    path: str
    role: str
    handler: Callable[[Request], Awaitable[Response]]
    about: str
    takes: Mapping[str, Any] = field(default_factory=dict)
    gives: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """What its path looks like."""
        parts = _PART.split(self.path)
        written = "".join(re.escape(part) if at % 2 == 0 else f"(?P<{part}>[^/]+)" for at, part in enumerate(parts))
        return re.compile(written + "/?")

    @property
    def names(self) -> list[str]:
        """The parts of its path that vary."""
        return _PART.findall(self.path)


@final
class Routes:
    """The table."""

    def __init__(self, routes: list[Route]) -> None:
        self.routes = routes
        self._plain = {(one.method, one.path): one for one in routes if not one.names}
        self._varying = [one for one in routes if one.names]

    def match(self, method: str, path: str) -> tuple[Route, dict[str, str]]:
        """The route of a request, and the parts of its path that vary.

        Raises:
            Refused: there is no such address, or it is used in another way.
        """
        asked = "GET" if method == "HEAD" else method
        if (plain := self._plain.get((asked, path))) is not None:
            return plain, {}
        for one in self._varying:
            if one.method == asked and (found := one.pattern.fullmatch(path)) is not None:
                return one, found.groupdict()
        allowed = {one.method for one in self._varying if one.pattern.fullmatch(path) is not None}
        allowed |= {way for way, plain in self._plain if plain == path}
        if allowed:
            allow = ((b"allow", ", ".join(sorted(allowed)).encode()),)
            fix = f"use {' or '.join(sorted(allowed))}"
            raise Refused(405, f"{method[:10]} is not for this address", fix, headers=allow)
        raise Refused(404, "there is no such address", "see /docs")
