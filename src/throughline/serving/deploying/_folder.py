"""A folder is there whole or not at all, and is replaced only while it is as it was written.

What lies in it is on record, in the form that ``sha256sum -c`` reads: whoever changed a file by hand keeps the change.
"""

from __future__ import annotations

import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from throughline.contracts.errors import InputError
from throughline.files import to_disk, writing
from throughline.models.passport import digest

RECORD: Final = "deployed.sha256"
_LINE: Final = re.compile(r"([0-9a-f]{64})  (.+)")


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """An empty folder to fill; it takes its name once the block ends well, and no place if not."""
    refuse_to_replace(target)
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = _beside(target)
        draft.mkdir()
        try:
            yield draft
            lines = [f"{digest(draft / name)}  {name}\n" for name in files_in(draft)]
            (draft / RECORD).write_text("".join(lines), "utf-8")
            for name in (*files_in(draft), RECORD):
                to_disk(draft / name)
            _swap(draft, target)
        finally:
            shutil.rmtree(draft, ignore_errors=True)


def files_in(folder: Path) -> list[str]:
    """Every file of a folder but its record, by its path in there."""
    found = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())
    return sorted(name for name in found if name != RECORD)


def refuse_to_replace(target: Path) -> None:
    """An ``InputError`` where something is there that is not just as ``deploy`` wrote it."""
    if target.name in ("", ".."):
        raise InputError(f"{target}: is no name for a new folder", "give another --out")
    if not target.is_symlink() and (not target.exists() or (target.is_dir() and not any(target.iterdir()))):
        return
    changed = _changed(target)
    if changed is not None:
        raise InputError(f"{target}: is there already, and {changed}", "move it away, or give another --out")


def _changed(target: Path) -> str | None:
    if target.is_symlink() or not (target / RECORD).is_file():
        return "deploy did not write it"
    try:
        lines = [_LINE.fullmatch(line) for line in (target / RECORD).read_text("utf-8").splitlines()]
    except ValueError:
        lines = [None]
    written = {line[2]: line[1] for line in lines if line}
    if len(written) < len(lines):
        return f"its {RECORD} was changed"
    for name in files_in(target):
        if name not in written:
            return f"{name} was put there by hand"
        if digest(target / name) != written.pop(name):
            return f"{name} was changed by hand"
    return f"{min(written)} was taken out by hand" if written else None


def _swap(draft: Path, target: Path) -> None:
    if target.exists():
        before = _beside(target)
        target.rename(before)
        draft.rename(target)
        shutil.rmtree(before, ignore_errors=True)
    else:
        draft.rename(target)
    to_disk(target.parent)


def _beside(target: Path) -> Path:
    return target.with_name(f".{target.name.lstrip('.')[:40]}-{secrets.token_hex(6)}")
