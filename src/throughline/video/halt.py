"""How a job is asked to come to a clean end: by a signal, or by the program that runs it."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import final

INTERRUPTED = 130
"""The exit code of a run that was told to end before its sources did."""


@final
class Halt:
    """Asks a job to come to a clean end. Safe to use from a signal handler."""

    def __init__(self) -> None:
        self.requested = False
        self._heard: list[Callable[[], None]] = []

    def on_request(self, heard: Callable[[], None]) -> None:
        """Call this when a halt is asked for; a source that lives is told to end."""
        self._heard.append(heard)
        if self.requested:
            heard()

    def request(self) -> None:
        """From now on, nothing new is begun."""
        self.requested = True
        for heard in self._heard:
            heard()


@contextmanager
def halting_on_signals(said: str) -> Iterator[Halt]:
    """The first SIGINT or SIGTERM asks for a clean end, and says so; the second ends the process where it stands."""
    halt = Halt()

    def asked(number: int, frame: object) -> None:
        if halt.requested:
            os._exit(INTERRUPTED)  # the journal holds; what was not committed is done again
        os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, f"\n{said}\n".encode())
        halt.request()

    if threading.current_thread() is not threading.main_thread():  # only there can signals be heard
        yield halt
        return
    before = {number: signal.signal(number, asked) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield halt
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
