"""A result that is built from parts on the disk, so that a killed run goes on where it stopped.

Parts lie in a hidden folder beside the result, named by number. A part is written
as ``current`` and renamed when it is whole, so what has a number is always whole; a
number that was put in place and never reached the journal is simply written again.
The result is joined under a hidden name, renamed, and only then are the parts removed:
while all are there it can be joined again, and once one is gone the result is whole. A
kill between any two of these steps leaves a state from which ``join`` gives the same bytes.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path

from throughline.contracts.errors import InputError
from throughline.files import put_in_place, to_disk, writing


class Parts:
    """The parts of one result; ``target`` is the result's final name, a file or a folder."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self._folder = target.with_name(f".{target.name}.parts")
        self._draft = target.with_name(f".{target.stem}.draft{target.suffix}")
        self._current = self._folder / "current"
        self.fresh()

    def writing(self) -> AbstractContextManager[None]:
        """Turn what the disk says no to into one error that names the result."""
        return writing(
            self.target,
            "choose a folder with room that you can write to; what was committed is kept, and the run resumes",
        )

    def fresh(self) -> Path:
        """Where the next part is to be written."""
        with self.writing():
            if not self._folder.exists():
                self._folder.mkdir(parents=True)
                to_disk(self.target.parent)
        return self._current

    def put(self, part: int, data: bytes | None = None) -> None:
        """Put ``fresh`` in place as this part, for good; ``data`` is written to it first where it is given."""
        with self.writing():
            if data is not None:
                self.fresh().write_bytes(data)
            put_in_place(self._current, self._folder / f"{part:08}")

    def drop(self) -> None:
        """Remove what is in ``fresh``, and leave no trace where nothing was ever committed."""
        with suppress(OSError):  # nothing that is written depends on it
            self._current.unlink(missing_ok=True)
            self._folder.rmdir()

    def join(self, parts: int, join: Callable[[Sequence[Path], Path], None]) -> tuple[Path, ...]:
        """Put in place what ``join(paths, draft)`` makes of the first parts, if anything, and remove them."""
        paths = [self._folder / f"{part:08}" for part in range(parts)]
        with self.writing():
            if not all(path.exists() for path in paths) and self.target.exists():
                _remove(self._folder)  # an earlier finish was killed on its last step
                return (self.target,)
            if lost := [path for path in paths if not path.exists()]:
                raise InputError(f"{self.target}: part {lost[0]} is gone", "run again from the start, in a new folder")
            _remove(self._draft)
            try:
                join(paths, self._draft)
                if not self._draft.exists():
                    _remove(self._folder)
                    return ()
                if self._draft.is_dir():
                    os.sync()  # thousands of files: once, rather than one by one
                    _remove(self.target)  # a rename replaces no full folder; it can be joined again until the next line
                put_in_place(self._draft, self.target)
            except BaseException:
                _remove(self._draft)
                raise
            _remove(self._folder)
        return (self.target,)


def concatenate(paths: Sequence[Path], draft: Path, head: bytes = b"") -> None:
    """Join parts that are simply one after the other."""
    with draft.open("wb") as whole:
        whole.write(head)
        for path in paths:
            with path.open("rb") as part:
                shutil.copyfileobj(part, whole, 1 << 20)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
