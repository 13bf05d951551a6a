"""What a ``data.lock`` holds, and how two of them differ, file by file."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from throughline.data.problems import Problem

KIND = "not as locked"


@dataclass(frozen=True, slots=True)
class LockedFile:
    """One file.

    Attributes:
        sha256: of its bytes.
        splits: those that it is a picture of.
        objects: how many are on it; None where nobody has said, or where it is no picture.
        truth: a hash of what is true of it.
    """

    sha256: str
    splits: tuple[str, ...] = ()
    objects: int | None = None
    truth: str = ""


@dataclass(frozen=True, slots=True)
class LockedSplit:
    """How many rows or pictures a split has, and the hash that ``open_data`` or ``open_table`` gives it."""

    rows: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Lock:
    """A data set, named exactly.

    Attributes:
        name: what people call it.
        format: how it lies on the disk.
        labels: the names of its classes.
        splits: by name.
        files: by their paths from the lock on.
        columns: of a table, with the kind of what they hold.
        tracked: the versions that DVC had written down, by the paths of what it tracks.
    """

    name: str
    format: str
    labels: tuple[str, ...] = ()
    splits: Mapping[str, LockedSplit] = field(default_factory=dict)
    files: Mapping[str, LockedFile] = field(default_factory=dict)
    columns: Mapping[str, str] = field(default_factory=dict)
    tracked: Mapping[str, str] = field(default_factory=dict)


def differences(was: Lock, now: Lock, base: Path) -> tuple[Problem, ...]:
    """Everything that is not as it was locked: which file, and what became of it.

    Args:
        was: what was locked.
        now: what is there.
        base: the folder that their paths begin in.
    """

    def of(name: str, says: str) -> Problem:
        return Problem(KIND, os.path.normpath(base / name), None, says, True)

    gone, new = was.files.keys() - now.files.keys(), now.files.keys() - was.files.keys()
    moved = dict(_moved(was, now, sorted(gone), sorted(new)))
    found = [of(name, _move(was.files[old], now.files[name], old)) for name, old in sorted(moved.items())]
    for name in sorted(gone - set(moved.values())):
        there = (base / name).exists()
        found.append(of(name, "it is there, and no longer part of the data" if there else "it has vanished"))
    found += [of(name, f"it was added{_to(now.files[name])}") for name in sorted(new - moved.keys())]
    for name in sorted(was.files.keys() & now.files.keys()):
        found += [of(name, says) for says in _changes(was.files[name], now.files[name])]
    found += [of(".", says) for says in _of_the_whole(was, now)]
    return tuple(found)


def _moved(was: Lock, now: Lock, gone: list[str], new: list[str]) -> Iterator[tuple[str, str]]:
    """Files that are there under another name: the new one with the old one."""
    waiting: dict[str, list[str]] = {}
    for name in gone:
        waiting.setdefault(was.files[name].sha256, []).append(name)
    for name in new:
        if names := waiting.get(now.files[name].sha256):
            yield name, names.pop(0)


def _move(was: LockedFile, now: LockedFile, old: str) -> str:
    moved = f"it moved from {_and(was.splits)} to {_and(now.splits)}; " if was.splits != now.splits else ""
    return f"{moved}it was {old}" + ("" if was.truth == now.truth else ", and what is true of it has changed")


def _changes(was: LockedFile, now: LockedFile) -> Iterator[str]:
    if was.splits and not now.splits:
        yield "it has changed, and cannot be read any more"
        return
    if was.sha256 != now.sha256:
        yield "it has changed"
    if was.splits != now.splits:
        yield f"it moved from {_and(was.splits)} to {_and(now.splits)}"
    if was.truth != now.truth:
        counts = "" if was.objects == now.objects else f": {_count(now)} on it, and there were {_count(was)}"
        yield f"what is true of it has changed{counts}"


def _of_the_whole(was: Lock, now: Lock) -> Iterator[str]:
    if was.format != now.format:
        yield f"it is {now.format}, and was {was.format}"
    if was.labels != now.labels:
        yield f"its classes are {', '.join(now.labels)[:200]}; they were {', '.join(was.labels)[:200]}"
    for name in sorted(was.splits.keys() | now.splits.keys()):
        before, after = was.splits.get(name), now.splits.get(name)
        if before is None or after is None:
            yield f"there is {'a new' if before is None else 'no more'} split {name}"
        elif before.rows != after.rows:
            yield f"{name} has {after.rows:,} rows, and had {before.rows:,}"
    for name in sorted(was.columns.keys() | now.columns.keys()):
        if (kind := now.columns.get(name)) != (before_it := was.columns.get(name)):
            yield f"column '{name}' is {kind or 'no more'}, and was {before_it or 'not there'}"
    for name in sorted(was.tracked.keys() | now.tracked.keys()):
        if (version := now.tracked.get(name)) != (locked := was.tracked.get(name)):
            yield f"the version of {name} that DVC has written down is {version or 'none'}, and was {locked or 'none'}"


def _to(file: LockedFile) -> str:
    return f" to {_and(file.splits)}" if file.splits else ""


def _and(splits: tuple[str, ...]) -> str:
    return " and ".join(splits) or "no split"


def _count(file: LockedFile) -> str:
    return "nothing known" if file.objects is None else f"{file.objects:,}"
