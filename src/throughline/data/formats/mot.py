"""MOTChallenge sequences: img1/, gt/gt.txt, seqinfo.ini; one by itself, a folder of them, or a folder of these a split.

Frames, classes and pixels count from 1 there, and from 0 here. What is marked as not to
be judged (a 0 in the seventh column) is a crowd here: what is found there counts neither way.
"""

from __future__ import annotations

import configparser
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from throughline.contracts.errors import InputError
from throughline.data.bounded import inside, read_text
from throughline.data.formats import SPLITS, WHOLE, Entry, Index, Size, Split, name_of
from throughline.data.formats._boxes import fault_of
from throughline.data.marks import Marks
from throughline.data.pictures import in_order, is_picture_file
from throughline.data.problems import Problems
from throughline.plugins import Plugin

CHALLENGE = (
    "pedestrian", "person on vehicle", "car", "bicycle", "motorbike", "non motorized vehicle", "static person",
    "distractor", "occluder", "occluder on the ground", "occluder full", "reflection", "crowd",
)  # fmt: skip
"""What the challenge's class numbers mean, where gt/labels.txt does not say."""

_MOST_TRUTH, _MOST_SMALL = 1 << 29, 1 << 20


class Mot:
    """Sequences with the way of every object through them."""

    def recognises(self, path: Path) -> bool:
        """Whether it is a sequence, or holds one."""
        return path.is_dir() and bool(_splits(path))

    def index(self, path: Path, problems: Problems) -> Index:
        """Classes are those of the first sequence that names any; all must agree."""
        readers: dict[str, Callable[[Problems], Split]] = {}
        for split, sequences in _splits(path).items():
            readers[split] = partial(_read, sequences)
        return Index(name_of(path), path, readers)


def _splits(path: Path) -> Mapping[str, Sequence[Path]]:
    if _is_sequence(path):
        return {WHOLE: [path]}
    folders = [one for one in sorted(path.iterdir(), key=in_order) if one.is_dir()]
    if sequences := [one for one in folders if _is_sequence(one)]:
        return {WHOLE: sequences}
    splits: dict[str, Sequence[Path]] = {}
    for folder in folders:
        if folder.name.lower() in SPLITS:
            inner = [one for one in sorted(folder.iterdir(), key=in_order) if one.is_dir() and _is_sequence(one)]
            if inner:
                splits[SPLITS[folder.name.lower()]] = inner
    return splits


def _is_sequence(path: Path) -> bool:
    return (path / "seqinfo.ini").is_file() or (path / "gt" / "gt.txt").is_file()


@dataclass(frozen=True, slots=True)
class _Row:
    """One line of gt.txt: an object in a frame."""

    line: int
    identity: int
    box: tuple[float, float, float, float]
    judged: bool
    kind: int
    visibility: float


def _read(sequences: Sequence[Path], problems: Problems) -> Split:
    labels = next((names for one in sequences if (names := _names(one))), CHALLENGE)
    entries: list[Entry] = []
    for folder in sequences:
        if (own := _names(folder)) and own != labels:
            says = "its class names are not those of the other sequences"
            problems.add("class names", folder / "gt" / "labels.txt", says, severe=True)
        entries += _sequence(folder, labels, problems)
    told = any((one / "gt" / "gt.txt").is_file() for one in sequences)
    file = next((one / "gt" / "labels.txt" for one in sequences if _names(one)), None)
    named_in = [] if file is None else [(file, line) for line in range(1, len(labels) + 1)]
    beside = [one / name for one in sequences for name in ("seqinfo.ini", "gt/gt.txt", "gt/labels.txt")]
    written_in = [path for path in beside if path.is_file()]
    return Split(entries, labels, "track" if told else None, named_in, written_in)


def _names(folder: Path) -> tuple[str, ...]:
    file = folder / "gt" / "labels.txt"
    return tuple(read_text(file, _MOST_SMALL).splitlines()) if file.is_file() else ()


def _sequence(folder: Path, labels: tuple[str, ...], problems: Problems) -> list[Entry]:
    about = _about(folder)
    name = about.get("name") or name_of(folder)
    pictures_in = inside(folder, folder, about.get("imdir") or "img1")
    if pictures_in is None:
        raise InputError(f"{folder / 'seqinfo.ini'}: imDir leads out of the sequence", "write imDir=img1")
    pictures = _numbered(pictures_in, problems)
    if not pictures:
        problems.add("images missing", folder, f"there is no picture in {pictures_in}", severe=True)
    length, rate = about.get("seqlength", ""), _rate(about)
    last = int(length) if length.isdecimal() and len(length) < 9 else max(pictures, default=0)
    if missing := last - sum(1 <= number <= last for number in pictures):
        first = next(number for number in range(1, last + 1) if number not in pictures)
        says = f"{missing:,} of {last:,} frames have no picture; the first is {first}"
        problems.add("images missing", folder / "seqinfo.ini", says, severe=bool(pictures))
    truth = folder / "gt" / "gt.txt"
    rows = _rows(truth, pictures, labels, problems) if truth.is_file() else None
    if rows is None:
        problems.add("labels missing", folder, "there is no gt/gt.txt; nothing is known of its frames")
    entries = []
    for number, path in sorted(pictures.items()):
        called, at = f"{name}/{path.name}", {} if rate is None else {"seconds": (number - 1) / rate}
        if rows is None:
            entries.append(Entry(called, path, (path, None), traits=at, group=name))
        else:
            marks = partial(_marks, truth, rows.get(number, []))
            entries.append(Entry(called, path, (path, None), marks, at, name))
    return entries


def _rate(about: Mapping[str, str]) -> float | None:
    """Frames per second, so that who follows the objects knows the time."""
    try:
        rate = float(about.get("framerate", ""))
    except ValueError:
        return None
    return rate if math.isfinite(rate) and rate > 0 else None


def _about(folder: Path) -> Mapping[str, str]:
    file = folder / "seqinfo.ini"
    if not file.is_file():
        return {}
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(read_text(file, _MOST_SMALL))
    except configparser.Error as error:
        raise InputError(f"{file}: {error.message.splitlines()[0]}", "it should begin with [Sequence]") from None
    return dict(parser["Sequence"]) if parser.has_section("Sequence") else {}


def _numbered(folder: Path, problems: Problems) -> dict[int, Path]:
    pictures: dict[int, Path] = {}
    if not folder.is_dir():
        return pictures
    for path in sorted((one for one in folder.iterdir() if is_picture_file(one)), key=in_order):
        if not path.stem.isdecimal() or len(path.stem) > 9:
            problems.add("malformed line", path, "a frame's name is its number, as 000001.jpg", severe=True)
        elif int(path.stem) in pictures:
            says = f"frame {int(path.stem)} is {pictures[int(path.stem)].name}, too"
            problems.add("same picture twice", path, says, severe=True)
        else:
            pictures[int(path.stem)] = path
    return pictures


def _rows(
    file: Path, pictures: Mapping[int, Path], labels: tuple[str, ...], problems: Problems
) -> dict[int, list[_Row]]:
    rows: dict[int, list[_Row]] = {}
    seen: dict[tuple[int, int], int] = {}
    for line, text in enumerate(read_text(file, _MOST_TRUTH).splitlines(), 1):
        if not text.strip():
            continue
        try:
            values = [float(one) for one in text.split(",")]
        except ValueError:
            problems.add("malformed line", file, f"'{text[:60]}' holds what is no number", line=line, severe=True)
            continue
        if not all(map(math.isfinite, values)):
            problems.add("not a number", file, f"'{text[:60]}' holds a number that is none", line=line, severe=True)
        elif len(values) < 7 or any(one != int(one) for one in values[:2]):
            says = f"'{text[:60]}' is not: frame, identity, left, top, width, height, 1, class, visibility"
            problems.add("malformed line", file, says, line=line, severe=True)
        else:
            _take(file, line, values, pictures, labels, rows, seen, problems)
    return rows


def _take(
    file: Path,
    line: int,
    values: Sequence[float],
    pictures: Mapping[int, Path],
    labels: tuple[str, ...],
    rows: dict[int, list[_Row]],
    seen: dict[tuple[int, int], int],
    problems: Problems,
) -> None:
    frame, identity = int(values[0]), int(values[1])
    left, top, width, height = values[2:6]
    # the challenge's first year wrote x, y, z where there are a class and a visibility now
    kind = values[7] if len(values) in (8, 9) and values[7] != -1 else 1
    visibility = values[8] if len(values) == 9 and 0 <= values[8] <= 1 else math.nan
    if frame not in pictures:
        problems.add("label without image", file, f"there is no picture of frame {frame}", line=line, severe=True)
    elif kind != int(kind) or not 1 <= kind <= len(labels):
        says = f"class {kind:g}; there are {len(labels)}: 1 to {len(labels)}"
        problems.add("label out of range", file, says, line=line, severe=True)
    elif identity < 0 or identity >= 2**62:
        problems.add("malformed line", file, f"the identity {identity} is no count", line=line, severe=True)
    elif (before := seen.setdefault((frame, identity), line)) != line:
        says = f"identity {identity} is in frame {frame} already, on line {before}"
        problems.add("duplicate id", file, says, line=line, severe=True)
    else:
        box = (left - 1, top - 1, left - 1 + width, top - 1 + height)
        rows.setdefault(frame, []).append(_Row(line, identity, box, values[6] != 0, int(kind) - 1, visibility))


def _marks(file: Path, rows: Sequence[_Row], size: Size, problems: Problems) -> Marks:
    faults = [(row, fault_of(row.box, size, may_reach_out=True)) for row in rows]
    for row, fault in faults:
        if fault is not None:
            problems.add(fault.kind, file, fault.says, line=row.line, severe=fault.severe)
    rows = [row for row, fault in faults if fault is None or not fault.severe]
    return Marks.of(
        [row.box for row in rows],
        [row.kind for row in rows],
        tracker_id=np.array([row.identity for row in rows], np.int64),
        data={
            "crowd": np.array([not row.judged for row in rows], np.bool_),
            "visibility": np.array([row.visibility for row in rows], np.float32),
        },
    )


PLUGIN = Plugin(make=Mot, summary="MOTChallenge sequences: img1/ and gt/gt.txt", facts={"rank": 1})
