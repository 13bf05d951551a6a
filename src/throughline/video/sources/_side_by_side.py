"""A video file decoded by processes of its own: several at once, where the file can be cut, and always in order.

One process reads from the beginning, as ``FileSource`` does, while another looks through
the packets. Where these prove the file clean, the rest is cut at key pictures, and the
stretches are dealt out in turn. What one of them then finds wrong, and whatever cannot be
cut, is read by one process alone. One that dies is replaced, and goes on where it was.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, final

from throughline.contracts.errors import InputError, SourceFailed, Unavailable
from throughline.contracts.frames import Frame
from throughline.contracts.runs import Gap
from throughline.contracts.streams import SourceInfo
from throughline.hardware import cores
from throughline.video.sources._cuts import Cuts
from throughline.video.sources._ring import MOST_SLOTS
from throughline.video.sources._table import Entry
from throughline.video.sources._worker import Worker

MOST = 32
_ROOM = 256 * 2**20
"""Bytes of pictures, all processes together."""
_THREADS = 4
"""Decoding threads, at most, of each process."""
_SPAN = MOST_SLOTS // 2
"""A stretch need not be longer than this."""
_AHEAD = 2
"""Stretches that each process has been asked for, so that none waits for the next one."""
_DEATHS = 3
"""So often a process may end over the same picture before that picture is given up."""
_ERRORS = {error.__name__: error for error in (InputError, SourceFailed, Unavailable)}


@final
class SideBySide:
    """The pictures of one video file, decoded by so many processes."""

    def __init__(self, spec: str, workers: int, options: Mapping[str, Any], info: SourceInfo | None = None) -> None:
        if not 1 <= workers <= MOST:
            raise InputError(f"workers is {workers}", f"give 0 to decode in this process, or 1 to {MOST} processes")
        self._spec, self._workers, self._options = spec, workers, dict(options)
        self._gaps: tuple[Gap, ...] = ()
        self._lock = threading.Lock()
        self._alive: set[Worker] = set()
        self._closed = False
        self._info = info or self._probed()
        if workers > 1 and not options.get("threads"):
            self._options["threads"] = max(1, min(_THREADS, cores() // workers))

    @property
    def info(self) -> SourceInfo:
        """What the container says of it."""
        return self._info

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """The stretches that could not be had so far."""
        return self._gaps

    def frames(self, start: int = 0, gaps: Sequence[Gap] = ()) -> Iterator[Frame]:
        """Every frame from the one numbered ``start`` on, as ``FileSource`` gives them."""
        self._gaps = ()
        try:
            together = _Pass(self, start, gaps, 1 if gaps else self._workers)
            try:
                yield from together.frames()
            except _Alone:
                yield from _Pass(self, start, gaps, 1, together.due).frames()
        except _Closed:
            pass

    def close(self) -> None:
        """End every process; a ``frames`` that is being read ends."""
        with self._lock:
            self._closed = True
            alive = list(self._alive)
        for worker in alive:
            worker.end()

    def tell(self, gaps: Sequence[Sequence[Any]]) -> None:
        """What a process says is missing."""
        self._gaps = tuple(Gap(*gap) for gap in gaps)

    def hire(self) -> Worker:
        """One more process."""
        with self._lock:
            if self._closed:
                raise _Closed
            try:
                worker = Worker(self._spec, self._options, _ROOM // self._workers)
            except OSError as error:
                raise SourceFailed(
                    f"{Path(self._spec).name}: no process could be started to decode it ({error})",
                    "give workers=0 to decode it in this process",
                ) from None
            self._alive.add(worker)
        return worker

    def dismiss(self, worker: Worker) -> None:
        """It is not needed any more."""
        worker.release()
        with self._lock:
            self._alive.discard(worker)

    def _probed(self) -> SourceInfo:
        worker = self.hire()
        try:
            worker.ask("info")
            answer = worker.answer()
        finally:
            self.dismiss(worker)
        if answer is None:
            raise SourceFailed(
                f"{Path(self._spec).name}: the decoder crashed when it was opened", "give a file that is whole"
            )
        if answer[0] == "error":
            raise _error(*answer[1:])
        [told] = answer[1:]
        return SourceInfo(**{**told, "fps": None if told["fps"] is None else Fraction(*told["fps"])})


@dataclass(frozen=True, slots=True)
class _Stretch:
    """From a key picture, or None: from the beginning; up to a number, or None: to the end of the file."""

    entry: Entry | None = None
    until: int | None = None


class _Alone(Exception):
    """One process has to read the rest: something is not as the packets promised."""


class _Closed(Exception):
    """The source was closed."""


@final
class _Pass:
    """One reading: the stretches in the order of their pictures, and who reads them, in turn.

    Attributes:
        due: the number of the next frame.
    """

    def __init__(
        self, source: SideBySide, start: int, gaps: Sequence[Gap], workers: int, due: int | None = None
    ) -> None:
        self.due = start if due is None else due
        self._source, self._start, self._before, self._workers = source, start, gaps, workers
        self._crew: list[Worker] = []
        self._stretches, self._ends, self._at = [_Stretch()], list[int](), 0
        self._seeks_cuts, self._asked = workers > 1, False
        self._died_at, self._deaths = -1, 0

    def frames(self) -> Iterator[Frame]:
        """Every frame, in order."""
        source = self._source
        try:
            for _ in range(self._workers):
                self._crew.append(source.hire())
            self._ask(0)
            while True:
                worker, stretch = self._crew[self._at % self._workers], self._stretches[self._at]
                kind, *told = worker.answer() or ["died"]
                if kind == "frame":
                    number, seconds, wire = told
                    picture = worker.picture(wire)
                    if stretch.until is None or number < stretch.until:
                        self.due = number + 1
                        yield Frame(number, seconds, picture, source.info.name)
                        del picture
                        if self._seeks_cuts and not self._at:
                            self._cut(slots=wire[1])
                elif kind == "gaps":
                    source.tell(told[0])
                elif kind == "died":
                    self._replace()
                elif kind == "error" and not self._at:
                    raise _error(*told)
                elif kind != "done" or not self._went_on():
                    raise _Alone
                elif self._at == len(self._stretches):
                    return
        finally:
            for worker in self._crew:
                source.dismiss(worker)

    def _ask(self, at: int) -> None:
        """Have the stretch of this place read, by whose turn it is."""
        worker, stretch = self._crew[at % self._workers], self._stretches[at]
        if stretch.entry is None:
            # after damage, only who reads again all that was read before comes to the same pictures
            start = self._start if self._source.gaps else self.due
            worker.ask("frames", start, [dataclasses.astuple(gap) for gap in self._before], self.due)
            if stretch.until is not None:
                worker.ask("until", stretch.until)
        else:
            worker.ask("stretch", dataclasses.astuple(stretch.entry), self.due, stretch.until)

    def _went_on(self) -> bool:
        """Go on to the next stretch; False where this one did not end as it should."""
        if len(self._stretches) == 1:
            self._at += 1
            return True
        ahead = self._at + _AHEAD * self._workers
        if ahead < len(self._stretches):
            self._ask(ahead)
        self._at += 1
        return self.due == self._ends[self._at - 1] and not self._source.gaps

    def _cut(self, slots: int) -> None:
        """Ask where the rest can be cut; once that is known, deal the stretches out."""
        seeker = self._crew[1]
        if not self._asked:
            self._asked = True
            seeker.ask("cuts", max(1, min(slots // 2, _SPAN)))
        elif seeker.has_answered:
            self._seeks_cuts = False
            kind, *told = seeker.answer() or ["died"]
            if kind == "cuts" and not self._source.gaps:
                entries, last, total = told
                self._deal(Cuts([Entry(*entry) for entry in entries], last, total), self.due + slots)

    def _deal(self, cuts: Cuts, begin: int) -> None:
        entries = [entry for entry in cuts.at if begin <= entry.number < cuts.last]
        if not entries:
            return
        self._ends = [*(entry.number for entry in entries), cuts.last]
        told = [*self._ends[:-1], cuts.last if cuts.last < cuts.total else None]  # to the very end: past every packet
        self._stretches = [_Stretch(entry, until) for entry, until in zip([None, *entries], told, strict=True)]
        self._crew[0].ask("until", told[0])
        for at in range(1, min(_AHEAD * self._workers, len(self._stretches))):
            self._ask(at)

    def _replace(self) -> None:
        """Put another in the place of the one that died, and have it do what was not done."""
        self._deaths = self._deaths + 1 if self._died_at == self.due else 1
        self._died_at = self.due
        if self._deaths == _DEATHS:
            raise SourceFailed(
                f"{self._source.info.name}: the decoder crashed at picture {self.due}, {_DEATHS} times",
                "what was read before it is kept",
            )
        turn = self._at % self._workers
        dead, self._crew[turn] = self._crew[turn], self._source.hire()
        self._source.dismiss(dead)
        for at in range(self._at, min(len(self._stretches), self._at + _AHEAD * self._workers)):
            if at % self._workers == turn:
                self._ask(at)


def _error(kind: str, problem: str, fix: str) -> Exception:
    return _ERRORS.get(kind, SourceFailed)(problem, fix)
