"""Open a data set, whatever it is: what lies there is recognised by its content, and read as it says of itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from throughline.contracts.errors import InputError, nearest
from throughline.contracts.samples import DataSet
from throughline.data.formats import FORMATS, WHOLE, DataFormat, Index
from throughline.data.opening import Samples, hash_of, open_pictures, task_of
from throughline.data.problems import Problems
from throughline.data.traits import read_traits

_PREFERRED = ("val", "test", "train", WHOLE)


def open_data(spec: str | Path, split: str | None = None) -> DataSet:
    """Pictures and what is true of them, from a path.

    Args:
        spec: a data.yaml or its folder (YOLO), a COCO file or its folder, MOTChallenge sequences, a folder of class
            folders, or just pictures: a folder, a pattern, a list of paths.
        split: "train", "val" or "test". Where it is left away: val, else test, else train; the set's name says which.
    """
    problems = Problems()
    with readable(spec):
        kind, index = index_of(spec, problems)
        chosen = _chosen(spec, index, split)
        part = index.splits[chosen](problems)
        pictures = open_pictures(part, index.root, read_traits(index.root), problems)
    problems.refuse(spec)
    if not pictures:
        raise InputError(f"{spec}: there is no picture in it", "give data with at least one picture")
    name = index.name if chosen == WHOLE else f"{index.name} ({chosen})"
    samples = Samples(pictures, part.labels)
    return DataSet(name, kind, task_of(part, pictures), part.labels, samples, hash_of(pictures, part.labels))


@contextmanager
def readable(spec: str | Path) -> Iterator[None]:
    """Turn what the system does not let us read into one error that names it."""
    try:
        yield
    except OSError as error:
        where = f"{spec}: {error.filename}" if error.filename and str(error.filename) != str(spec) else str(spec)
        raise InputError(f"{where} cannot be read: {error.strerror}", "check the name and the permissions") from None


def index_of(spec: str | Path, problems: Problems) -> tuple[str, Index]:
    """The format of what lies there, and what it says it has."""
    path = Path(spec)
    kind = format_of(path)
    if kind is None:
        raise _unknown(path)
    return kind, cast("DataFormat", FORMATS.make(kind)).index(path, problems)


def format_of(path: Path) -> str | None:
    """The name of the format that this is in; None where it is no data set."""
    members = {name: FORMATS.get(name) for name in FORMATS.names()}
    for rank in sorted({int(member.facts.get("rank", 1)) for member in members.values()}):
        asked = [name for name, member in members.items() if int(member.facts.get("rank", 1)) == rank]
        owners = [name for name in asked if cast("DataFormat", FORMATS.make(name)).recognises(path)]
        if len(owners) > 1:
            raise InputError(f"{path} is {' and '.join(owners)} at once", "give the file that lists the pictures")
        if owners:
            return owners[0]
    return None


def is_data(path: Path) -> bool:
    """Whether this is a data set: a folder laid out as one, or the file that lists its pictures."""
    with readable(path):
        return _is_data(path)


def _is_data(path: Path) -> bool:
    if path.is_dir():
        return format_of(path) is not None or _lacks_yaml(path)
    return path.is_file() and any(
        cast("DataFormat", FORMATS.make(name)).recognises(path)
        for name in FORMATS.names()
        if FORMATS.get(name).facts.get("rank", 1) == 1
    )


def _chosen(spec: str | Path, index: Index, split: str | None) -> str:
    if split is None:
        return next(name for name in (*_PREFERRED, *index.splits) if name in index.splits)
    if split not in index.splits:
        known = [name for name in index.splits if name != WHOLE]
        fix = nearest(split, known) if known else "leave the split away: this set is not split"
        raise InputError(f"{spec}: there is no split '{split}'", fix)
    return split


def _lacks_yaml(path: Path) -> bool:
    return (path / "images").is_dir() and (path / "labels").is_dir()


def _unknown(path: Path) -> InputError:
    if not path.exists():
        return InputError(f"{path} does not exist", "check the path")
    if _lacks_yaml(path):
        return InputError(
            f"{path} holds images/ and labels/, and no data.yaml that names the classes",
            "write data.yaml: `val: images` and `names:` with one `0: name` a line",
        )
    return InputError(
        f"{path} is no data set in any format known here",
        "give a data.yaml, a COCO file, a MOTChallenge sequence, a folder of class folders, or a folder of pictures",
    )
