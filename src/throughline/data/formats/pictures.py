"""Pictures of which nothing is known: a file, a folder, a pattern, or a list of one path a line."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from throughline.contracts.errors import InputError
from throughline.data.bounded import read_text
from throughline.data.formats import WHOLE, Entry, Index, Split, name_of
from throughline.data.pictures import in_order, is_picture_file
from throughline.data.problems import Problems
from throughline.plugins import Plugin

_MOST_LIST = 1 << 28


class Pictures:
    """Pictures without truth."""

    def recognises(self, path: Path) -> bool:
        """Whether it is, holds, matches or lists a picture."""
        if path.is_dir():
            return any(is_picture_file(one) for one in path.iterdir())
        if path.is_file():
            return is_picture_file(path) or (path.suffix.lower() == ".txt" and _lists_pictures(path))
        return glob.has_magic(str(path)) and any(is_picture_file(Path(one)) for one in _matching(path))

    def index(self, path: Path, problems: Problems) -> Index:
        """Named from the folder that holds all of them."""
        if path.is_dir():
            found = [(one, (one, None)) for one in path.iterdir() if is_picture_file(one)]
        elif not path.is_file():
            found = [(Path(one), (Path(one), None)) for one in _matching(path) if is_picture_file(Path(one))]
        elif is_picture_file(path):
            found = [(path, (path, None))]
        else:
            listed = _listed(path)
            return Index(path.name, path.parent, {WHOLE: partial(_read, path.parent, listed)})
        root = _around([one for one, _ in found])
        found.sort(key=lambda one: in_order(one[0]))
        name = path.name if path.is_file() else str(path) if not path.is_dir() else name_of(path)
        return Index(name, root, {WHOLE: partial(_read, root, found)})


def _matching(path: Path) -> list[str]:
    return glob.glob(str(path), recursive=True)


def _listed(path: Path) -> list[tuple[Path, tuple[Path, int | None]]]:
    lines = enumerate(read_text(path, _MOST_LIST).splitlines(), 1)
    return [(path.parent / text.strip(), (path, line)) for line, text in lines if text.strip() and "\0" not in text]


def _lists_pictures(path: Path) -> bool:
    try:
        first = next((place for place, _ in _listed(path)), None)
        return first is not None and is_picture_file(first)
    except (InputError, OSError):
        return False


def _around(paths: Sequence[Path]) -> Path:
    import os

    folders = {str(path.absolute().parent) for path in paths}
    return Path(os.path.commonpath(folders)) if folders else Path()


def _read(root: Path, found: Sequence[tuple[Path, tuple[Path, int | None]]], problems: Problems) -> Split:
    entries: dict[str, Entry] = {}
    for path, said_in in found:
        whole = path.absolute()
        name = whole.relative_to(root.absolute()).as_posix() if whole.is_relative_to(root.absolute()) else str(whole)
        if name in entries:
            says = f"{name} is listed twice; it is taken once"
            problems.add("same picture twice", said_in[0], says, line=said_in[1])
        entries.setdefault(name, Entry(name, path, said_in))
    return Split(list(entries.values()), ())


PLUGIN = Plugin(make=Pictures, summary="pictures of which nothing is known", facts={"rank": 3})
