"""A file is there whole or not at all, whatever interrupts its writing: a kill, a full disk, the power.

It is written beside its place under a hidden name, brought to the disk, and renamed. Who
reads it sees the old one or the new one; a kill leaves at most the hidden draft behind.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from throughline.contracts.errors import InputError


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A draft to write, ending as ``path`` ends; it takes that name once the block ends well, and no place if not."""
    begins = path.stem.lstrip(".")[:40]  # a name may be as long as the system allows
    draft = path.with_name(f".{begins}-{secrets.token_hex(6)}{path.suffix}")
    with writing(path):
        os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))  # less what the user's umask forbids
        try:
            yield draft
            put_in_place(draft, path)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise


@contextmanager
def writing(path: Path, fix: str = "choose a folder with room that you can write to") -> Iterator[None]:
    """Turn what the disk says no to into one error that names the file."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{path}: cannot write: {error.strerror or error}", fix) from None


def put_in_place(draft: Path, path: Path) -> None:
    """Give a file that is written its name, in the same folder, for good: the power may fail right after."""
    to_disk(draft)
    draft.replace(path)
    to_disk(path.parent)


def to_disk(path: Path) -> None:
    """Bring a file's bytes, or a folder's names, from the system's memory to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
