"""The server as an ASGI application: a request is matched, let in, answered and counted."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from typing import Any, final

from throughline.contracts.errors import ThroughlineError
from throughline.serving import documents, inference, operations
from throughline.serving.house import House
from throughline.serving.http import Receive, Request, Response, Scope, Send, refusal
from throughline.serving.refusals import kind_of, status_of
from throughline.serving.routes import Route, Routes


@final
class App:
    """What a host runs."""

    def __init__(self, house: House, ops: bool = False) -> None:
        """``ops``: only health and metrics, for the listener that is theirs."""
        self.house = house
        everything = [*operations.routes(house), *inference.routes(house)]
        self.table = Routes(everything)
        if ops:
            self.table = Routes([one for one in everything if one.role == "open"])
        else:
            self.table.routes += documents.routes(house, self.table)
            self.table = Routes(self.table.routes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        if scope["type"] != "http":
            return
        house, began = self.house, time.perf_counter()
        house.metrics.in_flight.inc()
        route: Route | None = None
        status = 499
        try:
            route, parts = self.table.match(scope["method"], scope["path"])
            request = Request(scope, receive, house.bounds.body, parts)
            request.key = house.door.check(route.role, request.header(b"authorization"))
            response = await route.handler(request)
            status = response.status
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            house.metrics.failed("client_left", "http")  # what it asked for was given up, and nobody is there to hear
            return
        except Exception as error:
            response, status = self._refused(error, route), status_of(error)
        finally:
            house.metrics.in_flight.dec()
            scope["throughline.over"] = True
            if (served := scope.get("throughline.inside")) is not None:
                served.inside -= 1
        if scope["method"] == "HEAD" and response.stream is not None:
            async with aclosing(response.stream) as stream:
                await anext(stream, None)  # it has begun, so that it ends
            response = Response(response.status, [], response.kind, response.headers)
        try:
            await response.send(send)  # the host leaves out the body where a head was asked for
        except Exception as error:
            house.log.failure("fault", error, route=route.path if route else "")
            raise
        if status >= 400 or (route is not None and route.role == "admin"):
            house.log(
                "request", route=route.path if route else "", status=status,
                ms=round((time.perf_counter() - began) * 1e3, 2),
            )  # fmt: skip

    def _refused(self, error: Exception, route: Route | None) -> Response:
        self.house.metrics.failed(kind_of(error), "http")
        if not isinstance(error, ThroughlineError):
            self.house.log.failure("fault", error, route=route.path if route else "")
        return refusal(error)


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message: dict[str, Any] = await receive()
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return
