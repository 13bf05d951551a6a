"""Uvicorn, on uvloop and httptools, with a second listener in a thread of its own for health and metrics.

Whoever asks how the server is must get an answer when everybody else is asking for something else: so that listener
has its own thread, its own event loop and its own queue of connections.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any, Final

from throughline.contracts.errors import InputError, Unavailable
from throughline.plugins import Plugin
from throughline.serving.app import App
from throughline.serving.hosts import Address, Begin, End
from throughline.serving.logs import Overheard

_SWITCH: Final = 5e-4
"""Seconds after which a thread that computes in Python lets another go on; the default is ten times that."""
_BACKLOG: Final = 1024
_MOST_WHO_ASK_HOW_IT_IS: Final = 32
_SIGNS: Final = (signal.SIGTERM, signal.SIGINT)


def run(begin: Begin, end: End, address: Address, up: Callable[[str, int, int | None], None]) -> None:
    """Serve until SIGTERM or SIGINT; what was accepted is answered first.

    Args:
        begin: makes what is served.
        end: is awaited once no request goes on any more.
        address: where to listen.
        up: is told host and ports once the server listens.
    """
    import uvloop

    before = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_served(begin, end, address, up))
    finally:
        gc.unfreeze()
        sys.setswitchinterval(before)


async def _served(begin: Begin, end: End, address: Address, up: Callable[[str, int, int | None], None]) -> None:
    tls = _tls(address)
    with ExitStack() as held:
        listener = held.enter_context(_listen(address.host, address.port))
        ops = None if address.ops_port is None else held.enter_context(_listen(address.host, address.ops_port))
        app, ops_app = await begin()
        gc.freeze()  # what is there stays: looking through all of it for garbage stops every request for tens of ms

        def listening() -> None:
            up(address.host, listener.getsockname()[1], None if ops is None else ops.getsockname()[1])

        await _answering(app, ops_app, listener, ops, tls, end, listening)


async def _answering(
    app: App,
    ops_app: App,
    listener: socket.socket,
    ops: socket.socket | None,
    tls: Mapping[str, Any],
    end: End,
    listening: Callable[[], None],
) -> None:
    import uvicorn
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

    from throughline.serving.connection import Crowd, Watched

    crowd = Crowd(app.house)
    protocol = type("Here", (Watched, HttpToolsProtocol), {"crowd": crowd})
    config = uvicorn.Config(
        app, http=protocol, ws="none", lifespan="off", log_config=None, access_log=False, server_header=False,
        date_header=False, proxy_headers=False, timeout_keep_alive=30, backlog=_BACKLOG, **tls,
    )  # fmt: skip
    server, loop = _server(config), asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: _told(app, context))
    before = {sign: signal.getsignal(sign) for sign in _SIGNS}
    for sign in _SIGNS:
        loop.add_signal_handler(sign, lambda: _stop(app, server))
    beside = None if ops is None else _Beside(ops_app, ops)
    watching = [asyncio.create_task(one) for one in (crowd.watch(), crowd.feel())]
    overheard = Overheard(app.house.log)
    logging.getLogger().addHandler(overheard)
    listening()
    try:
        await server.serve(sockets=[listener])
        await end()
    finally:
        for sign, handler in before.items():
            loop.remove_signal_handler(sign)
            signal.signal(sign, handler)
        logging.getLogger().removeHandler(overheard)
        for one in watching:
            one.cancel()
        if beside is not None:
            beside.close()


def _stop(app: App, server: Any) -> None:
    """First say that no more requests are wanted; then end, which answers everything that was accepted."""
    loop = asyncio.get_running_loop()
    for sign in _SIGNS:
        loop.remove_signal_handler(sign)
        signal.signal(sign, signal.SIG_DFL)  # whoever asks again does not want to wait
    app.house.ready = False
    app.house.log("draining")
    loop.call_later(app.house.grace, lambda: setattr(server, "should_exit", True))


def _told(app: App, context: dict[str, Any]) -> None:
    """What fails where no request hears of it goes to the log like every other fault."""
    error = context.get("exception")
    app.house.log.failure("fault", error if error is not None else RuntimeError(context.get("message", "")))


def _server(config: Any) -> Any:
    import contextlib

    import uvicorn

    from throughline.serving.connection import HEAD_SECONDS

    # it has lines of its own for every request that is none; ours are counted, and no more than so many a second
    logging.getLogger("uvicorn.error").disabled = True

    class Server(uvicorn.Server):
        @contextlib.contextmanager
        def capture_signals(self) -> Any:
            yield  # they are ours

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await self.lifespan.startup()
            config, state = self.config, self.server_state

            def made() -> asyncio.Protocol:
                protocol: Any = config.http_protocol_class
                return protocol(config=config, server_state=state, app_state=self.lifespan.state)  # type: ignore[no-any-return]

            slow = {} if config.ssl is None else {"ssl_handshake_timeout": HEAD_SECONDS}
            create: Any = asyncio.get_running_loop().create_server
            self.servers = [
                await create(made, sock=one, ssl=config.ssl, backlog=config.backlog, **slow) for one in sockets or ()
            ]
            self.started = True

    return Server(config)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except (OSError, OverflowError, UnicodeError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or str(error)
        raise Unavailable(f"cannot listen on {host}:{port}: {reason}", "give another --host or --port") from None
    listener.setblocking(False)
    return listener


def _tls(address: Address) -> dict[str, Any]:
    if address.certificate is None:
        return {}
    try:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(address.certificate, address.key)
    except (OSError, ssl.SSLError) as error:
        raise InputError(
            f"{address.certificate}: no certificate with its key: {getattr(error, 'strerror', None) or error}",
            "give --certificate and --certificate-key, both PEM",
        ) from None
    return {"ssl_certfile": str(address.certificate), "ssl_keyfile": str(address.key) if address.key else None}


class _Beside:
    """A listener in a thread of its own."""

    def __init__(self, app: App, listener: socket.socket) -> None:
        import uvicorn
        from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

        from throughline.serving.connection import Crowd, Watched

        self._crowd = Crowd(most=_MOST_WHO_ASK_HOW_IT_IS)
        self._server = _server(
            uvicorn.Config(
                app,
                http=type("Beside", (Watched, HttpToolsProtocol), {"crowd": self._crowd}),
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                date_header=False,
                timeout_keep_alive=10,
                loop="asyncio",
            )
        )
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(listener)), name="ops", daemon=True)
        self._thread.start()

    async def _serve(self, listener: socket.socket) -> None:
        watching = asyncio.create_task(self._crowd.watch())
        try:
            await self._server.serve(sockets=[listener])
        finally:
            watching.cancel()

    def close(self) -> None:
        """End it."""
        self._server.should_exit = True
        self._thread.join(5)


PLUGIN = Plugin(
    make=run, summary="Uvicorn on uvloop: the default", needs=("uvicorn", "uvloop", "httptools"), extra="serve"
)
