"""A folder of pictures for each class, with or without a folder for each split around them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

from throughline.contracts.errors import InputError
from throughline.data.formats import SPLITS, WHOLE, Entry, Index, Size, Split, name_of
from throughline.data.marks import Marks
from throughline.data.pictures import is_picture_file, pictures_under
from throughline.data.problems import Problems
from throughline.plugins import Plugin

_OTHERS = frozenset({"images", "labels", "img1", "annotations", "gt"})
"""Folders of these names are no classes: they are parts of other formats."""


class Folders:
    """Class folders: ``cat/1.jpg``, or ``train/cat/1.jpg``."""

    def recognises(self, path: Path) -> bool:
        """Whether there is a folder of pictures in it, or in every split's folder."""
        return path.is_dir() and any(_classes(folder) for _, folder in _splits(path))

    def index(self, path: Path, problems: Problems) -> Index:
        """The classes are those of all the splits together, in the order of the alphabet."""
        splits = _splits(path)
        labels = tuple(sorted({one.name for _, folder in splits for one in _subfolders(folder)}))
        readers: dict[str, Callable[[Problems], Split]] = {}
        for split, folder in splits:
            if split in readers:
                raise InputError(f"{path}: two of its folders are the split '{split}'", "keep one of them")
            readers[split] = partial(_read, folder, labels)
        return Index(name_of(path), path, readers)


def _splits(path: Path) -> list[tuple[str, Path]]:
    folders = _subfolders(path)
    named = [(SPLITS[folder.name.lower()], folder) for folder in folders if folder.name.lower() in SPLITS]
    if named and len(named) == len(folders) and any(_classes(folder) for _, folder in named):
        return named
    return [(WHOLE, path)]


def _subfolders(path: Path) -> list[Path]:
    return sorted(one for one in path.iterdir() if one.is_dir() and not one.name.startswith("."))


def _classes(path: Path) -> bool:
    """Whether its folders are classes: pictures lie in one of them, and none lies beside them."""
    folders = _subfolders(path)
    return (
        not any(folder.name.lower() in _OTHERS for folder in folders)
        and any(next(_pictures(folder), None) is not None for folder in folders)
        and not any(is_picture_file(one) for one in path.iterdir())
    )


def _pictures(folder: Path) -> Iterator[Path]:
    return (one for one in folder.rglob("*") if is_picture_file(one))


def _read(folder: Path, labels: tuple[str, ...], problems: Problems) -> Split:
    entries = []
    for one in _subfolders(folder):
        for picture in pictures_under(one):
            name = picture.relative_to(folder).as_posix()
            entries.append(Entry(name, picture, (picture, None), partial(_whole_frame, labels.index(one.name))))
    return Split(entries, labels, "classify", [(folder / label, None) for label in labels])


def _whole_frame(kind: int, size: Size, problems: Problems) -> Marks:
    height, width = size
    return Marks.of([(0, 0, width, height)], [kind], data={"of_frame": np.ones(1, np.bool_)})


PLUGIN = Plugin(make=Folders, summary="a folder of pictures for each class", facts={"rank": 2})
