"""What of a run is done for good: one checksummed line for every part, so that a killed run can go on.

The first line says what the run is (its sources, its model, its settings): a run goes on
only as itself. Every further line is written after the part it speaks of is on the disk,
and is on the disk before the next part begins. Each line's checksum covers the line
before it too, so a line that was changed, lost or moved is noticed. Only the last line
can be torn by a crash; it is then dropped, and what it spoke of is done again.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Self, final

from throughline.contracts.errors import InputError
from throughline.files import to_disk

_LINE = b'{"sha256":"%s","entry":%s}\n'
_DIGEST = slice(11, 75)
_ENTRY = slice(85, -1)


@final
class Journal:
    """The journal of one source: opened, it is either new or holds what was committed last.

    Attributes:
        last: the last entry that is whole; None when nothing was committed yet.
    """

    def __init__(self, path: Path, identity: Mapping[str, Any]) -> None:
        self.path = path
        self.last: dict[str, Any] | None = None
        self._digest, self._size = b"", 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a+b", buffering=0)
        except OSError as error:
            raise _cannot_write(path, error) from None
        try:
            self._begin(identity)
        except BaseException:
            self._file.close()
            raise

    def append(self, entry: Mapping[str, Any]) -> None:
        """Put one more entry on the disk for good."""
        line, digest = _sealed(entry, self._digest)
        try:
            if self._file.write(line) != len(line):
                raise OSError(28, "No space left on device")
            os.fsync(self._file.fileno())
        except OSError as error:
            with contextlib.suppress(OSError):
                self._file.truncate(self._size)
            raise _cannot_write(self.path, error) from None
        self._digest, self._size = digest, self._size + len(line)

    def close(self) -> None:
        """Give the file back."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _begin(self, identity: Mapping[str, Any]) -> None:
        entries, self._digest, self._size = _whole_lines(self._file, self.path)
        if self._size != self._file.seek(0, os.SEEK_END):
            self._file.truncate(self._size)
        if entries:
            _refuse_another(self.path, entries[0], json.loads(_canonical(identity)))
            self.last = entries[-1] if len(entries) > 1 else None
        else:
            self.append(identity)
            to_disk(self.path.parent)


@contextlib.contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Hold a run's folder, so that no second process works on it; the hold ends with the process, however it ends."""
    path = folder / ".lock"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = path.open("ab")
    except OSError as error:
        raise _cannot_write(path, error) from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"{folder}: another process is working on this run", "wait for it to end, or use another folder"
            ) from None
        except OSError as error:
            raise InputError(f"{folder}: cannot be locked: {error.strerror}", "use a folder on a local disk") from None
        yield


def _whole_lines(file: BinaryIO, path: Path) -> tuple[list[dict[str, Any]], bytes, int]:
    """The first and the last whole entry (one where they are the same), the last checksum, and the length of all."""
    file.seek(0)
    kept: list[dict[str, Any]] = []
    digest, size, torn = b"", 0, False
    with open(file.fileno(), "rb", closefd=False) as lines:
        for number, line in enumerate(lines, 1):
            if torn:
                raise InputError(
                    f"{path}: line {number - 1} is damaged, and is not the last",
                    "the journal was changed from outside; begin the run again under another --name",
                )
            entry = _opened(line, digest)
            if entry is None:
                torn = True
                continue
            digest, size = line[_DIGEST], size + len(line)
            kept = [*kept[:1], entry]
    return kept, digest, size


def _opened(line: bytes, before: bytes) -> dict[str, Any] | None:
    text = line[:-1][_ENTRY]
    if line != _LINE % (_seal(before, text), text):
        return None
    entry: dict[str, Any] = json.loads(text)
    return entry


def _sealed(entry: Mapping[str, Any], before: bytes) -> tuple[bytes, bytes]:
    text = _canonical(entry)
    digest = _seal(before, text)
    return _LINE % (digest, text), digest


def _seal(before: bytes, text: bytes) -> bytes:
    return hashlib.sha256(before + text).hexdigest().encode()


def _canonical(entry: Mapping[str, Any]) -> bytes:
    return json.dumps(entry, separators=(",", ":"), allow_nan=False).encode()


def _refuse_another(path: Path, begun: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    differing = [name for name in {**begun, **now} if begun.get(name) != now.get(name)]
    if differing:
        told = "; ".join(f"{name} was {begun.get(name)!r} and is {now.get(name)!r}" for name in differing)
        raise InputError(
            f"{path.parent}: this run cannot go on, because it would not be the same run: {told}",
            "give back what it was begun with, or begin a new run under another --name",
        )


def _cannot_write(path: Path, error: OSError) -> InputError:
    return InputError(f"{path}: cannot write: {error.strerror}", "choose a folder with room that you can write to")
