"""Data that DVC keeps track of: which version it has written down, and whether what lies here is that version.

DVC's own files are read as the data that they are; DVC need not be installed. A folder's version is the
MD5 of a list of its files, so the same list is made here. Where DVC's cache still has the list that was
written down, the files that differ are named.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from throughline.contracts.errors import InputError
from throughline.data.bounded import Written, read_json, read_yaml
from throughline.data.problems import Problems

_NEVER = frozenset({".dvc", ".git", ".hg"})
_TEXT = bytes(range(32, 127)) + b"\n\r\t\f\b"
_MD5 = re.compile(r"[0-9a-f]{32}(\.dir)?")
_NAMED = 3


@dataclass(frozen=True, slots=True)
class Tracked:
    """Something that DVC keeps track of.

    Attributes:
        path: where it is, absolute.
        md5: of the version that is written down; a folder's ends in ".dir". Empty where only a remote knows.
        said_in: the file, and the line, in which that is written.
        plain: it is the MD5 of the bytes as they are, as since DVC 3; before, line ends of text were made alike.
    """

    path: Path
    md5: str
    said_in: Path
    line: int
    plain: bool


def tracked(data: Path, problems: Problems) -> tuple[Tracked, ...]:
    """What DVC tracks of this file or folder: all of it, what it lies in, or parts of it."""
    place = Path(os.path.abspath(data))
    found: dict[Path, Tracked] = {}
    for folder in _folders(place):
        for file in [*sorted(one for one in folder.glob("*.dvc") if one.is_file()), folder / "dvc.lock"]:
            try:
                outs = list(_outs(file)) if file.is_file() else []
            except InputError as error:
                problems.add("DVC", file, error.problem.removeprefix(f"{file}: "))
                continue
            for one in outs:
                if place.is_relative_to(one.path) or one.path.is_relative_to(place):
                    found.setdefault(one.path, one)
    return tuple(found.values())


def versions(data: Path, problems: Problems) -> tuple[str, ...]:
    """What DVC tracks of these data, a line each, for people; where it is another version here, that is a problem."""
    lines = []
    for one in tracked(data, problems):
        lines.append(f"{one.path.name} {f'md5 {one.md5}' if one.md5 else 'without an md5'} (DVC, {one.said_in})")
        if (what := difference(one)) is not None:
            problems.add("not DVC's version", one.said_in, f"{one.path}: {what}", line=one.line)
    return tuple(lines)


def difference(one: Tracked) -> str | None:
    """How what lies here differs from the version that DVC has written down; None where it does not."""
    if not one.path.exists():
        return "it is not here: `dvc pull` fetches it"
    if not one.md5:
        return None
    if one.path.is_dir() != one.md5.endswith(".dir"):
        return f"it is a {'folder' if one.path.is_dir() else 'file'} here, and the version written down is not"
    if one.path.is_file():
        return None if _md5(one.path, one.plain) == one.md5 else "its bytes are not those of that version"
    here = {path.relative_to(one.path).as_posix(): _md5(path, one.plain) for path in _files(one.path)}
    if _md5_of_list(here) == one.md5:
        return None
    written = _written_list(one)
    what = "its files are not those of that version" if written is None else _changes(written, here)
    ignored = any(_ignores(folder / ".dvcignore") for folder in _folders(one.path))
    return what + (" (a .dvcignore leaves files out, which is not reckoned with here)" if ignored else "")


def _ignores(file: Path) -> bool:
    """Whether anything is in it besides the comment that `dvc init` writes."""
    if not file.is_file():
        return False
    with file.open("rb") as lines:
        return any(line.strip() and not line.startswith(b"#") for line in lines)


def _folders(place: Path) -> list[Path]:
    """Where DVC's files about this place may lie: in it, beside it, and up to the top of its repository."""
    above = list(place.parents)
    tops = [at for at, folder in enumerate(above) if (folder / ".dvc").is_dir() or (folder / ".git").exists()]
    return [*([place] if place.is_dir() else []), *above[: tops[0] + 1 if tops else 1]]


def _outs(file: Path) -> Iterator[Tracked]:
    told = read_yaml(file)
    if file.name != "dvc.lock":
        wdir = told["wdir"].text if "wdir" in told else None
        yield from _listed(file, file.parent / (wdir or "."), told.get("outs"))
        return
    stages = _mapping(told.get("stages"))
    for stage in stages.values():
        yield from _listed(file, file.parent, _mapping(stage).get("outs"))


def _listed(file: Path, base: Path, outs: Written | None) -> Iterator[Tracked]:
    for written in outs.value if outs is not None and isinstance(outs.value, list) else []:
        out = _mapping(written)
        path, md5 = (out[name].text if name in out else None for name in ("path", "md5"))
        if path and "://" not in path and "\0" not in path:
            place = Path(os.path.normpath(base.absolute() / path))
            plain = "hash" in out and out["hash"].text == "md5"
            yield Tracked(place, md5 if md5 and _MD5.fullmatch(md5) else "", file, written.line, plain)


def _mapping(written: Written | None) -> Mapping[str, Written]:
    return written.value if written is not None and isinstance(written.value, dict) else {}


def _files(folder: Path) -> Iterator[Path]:
    for place, inner, names in os.walk(folder):
        inner[:] = [name for name in inner if name not in _NEVER]
        yield from (Path(place, name) for name in names)


def _md5(path: Path, plain: bool) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    try:
        with path.open("rb") as file:
            begins = file.read(512)
            file.seek(0)
            text = not plain and b"\0" not in begins and len(begins.translate(None, _TEXT)) <= 0.3 * len(begins)
            while data := file.read(1 << 20):
                digest.update(data.replace(b"\r\n", b"\n") if text else data)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}", "check the file") from None
    return digest.hexdigest()


def _md5_of_list(files: Mapping[str, str]) -> str:
    """As DVC lists a folder, to the last space."""
    entries = [{"md5": files[name], "relpath": name} for name in sorted(files)]
    return hashlib.md5(json.dumps(entries, sort_keys=True).encode(), usedforsecurity=False).hexdigest() + ".dir"


def _written_list(one: Tracked) -> Mapping[str, str] | None:
    """The list of the version that is written down, where the cache in its repository still has it."""
    for folder in one.said_in.absolute().parents:
        for cache in (folder / ".dvc" / "cache" / "files" / "md5", folder / ".dvc" / "cache"):
            file = cache / one.md5[:2] / one.md5[2:]
            if file.is_file():
                try:
                    entries = read_json(file)
                    return {str(entry["relpath"]): str(entry["md5"]) for entry in entries}
                except (InputError, TypeError, KeyError):
                    return None
    return None


def _changes(written: Mapping[str, str], here: Mapping[str, str]) -> str:
    parts = {
        "changed": sorted(name for name in written.keys() & here.keys() if written[name] != here[name]),
        "missing": sorted(written.keys() - here.keys()),
        "not in that version": sorted(here.keys() - written.keys()),
    }
    said = []
    for what, names in parts.items():
        if names:
            shown = ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else "")
            said.append(f"{len(names):,} {what}: {shown}")
    return "; ".join(said) or "its files are not those of that version"
