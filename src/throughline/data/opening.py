"""From an index to pictures: each file read once, for its hash and its size; what is written about it comes with it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, MutableMapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import overload

from throughline.contracts.errors import InputError
from throughline.contracts.samples import Sample
from throughline.data.formats import Entry, Split, nothing_said
from throughline.data.marks import Marks, feed
from throughline.data.near_duplicates import Likeness, likeness_of
from throughline.data.picture_headers import upright_size_of
from throughline.data.pictures import check_picture, decode_picture, picture_bytes, read_picture
from throughline.data.problems import Problems

_AT_ONCE = 1024


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """What a picture's file is: its hash and its height and width, upright; or what is wrong with it.

    Once it was decoded, what it looks like is known as well.
    """

    sha256: str = ""
    size: tuple[int, int] = (0, 0)
    kind: str = ""
    says: str = ""
    likeness: Likeness | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """One picture of an open set, before anybody asks for its pixels or masks."""

    entry: Entry
    look: Look
    marks: Marks | None
    traits: Mapping[str, str | float]

    def sample(self, labels: tuple[str, ...]) -> Sample:
        """The same for everybody else."""
        entry = self.entry
        return Sample(
            entry.name,
            partial(read_picture, entry.path),
            self.look.sha256,
            None if self.marks is None else self.marks.truth(self.look.size, labels),
            self.traits,
            entry.group or entry.name,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Samples(Sequence[Sample]):
    """The samples of a set, each made when it is asked for."""

    pictures: Sequence[Picture]
    labels: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.pictures)

    @overload
    def __getitem__(self, at: int) -> Sample: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Sample]: ...
    def __getitem__(self, at: int | slice) -> Sample | Sequence[Sample]:
        """One, or those of a slice."""
        if isinstance(at, slice):
            return Samples(self.pictures[at], self.labels)
        return self.pictures[at].sample(self.labels)


def open_pictures(
    split: Split,
    root: Path,
    traits: Mapping[str, Mapping[str, str | float]],
    problems: Problems,
    *,
    decode: bool = False,
    looks: MutableMapping[Path, Look] | None = None,
) -> list[Picture]:
    """Every picture of a split that can be read; the others are problems.

    Args:
        split: what there should be.
        root: the folder of the set.
        traits: what is known of pictures besides, by name.
        problems: takes what is wrong.
        decode: decode each picture, to find the damage that its header does not show.
        looks: pictures that were looked at before, and those that are now.
    """
    known = {} if looks is None else looks
    pictures: list[Picture] = []
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as workers:
        for start in range(0, len(split.entries), _AT_ONCE):
            entries = split.entries[start : start + _AT_ONCE]
            new = [entry.path for entry in entries if entry.path not in known]
            known.update(zip(new, workers.map(partial(_look, decode=decode), new), strict=True))
            for entry in entries:
                look = known[entry.path]
                if look.kind:
                    file, line = entry.said_in
                    says = look.says if file == entry.path else f"{entry.name}: {look.says}"
                    problems.add(look.kind, file, says, line=line, severe=True)
                    continue
                more = dict(entry.traits)
                for name in entry.called(root) if traits else ():
                    more.update(traits.get(name, {}))
                marks = entry.marks(look.size, problems)
                group = more.pop("group", entry.group)
                said = f"{group:g}" if isinstance(group, float) else str(group)
                light = replace(entry, marks=nothing_said, group=said)  # a file may hang on its marks
                pictures.append(Picture(light, look, marks, more))
    return pictures


def task_of(split: Split, pictures: Sequence[Picture]) -> str | None:
    """What the truth of a split is for."""
    marks = [one.marks for one in pictures if one.marks is not None]
    if split.task is not None or not marks:
        return split.task
    return "segment" if any(one.shapes is not None for one in marks) else "detect"


def hash_of(pictures: Sequence[Picture], labels: tuple[str, ...]) -> str:
    """Names, pictures, truth and labels in one hash; where the set lies and how it is written down are not in it."""
    digest = hashlib.sha256()
    feed(digest, "throughline data 1", str(len(labels)), *labels)
    for picture in pictures:
        feed(digest, picture.entry.name, picture.look.sha256, "unknown" if picture.marks is None else "known")
        if picture.marks is not None:
            picture.marks.feed(digest)
    return digest.hexdigest()


def _look(path: Path, decode: bool) -> Look:
    if not path.is_file():
        return Look(kind="image missing", says="there is no such picture")
    try:
        data = picture_bytes(path)
        check_picture(data, path.name)
        width, height = upright_size_of(data)
        likeness = None
        if decode:
            image = decode_picture(data, path.name)
            if (shape := image.shape[:2]) != (height, width):
                raise InputError(f"{path.name}: its header says {width} x {height}, and it is {shape[1]} x {shape[0]}")
            likeness = likeness_of(image)
    except InputError as error:
        return Look(kind="image unreadable", says=error.problem.removeprefix(f"{path.name}: "))
    return Look(hashlib.sha256(data).hexdigest(), (height, width), likeness=likeness)
