"""Everything that is wrong with a data set, found before anything is computed on it.

Pictures are decoded, labels read, splits held against each other; no model and no
framework is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from throughline.data.formats import Index, Split
from throughline.data.near_duplicates import Likeness, nearest_in
from throughline.data.opening import Look, Picture, open_pictures
from throughline.data.problems import Problem, Problems
from throughline.data.reading import index_of, readable
from throughline.data.traits import read_traits, unmatched

__all__ = ["Problem", "Survey", "check_data", "survey"]


@dataclass(frozen=True, slots=True, eq=False)
class Survey:
    """A whole data set, looked at from end to end.

    Attributes:
        format: how it lies on the disk.
        index: what it says it has.
        splits: what each split was said to have, and the pictures in it that can be read.
        problems: what is wrong.
    """

    format: str
    index: Index
    splits: Mapping[str, tuple[Split, Sequence[Picture]]]
    problems: tuple[Problem, ...]


def check_data(spec: str | Path) -> tuple[Problem, ...]:
    """What is wrong with a data set, each with its file and line; an ``InputError`` where nothing can be made of it.

    Args:
        spec: as ``open_data`` takes it; all of its splits are looked at.
    """
    return survey(spec).problems


def survey(spec: str | Path, *, decode: bool = True) -> Survey:
    """Look at every picture and label of a data set.

    Args:
        spec: as ``open_data`` takes it.
        decode: decode each picture as well: that finds damage inside it, and what nearly is another.
    """
    problems = Problems()
    looks: dict[Path, Look] = {}
    splits: dict[str, tuple[Split, Sequence[Picture]]] = {}
    with readable(spec):
        kind, index = index_of(spec, problems)
        traits = read_traits(index.root)
        for name, read in index.splits.items():
            split = read(problems)
            splits[name] = split, open_pictures(split, index.root, traits, problems, decode=decode, looks=looks)
    entries = [entry for split, _ in splits.values() for entry in split.entries]
    unmatched(index.root, traits, {name for entry in entries for name in entry.called(index.root)}, problems)
    _labels_agree(Path(spec), splits, problems)
    _unused_classes(splits, problems)
    pictures = {name: found for name, (_, found) in splits.items()}
    _same_pictures(pictures, Path(spec), problems)
    _nearly_same_pictures(pictures, problems)
    _parted_groups(pictures, Path(spec), problems)
    return Survey(kind, index, splits, tuple(problems.found))


def objects_of(split: Split, pictures: Sequence[Picture]) -> npt.NDArray[np.int64]:
    """How many objects of each class there are."""
    counts = np.zeros(len(split.labels), np.int64)
    for picture in pictures:
        if picture.marks is not None:
            counts += np.bincount(picture.marks.class_id, minlength=len(counts))
    return counts


def _labels_agree(spec: Path, splits: Mapping[str, tuple[Split, Sequence[Picture]]], problems: Problems) -> None:
    (first, (known, _)), *others = splits.items()
    for name, (split, _) in others:
        if split.labels != known.labels:
            says = f"the split {name} has other classes than {first}: {_short(split.labels)}; {_short(known.labels)}"
            problems.add("class names", spec, says, severe=True)


def _unused_classes(splits: Mapping[str, tuple[Split, Sequence[Picture]]], problems: Problems) -> None:
    if not any(picture.marks is not None for _, pictures in splits.values() for picture in pictures):
        return
    used: set[str] = set()
    for split, pictures in splits.values():
        used.update(split.labels[kind] for kind in np.flatnonzero(objects_of(split, pictures)))
    for split, _ in splits.values():
        for name, (file, line) in zip(split.labels, split.named_in, strict=bool(split.named_in)):
            if name and name not in used:
                problems.add("class without objects", file, f"there is no '{name}' on any picture", line=line)


def _same_pictures(splits: Mapping[str, Sequence[Picture]], spec: Path, problems: Problems) -> None:
    """By the bytes of their files. In two splits at once, what is learned is what is asked."""
    first: dict[str, tuple[str, Picture]] = {}
    whole: set[tuple[str, str]] = set()
    for split, pictures in splits.items():
        mine = {picture.entry.path for picture in pictures}
        for other, others in splits.items():
            if other == split:
                break
            if mine and mine == {picture.entry.path for picture in others}:
                problems.add("same picture in two splits", spec, f"{other} and {split} are the same pictures")
                whole.add((other, split))
        own: dict[str, Picture] = {}
        for picture in pictures:
            sha256, path = picture.look.sha256, picture.entry.path
            if sha256 in own:
                says = f"the same picture as {own[sha256].entry.name}" + _beside(split, splits)
                problems.add("same picture twice", path, says)
                continue
            own[sha256] = picture
            where, one = first.setdefault(sha256, (split, picture))
            if where != split and (where, split) not in whole:
                says = f"{picture.entry.name} ({split}) is the same picture as {one.entry.name} ({where})"
                problems.add("same picture in two splits", path, says)


def _nearly_same_pictures(splits: Mapping[str, Sequence[Picture]], problems: Problems) -> None:
    """Those of two splits: within one, the frames of a video may well be alike."""
    names = list(splits)
    for at, split in enumerate(names):
        for other in names[:at]:
            known = {picture.look.sha256 for picture in splits[other]}
            new = [one for one in splits[split] if one.look.sha256 not in known and one.look.likeness is not None]
            old = [one for one in splits[other] if one.look.likeness is not None]
            for near in nearest_in([_likeness(one) for one in new], [_likeness(one) for one in old]):
                mine, theirs = new[near.a].entry, old[near.b].entry
                says = f"{mine.name} ({split}) is nearly {theirs.name} ({other}): {near.bits} of 256 bits differ"
                problems.add("near duplicate in two splits", mine.path, says)


def _likeness(picture: Picture) -> Likeness:
    assert picture.look.likeness is not None
    return picture.look.likeness


def _parted_groups(splits: Mapping[str, Sequence[Picture]], spec: Path, problems: Problems) -> None:
    """Frames of one video in two splits: what is asked was all but seen."""
    homes: dict[str, dict[str, int]] = {}
    for split, pictures in splits.items():
        for picture in pictures:
            if picture.entry.group:
                counts = homes.setdefault(picture.entry.group, {})
                counts[split] = counts.get(split, 0) + 1
    for group, counts in homes.items():
        if len(counts) > 1:
            where = ", ".join(f"{count:,} in {split}" for split, count in counts.items())
            problems.add("group in two splits", spec, f"pictures of '{group}' are in several splits: {where}")


def _beside(split: str, splits: Mapping[str, object]) -> str:
    return f", both in {split}" if len(splits) > 1 else ""


def _short(labels: Sequence[str]) -> str:
    return ", ".join(labels[:5]) + (f" and {len(labels) - 5} more" if len(labels) > 5 else "")
