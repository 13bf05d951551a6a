"""One source through a model into files: every frame accounted for, and no work lost to a kill.

The results are written in parts of a fixed number of frames. What is in a part, and in
each batch of the models within it, depends on the source alone, never on speed or on
interruptions. A part counts when the journal says so; whatever lies beyond the journal's
last line is done again, with the tracker as it was, and comes out the same.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, final

from throughline.contracts.detections import Detections
from throughline.contracts.errors import InputError, SourceFailed
from throughline.contracts.frames import Frame
from throughline.contracts.runs import Accounting, Ending, Gap
from throughline.contracts.streams import Sink, Source, Tracker
from throughline.video.following import Following
from throughline.video.halt import Halt
from throughline.video.journal import Journal
from throughline.video.looking import Looking, side_by_side
from throughline.video.moments import Moment
from throughline.video.pipeline import Intake, Pipeline, Stage, StageTimes
from throughline.vision.detector import Detector

PART = 128
"""Frames between two commits: the most work that a kill can cost."""

_FRAME_BYTES = 512 * 2**20
_GROUPS_IN_FLIGHT = 4
_KILLED = "the run was killed here, and a live source cannot be gone back to"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one source.

    Attributes:
        source: its name.
        about: what it is, and what decoded it.
        ending: how it ended; None when it was interrupted and can go on.
        accounting: what became of its frames.
        detections: how many objects were found, all frames together.
        reason: why it failed, if it did.
        files: what was written.
        resumed_at: the frame that this process went on from; 0 when it began.
        seconds: how long this process worked on it.
        stages: where that time went.
    """

    source: str
    about: str
    ending: Ending | None
    accounting: Accounting
    detections: int
    reason: str
    files: tuple[Path, ...]
    resumed_at: int
    seconds: float
    stages: tuple[StageTimes, ...]

    @property
    def said(self) -> str:
        """Its ending in one word."""
        return "INTERRUPTED" if self.ending is None else self.ending.value.upper()

    @property
    def why(self) -> str:
        """What was wrong, if anything: the failure, or the first few gaps."""
        gaps = [f"{gap.start:.2f} to {gap.end:.2f} s: {gap.reason}" for gap in self.accounting.gaps]
        more = [f"and {len(gaps) - 3} more"] if len(gaps) > 3 else []
        return "; ".join([self.reason] * bool(self.reason) + gaps[:3] + more)


@final
@dataclass(frozen=True)
class Job:
    """One source, and everything that its results depend on.

    Attributes:
        source: where the frames come from.
        name: what it is called in the results.
        folder: where the results and the journal go.
        detectors: what looks at the frames, by name; several see the same ones.
        make_tracker: makes what follows the objects; None leaves them without identities.
        make_sinks: opens what writes the results.
        identity: what the run is; it goes on only where this is the same.
        batch: the most frames in one call of a model.
        lanes: how many calls are under way at once.
        stride: look at every n-th frame.
        part: frames between two commits.
        watch: hears of every batch that was written.
    """

    source: Source
    name: str
    folder: Path
    detectors: Mapping[str, Detector]
    make_tracker: Callable[[], Tracker] | None
    make_sinks: Callable[[], Sequence[Sink]]
    identity: Mapping[str, Any] = field(default_factory=dict)
    batch: int = 8
    lanes: int = 1
    stride: int = 1
    part: int = PART
    halt: Halt = field(default_factory=Halt)
    watch: Callable[[Moment], None] = lambda moment: None

    def run(self) -> Outcome:
        """Work until the source ends or a halt is asked for; what was done before is not done again."""
        began = time.perf_counter()
        identity = {**self.identity, "stride": self.stride, "part": self.part, "batch": self.batch}
        with Journal(self.folder / "journal.jsonl", identity) as journal:
            ledger = _Ledger.of(journal.last)
            resumed_at = ledger.next
            stages: tuple[StageTimes, ...] = ()
            if not ledger.finished:
                sinks = self.make_sinks()
                if self.source.info.live and journal.last is not None and ledger.ending is None:
                    ledger.ending = Ending.GAPS
                    ledger.gaps = (*ledger.gaps, Gap(ledger.seconds, ledger.seconds, _KILLED))
                    journal.append(ledger.entry(None))
                elif ledger.ending is None:
                    try:
                        stages = _Work(self, journal, ledger, sinks).until_the_end()
                    except BaseException:
                        _abort(sinks)
                        raise
                if ledger.ending is not None:
                    written = [path for sink in sinks for path in sink.finish(ledger.parts)]
                    ledger.files = [str(path.relative_to(self.folder)) for path in written]
                    ledger.finished = True
                    journal.append(ledger.entry(None))
                else:
                    _abort(sinks)
        return Outcome(
            self.name,
            str(self.source.info),
            ledger.ending,
            ledger.accounting(self.source.info.declared),
            ledger.detections,
            ledger.reason,
            tuple(self.folder / name for name in ledger.files),
            resumed_at,
            time.perf_counter() - began,
            stages,
        )


@final
@dataclass
class _Ledger:
    """How far the work is: what a journal entry says, and what an accounting is made from."""

    next: int = 0
    seconds: float = 0.0
    parts: int = 0
    decoded: int = 0
    late: int = 0
    inferred: int = 0
    detections: int = 0
    gaps: tuple[Gap, ...] = ()
    ending: Ending | None = None
    reason: str = ""
    finished: bool = False
    files: list[str] = field(default_factory=list)
    trackers: Sequence[Mapping[str, Any]] | None = None

    @classmethod
    def of(cls, entry: Mapping[str, Any] | None) -> _Ledger:
        """As a journal entry has it; a new one where there is none."""
        if entry is None:
            return cls()
        gaps = tuple(Gap(*gap) for gap in entry["gaps"])
        ending = None if entry["ending"] is None else Ending(entry["ending"])
        return cls(**{**entry, "gaps": gaps, "ending": ending})

    def entry(self, trackers: Sequence[Mapping[str, Any]] | None) -> dict[str, Any]:
        """As JSON values."""
        gaps = [[gap.start, gap.end, gap.reason] for gap in self.gaps]
        return {**vars(self), "gaps": gaps, "trackers": trackers}

    def accounting(self, declared: int | None) -> Accounting:
        """As the user is told."""
        dropped = {"stride": self.decoded - self.inferred - self.late, "late": self.late}
        told = {reason: count for reason, count in dropped.items() if count}
        return Accounting(self.decoded, self.inferred, told, declared, self.gaps)


@dataclass(frozen=True, slots=True)
class _Seen:
    """A frame for the models, with what the source had given, dropped and lacked when it came."""

    frame: Frame
    decoded: int
    late: int
    gaps: tuple[Gap, ...]


@final
class _Work:
    """The frames that are still to be done: the stages' threads before, and this one from the models' answers on."""

    def __init__(self, job: Job, journal: Journal, ledger: _Ledger, sinks: Sequence[Sink]) -> None:
        self._job, self._journal, self._ledger, self._sinks = job, journal, ledger, sinks
        self._info = job.source.info
        self._following = Following(tuple(job.detectors), job.make_tracker)
        if ledger.parts:
            self._following.restore(ledger.trackers)
        self._in_part = 0
        self._tail: tuple[int, int, tuple[Gap, ...], str] | None = None
        self._seconds = {"track": 0.0, "write": 0.0, "commit": 0.0}
        frame_bytes = max(1, self._info.width * self._info.height * 3)
        self._batch = max(1, min(job.batch, job.part, _FRAME_BYTES // (frame_bytes * _GROUPS_IN_FLIGHT * job.lanes)))
        self._looking = Looking(tuple(job.detectors.values()), self._batch)
        self._pipeline = Pipeline(
            [
                Stage("decode", self._frames, depth=max(2, self._batch * job.lanes)),
                Stage("look", self._looked),
            ]
        )

    def until_the_end(self) -> tuple[StageTimes, ...]:
        """Do the work; the ledger and the journal then say how it ended."""
        halt = self._job.halt
        if self._info.live:
            halt.on_request(self._job.source.close)
        with self._pipeline, self._letting_go():
            for seen, said in self._pipeline:
                if halt.requested and not self._info.live and self._in_part == 0:
                    break
                self._take(seen, said)
            else:
                self._end()
        return self._times()

    @contextlib.contextmanager
    def _letting_go(self) -> Iterator[None]:
        """A source that lives may wait for its next frame for long: however the work ends, it is told to stop."""
        try:
            yield
        finally:
            if self._info.live:
                self._job.source.close()

    def _frames(self, _: Intake[Any]) -> Iterator[_Seen]:
        source, before = self._job.source, self._ledger.gaps
        decoded, late, due = self._ledger.decoded, self._ledger.late, self._ledger.next
        reason = ""
        try:
            for frame in source.frames(self._ledger.next, before):
                missed = frame.index - due if self._info.live else 0  # what its policy dropped has a number too
                decoded, late, due = decoded + 1 + missed, late + missed, frame.index + 1
                if frame.index % self._job.stride == 0:
                    named = frame if frame.source == self._job.name else replace(frame, source=self._job.name)
                    yield _Seen(named, decoded, late, _joined(before, source.gaps))
                if self._info.live and self._job.halt.requested:
                    break
        except SourceFailed as error:
            if not (self._info.live and self._job.halt.requested):
                reason = error.problem
        self._tail = decoded, late, _joined(before, source.gaps), reason

    def _looked(self, intake: Intake[_Seen]) -> Iterator[tuple[list[_Seen], list[tuple[Detections, ...]]]]:
        def look(group: list[_Seen]) -> list[tuple[Detections, ...]]:
            return self._looking([seen.frame for seen in group])

        return side_by_side(look, self._groups(intake), self._job.lanes)

    def _groups(self, intake: Intake[_Seen]) -> Iterator[list[_Seen]]:
        left = self._job.part
        while group := intake.take(min(self._batch, left), patient=not self._info.live):
            yield group
            left = left - len(group) or self._job.part

    def _take(self, group: list[_Seen], said: list[tuple[Detections, ...]]) -> None:
        found = Detections.empty()
        for seen, parts in zip(group, said, strict=True):
            with self._timed("track"):
                if self._info.live and seen.gaps != self._ledger.gaps:
                    self._following.reset()
                found = self._following.update(parts, seen.frame)
            with self._timed("write"):
                for sink in self._sinks:
                    sink.write(seen.frame, found)
            self._note(seen, len(found))
        self._in_part += len(group)
        if self._in_part == self._job.part:
            self._commit()
        self._job.watch(
            Moment(
                self._job.name,
                self._ledger.accounting(self._info.declared),
                self._ledger.detections,
                self._times(),
                group[-1].frame,
                found,
            )
        )

    def _note(self, seen: _Seen, detections: int) -> None:
        ledger = self._ledger
        ledger.next, ledger.seconds = seen.frame.index + 1, seen.frame.seconds
        ledger.decoded, ledger.late, ledger.gaps = seen.decoded, seen.late, seen.gaps
        ledger.inferred += 1
        ledger.detections += detections

    def _commit(self) -> None:
        with self._timed("commit"):
            if self._in_part:
                for sink in self._sinks:
                    sink.commit(self._ledger.parts)
                self._ledger.parts += 1
                self._in_part = 0
            self._journal.append(self._ledger.entry(self._following.state()))

    def _end(self) -> None:
        ledger = self._ledger
        if self._tail is None:
            raise InputError(f"{self._job.name}: its frames ended without a word", "report this fault of ours")
        ledger.decoded, ledger.late, ledger.gaps, ledger.reason = self._tail
        if not ledger.decoded and not ledger.reason:
            ledger.reason = "it gave no frame"
        ledger.ending = Ending.FAILED if ledger.reason else Ending.GAPS if ledger.gaps else Ending.COMPLETE
        self._commit()

    @contextlib.contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self._seconds[stage] += time.perf_counter() - began

    def _times(self) -> tuple[StageTimes, ...]:
        decode = self._pipeline.times()[0]
        own = (StageTimes(name, spent, 0.0, 0.0, self._ledger.inferred, 0, 0) for name, spent in self._seconds.items())
        return (decode, *self._looking.times(), *own)


def _joined(before: tuple[Gap, ...], now: tuple[Gap, ...]) -> tuple[Gap, ...]:
    """The gaps known when the work went on, and those found since; a source may tell of the same one twice."""
    return tuple(dict.fromkeys((*before, *now))) if before else now


def _abort(sinks: Sequence[Sink]) -> None:
    for sink in sinks:
        with contextlib.suppress(Exception):  # what went wrong first is what the user hears of
            sink.abort()
