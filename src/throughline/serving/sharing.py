"""The same question asked twice, computed once: while it is on its way, and, where a cache is wanted, afterwards.

What is the same is told by a hash of the tensors, the model's file and nothing else. The cache holds so many bytes and
lets go of what was not asked for the longest.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from contextlib import suppress
from typing import final

from throughline.serving.batcher import Answered, Feeds
from throughline.serving.refusals import Refused
from throughline.serving.served import Served


@final
class Sharing:
    """Answers on their way, and answers kept.

    Attributes:
        shared: how many requests got an answer that another had asked for.
        kept: how many got one from the cache.
    """

    def __init__(self, dedupe: bool, cache_bytes: int) -> None:
        self.shared = self.kept = 0
        self._dedupe, self._room = dedupe, cache_bytes
        self._coming: dict[bytes, asyncio.Future[Answered]] = {}
        self._cache: OrderedDict[bytes, tuple[Answered, int]] = OrderedDict()
        self._bytes = 0

    async def ask(self, served: Served, feeds: Feeds, timeout: float | None, priority: int) -> Answered:
        """The answer to a request, whoever asked first; one who leaves takes nothing from the others."""
        name = _name(served, feeds)
        if (known := self._cache.get(name)) is not None:
            self._cache.move_to_end(name)
            self.kept += 1
            return known[0]
        while self._dedupe and (coming := self._coming.get(name)) is not None and not coming.done():
            with suppress(Refused):  # whoever asked first had less time, or meant less by it
                answered = await asyncio.shield(coming)
                self.shared += 1
                return answered
        answer = served.ask(feeds, timeout, priority)
        if self._dedupe:
            self._coming[name] = answer
            answer.add_done_callback(lambda _: self._coming.pop(name, None))
        answered = await asyncio.shield(answer)
        self._keep(name, answered)
        return answered

    def _keep(self, name: bytes, answered: Answered) -> None:
        size = sum(array.nbytes for array in answered.outputs.values()) + 200
        if size > self._room or name in self._cache:
            return
        # the rows of a batch share its memory: what is kept is a copy, or a row would hold all the others
        own = Answered({key: array.copy() for key, array in answered.outputs.items()}, 0.0, 0.0, answered.batch)
        self._cache[name] = own, size
        self._bytes += size
        while self._bytes > self._room:
            _, (_, gone) = self._cache.popitem(last=False)
            self._bytes -= gone


def _name(served: Served, feeds: Feeds) -> bytes:
    digest = hashlib.blake2b(served.artifact.sha256.encode(), digest_size=20)
    for name in sorted(feeds):
        array = feeds[name]
        digest.update(f"{name} {array.dtype.str} {array.shape} ".encode())
        digest.update(repr(array.tolist()).encode() if array.dtype.kind == "O" else array.tobytes())
    return digest.digest()
