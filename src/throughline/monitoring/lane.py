"""A queue of bounded length with a thread of its own: whoever puts something in is never made to wait.

What there is no room for is dropped and counted. What goes wrong on the thread is counted and said once; it
reaches nobody who answers requests.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar, final

from throughline.contracts.errors import InputError, first_line

_log = logging.getLogger("throughline")
_Given = TypeVar("_Given")
PATIENCE: Final = 10.0
"""So many seconds are given to what is still in the queue when it is closed."""


@final
class Lane(Generic[_Given]):
    """A way from many threads to one.

    Attributes:
        dropped: how many found no room.
        failed: how often the work went wrong.
    """

    def __init__(
        self,
        work: Callable[[Sequence[_Given]], None],
        *,
        name: str,
        room: int = 1024,
        at_once: int = 256,
        tick: float | None = None,
    ) -> None:
        """Start the thread.

        Args:
            work: is given what came, in order, on the thread; and nothing after each ``tick`` in which nothing came.
            name: what it is for, in messages.
            room: so many wait at most.
            at_once: so many are given at once at most.
            tick: seconds; never where it is None.
        """
        if room < 1 or at_once < 1:
            raise InputError(f"a queue with room for {room}, emptied {at_once} at once", "give 1 or more of each")
        self._work, self._name, self._room, self._at_once, self._tick = work, name, room, at_once, tick
        self._waiting: deque[_Given] = deque()
        self._change = threading.Condition()
        self._closed, self._busy = False, False
        self.dropped = self.failed = 0
        self._thread = threading.Thread(target=self._run, name=f"throughline-{name}", daemon=True)
        self._thread.start()

    def put(self, one: _Given) -> bool:
        """Leave it here; False where there is no room, or the lane is closed."""
        with self._change:
            if self._closed or len(self._waiting) >= self._room:
                self.dropped += 1
                return False
            self._waiting.append(one)
            self._change.notify_all()
        return True

    def settled(self, patience: float = PATIENCE) -> bool:
        """Wait until all that was put in so far was worked on; False where that took too long."""
        with self._change:
            return self._change.wait_for(lambda: not self._waiting and not self._busy, patience)

    def close(self, patience: float = PATIENCE) -> bool:
        """Take nothing more, work on what is left, and end; False where that took too long."""
        with self._change:
            self._closed = True
            self._change.notify_all()
        self._thread.join(patience)
        if alive := self._thread.is_alive():
            with self._change:
                self.dropped += len(self._waiting)
                self._waiting.clear()
        return not alive

    def _run(self) -> None:
        while True:
            with self._change:
                self._change.wait_for(lambda: bool(self._waiting) or self._closed, self._tick)
                some = [self._waiting.popleft() for _ in range(min(self._at_once, len(self._waiting)))]
                if not some and self._closed:
                    return
                self._busy = True
            self._do(some)
            with self._change:
                self._busy = False
                self._change.notify_all()

    def _do(self, some: Sequence[_Given]) -> None:
        try:
            self._work(some)
        except Exception as error:  # whatever it is, it must not end the thread, nor reach who put it here
            self.failed += 1
            if self.failed == 1:
                _log.warning("%s: %s (said once; the rest is counted)", self._name, first_line(error))
