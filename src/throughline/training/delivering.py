"""How a log of runs is told what stands in a record: now, by who records, or later, by whoever delivers it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, runtime_checkable

from throughline.contracts.errors import InputError, MissingExtra, ThroughlineError, Unavailable, first_line
from throughline.contracts.records import NotTaken, RunLog, RunRecord, RunState
from throughline.training.record_file import RECORD, Line, RecordFile, record_of, rows_of

_TOGETHER: Final = 500


@runtime_checkable
class TakesMany(Protocol):
    """A log that takes the values of many steps at once, where one by one would cost a transaction each."""

    def many(self, run: str, steps: Sequence[tuple[Mapping[str, float], int, float]]) -> None:
        """Values, their step, and when they were."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """What a log was told of a record afterwards.

    Attributes:
        folder: the run's.
        log: who was told.
        run: the run's id there.
        lines: how many lines it was told.
        refused: why it did not take others.
    """

    folder: Path
    log: str
    run: str
    lines: int
    refused: tuple[str, ...] = ()


def deliver(log: RunLog, folder: Path) -> Delivery:
    """Tell a log what it has not been told of the run in a folder; a run that was killed ends with its last line.

    Raises:
        InputError: there is no record there, or its run still goes on.
        Unavailable: the log still does not answer.
    """
    if not (folder / RECORD).is_file():
        raise InputError(f"{folder}: there is no {RECORD}", "give the folder of a run")
    file = RecordFile(folder)
    try:
        if file.first() is None:
            raise InputError(f"{file.path}: it does not say how its run began", "it cannot be told to a log")
        last = record_of("", rows_of(file.path), time.time())
        if last is not None and last.state is RunState.RUNNING:
            heard = max(float(row.get("at", 0.0)) for row in rows_of(file.path))
            file.append({"at": heard, "state": RunState.KILLED})
        file.told_to(called(log))
        lines, refused = file.waiting(), list[str]()
        try:
            tell(log, file, folder, lambda error: refused.append(first_line(error)))
        except MissingExtra:
            raise
        except Exception as error:
            problem, fix = _said(error)
            raise Unavailable(f"{called(log)} fails: {problem}; {file.waiting()} lines are left", fix) from None
        return Delivery(folder, called(log), file.run, lines - len(refused), tuple(dict.fromkeys(refused)))
    finally:
        file.close()


def tell(log: RunLog, file: RecordFile, folder: Path, refused: Callable[[Exception], None]) -> None:
    """Tell a log every line of a record that it has not been told; what it does not take is passed over.

    Raises:
        Exception: whatever keeps the log from hearing; the lines before are marked as told.
    """
    while lines := file.pending():
        for group in _grouped(lines, isinstance(log, TakesMany)):
            run = file.run
            try:
                run = _told(log, run, group, folder)
            except NotTaken as error:
                if "start" in group[0].row:
                    raise
                if len(group) == 1:
                    refused(error)
                else:
                    for line in group:
                        try:
                            _told(log, run, [line], folder)
                        except NotTaken as one:
                            refused(one)
            file.told(group, run)


def every_run(log: RunLog) -> list[RunRecord]:
    """What a log has, the newest first.

    Raises:
        Unavailable: it does not answer.
    """
    try:
        return list(log.runs())
    except (InputError, MissingExtra):
        raise
    except Exception as error:
        problem, fix = _said(error)
        raise Unavailable(f"{called(log)} fails: {problem}", fix) from None


def _said(error: Exception) -> tuple[str, str]:
    if isinstance(error, ThroughlineError):
        return error.problem, error.fix
    return first_line(error), "see whether it is there, and try again"


def called(log: RunLog) -> str:
    """What a log calls itself, for people and to know it again."""
    return str(log) if type(log).__str__ is not object.__str__ else type(log).__name__


def _grouped(lines: Sequence[Line], many: bool) -> list[list[Line]]:
    """Steps that follow each other go together, where the log takes them together or not at all."""
    groups: list[list[Line]] = []
    for line in lines:
        last = groups[-1] if groups else []
        if many and "metrics" in line.row and last and "metrics" in last[0].row and len(last) < _TOGETHER:
            groups[-1].append(line)
        else:
            groups.append([line])
    return groups


def _told(log: RunLog, run: str, group: Sequence[Line], folder: Path) -> str:
    row = group[0].row
    at = float(row.get("at", 0.0))
    if "start" in row:
        start = row["start"]
        return log.start(start["name"], start["parameters"], start["tags"], start["parent"], at=at)
    if "metrics" in row:
        steps = [(line.row["metrics"], int(line.row["step"]), float(line.row["at"])) for line in group]
        if isinstance(log, TakesMany):
            log.many(run, steps)
        else:
            for values, step, when in steps:
                log.metrics(run, values, step, at=when)
    elif "artifact" in row:
        log.artifact(run, folder / row["artifact"])
    elif "state" in row:
        log.finish(run, RunState(row["state"]), at=at)
    return run
