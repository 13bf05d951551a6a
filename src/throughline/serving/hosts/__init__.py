"""Who runs the server's application: each takes it and an address, and runs it until it is told to end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias, final

from throughline.plugins import Family
from throughline.serving.app import App

HOSTS: Final = Family("host", __name__)

Begin: TypeAlias = Callable[[], Awaitable[tuple[App, App]]]
"""Makes the application, and the one of the listener for health and metrics, in the event loop that will run them."""
End: TypeAlias = Callable[[], Awaitable[None]]


@final
@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen.

    Attributes:
        port: 0 for any that is free.
        ops_port: of the listener for health and metrics; None for none.
        certificate: of TLS; None for none.
        key: the certificate's private key.
    """

    host: str
    port: int
    ops_port: int | None = None
    certificate: Path | None = None
    key: Path | None = None
