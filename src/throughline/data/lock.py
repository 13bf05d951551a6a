"""``data.lock``: which data exactly, so that a run can name them and nobody can change them unseen.

It holds the hash of every file that the data are read from, which split each picture is in, how many
rows there are, and the hash of each split. It lies beside the data and is made to be committed: one file
is one line. Where DVC tracks the whole folder, the lock lies beside the folder: one file more in it would
make it another version.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from throughline.contracts.errors import InputError
from throughline.data.bounded import read_json
from throughline.data.checks import Survey, survey
from throughline.data.columns import kind_of
from throughline.data.formats import WHOLE
from throughline.data.locked import KIND, Lock, LockedFile, LockedSplit, differences
from throughline.data.marks import Marks
from throughline.data.opening import hash_of
from throughline.data.problems import Problem, Problems
from throughline.data.tables import TableLook, is_table, look_at_table
from throughline.data.tracked import tracked
from throughline.files import whole_file

__all__ = ["Lock", "check_lock", "lock_data", "lock_path", "read_lock"]

_VERSION: Final = "data lock 1"
_YAMLS = frozenset({"data.yaml", "data.yml"})


def lock_data(data: str | Path) -> Path:
    """Write down which data these are, whole or not at all; returns the path of the lock.

    Args:
        data: as ``open_data`` or ``open_table`` takes it; all of its splits are locked.
    """
    problems = Problems()
    lock = _now(Path(data), problems)
    problems.refuse(data)
    return write_lock(lock, Path(data))


def check_lock(data: str | Path) -> tuple[Problem, ...]:
    """What is not as it was locked, file by file; nothing where there is no lock."""
    place = Path(data)
    path = lock_path(place)
    if not path.is_file():
        return ()
    was = read_lock(path)
    try:
        now = _now(place, Problems())
    except InputError as error:
        return (Problem(KIND, str(place), None, error.problem, True), *_missing_of(was, path.parent))
    return differences(was, now, path.parent)


def standing(data: Path, now: Callable[[], Lock], problems: Problems, write: bool) -> str:
    """Where these data stand against their lock, for people; what is not as locked is added to the problems.

    Args:
        data: as ``inspect`` takes it.
        now: gives what is there.
        problems: what is known to be wrong; data with severe problems are not locked.
        write: lock them as they are.
    """
    if write:
        problems.refuse(data)
        return f"{write_lock(now(), data)}: written"
    if not data.exists():
        return ""  # a pattern
    path = lock_path(data)
    if not path.is_file():
        return f"none: --lock writes {path}"
    found = differences(read_lock(path), now(), path.parent)
    for one in found:
        problems.found[one] = None
    many = "one difference" if len(found) == 1 else f"{len(found):,} differences"
    return f"{path}: " + (f"{many}, told below" if found else "all is as it was locked")


def lock_path(data: Path) -> Path:
    """Where the lock of these data is, or would be."""
    if not data.exists():
        raise InputError(f"{data} is no file and no folder", "lock one of these: a pattern cannot be locked")
    folder = data if data.is_dir() else data.parent
    own = data.is_dir() or data.name in _YAMLS
    path = folder / ("data.lock" if own else f"{data.name}.lock")
    whole = Path(os.path.abspath(path))
    for one in tracked(folder, Problems()):
        if whole.is_relative_to(one.path):
            return one.path.with_name("-".join([one.path.name, *whole.relative_to(one.path).parts]))
    return path


def read_lock(path: Path) -> Lock:
    """A lock, once it is sure that it is whole."""
    told = read_json(path)
    again = f"make it again: throughline inspect {path.parent} --lock"
    if not isinstance(told, dict) or told.get("throughline") != _VERSION:
        raise InputError(f"{path}: it is no {_VERSION}", again)
    checksum = told.pop("checksum", None)
    if checksum != _checksum(told):
        raise InputError(f"{path}: its checksum does not hold: somebody has edited it", again)
    try:
        return Lock(
            told["name"],
            told["format"],
            tuple(told["labels"]),
            {name: LockedSplit(**one) for name, one in told["splits"].items()},
            {
                name: LockedFile(**{**one, "splits": tuple(one.get("splits", ()))})
                for name, one in told["files"].items()
            },
            told["columns"],
            told["tracked"],
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: it is not laid out as a lock: {error}", again) from None


def write_lock(lock: Lock, data: Path) -> Path:
    """Write a lock to its place beside the data."""
    path = lock_path(data)
    told: dict[str, Any] = {"throughline": _VERSION, **asdict(lock)}
    told["files"] = {name: _short(one) for name, one in sorted(told["files"].items())}
    told["checksum"] = _checksum(told)
    lines = []
    for name, value in told.items():
        if name in ("splits", "files", "columns", "tracked") and value:
            inner = ",\n".join(f"  {_json(key)}: {_json(one)}" for key, one in value.items())
            lines.append(f" {_json(name)}: {{\n{inner}\n }}")
        else:
            lines.append(f" {_json(name)}: {_json(value)}")
    with whole_file(path) as draft:
        draft.write_text("{\n" + ",\n".join(lines) + "\n}\n", "utf-8")
    return path


def lock_of_survey(seen: Survey, data: Path) -> Lock:
    """The lock of a data set that was looked at from end to end."""
    base = lock_path(data).parent
    files: dict[Path, LockedFile] = {}
    for split, (about, pictures) in seen.splits.items():
        for picture in pictures:
            path, marks = picture.entry.path, picture.marks
            before = files[path].splits if path in files else ()
            objects = None if marks is None else len(marks.class_id)
            files[path] = LockedFile(picture.look.sha256, (*before, split), objects, _truth(marks))
        said_in = [entry.said_in[0] for entry in about.entries] + [file for file, _ in about.named_in]
        for path in {*said_in, *about.written_in, seen.index.root / "traits.csv"} - files.keys():
            if path.is_file():
                files[path] = LockedFile(_sha256(path))
    return Lock(
        name=seen.index.name,
        format=seen.format,
        labels=next((about.labels for about, _ in seen.splits.values()), ()),
        splits={
            name: LockedSplit(len(pictures), hash_of(pictures, about.labels))
            for name, (about, pictures) in seen.splits.items()
        },
        files={_relative(path, base): one for path, one in files.items()},
        tracked=_versions(data.parent if data.is_file() else data, base),
    )


def lock_of_table(look: TableLook) -> Lock:
    """The lock of a table."""
    base = look.path.parent
    files = [look.path, *([] if look.schema is None else [look.schema.path])]
    return Lock(
        name=look.path.name,
        format=look.format,
        splits={WHOLE: LockedSplit(len(look), look.sha256)},
        files={_relative(path, base): LockedFile(_sha256(path)) for path in files},
        columns={name: kind_of(column) for name, column in look.columns.items()},
        tracked=_versions(look.path, base),
    )


def _now(data: Path, problems: Problems) -> Lock:
    if is_table(data):
        return lock_of_table(look_at_table(data, problems))
    seen = survey(data, decode=False)
    for one in seen.problems:
        problems.found[one] = None
    return lock_of_survey(seen, data)


def _versions(data: Path, base: Path) -> dict[str, str]:
    return {_relative(one.path, base): one.md5 for one in tracked(data, Problems()) if one.md5}


def _missing_of(was: Lock, base: Path) -> tuple[Problem, ...]:
    """Where nothing can be made of the data any more: which of the locked files are not as they were."""
    found = []
    for name, one in was.files.items():
        path = Path(os.path.normpath(base / name))
        if not path.is_file():
            found.append(Problem(KIND, str(path), None, "it has vanished", True))
        elif path.is_relative_to(os.path.normpath(base)) and _sha256(path) != one.sha256:
            found.append(Problem(KIND, str(path), None, "it has changed", True))
    return tuple(found)


def _truth(marks: Marks | None) -> str:
    if marks is None:
        return ""
    digest = hashlib.sha256()
    marks.feed(digest)
    return digest.hexdigest()[:32]


def _short(told: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in told.items() if value not in (None, "", ())}


def _relative(path: Path, base: Path) -> str:
    return Path(os.path.relpath(path, base)).as_posix()


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}", "check the file") from None


def _json(value: Any) -> str:
    return json.dumps(value)


def _checksum(told: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
