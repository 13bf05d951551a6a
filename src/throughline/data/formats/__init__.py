"""How data sets lie on the disk: one file a format, each knowing its own by content.

A member gives an ``Index``: which splits there are, and for each, once it is asked for,
which pictures it has and how to read what is written about them. It opens no picture, and
what is wrong it adds to a list instead of stopping, so that one look finds all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol, TypeAlias

from throughline.data.marks import Marks
from throughline.data.problems import Problems
from throughline.plugins import Family

FORMATS = Family("data format", "throughline.data.formats", "data_formats")

WHOLE: Final = "all"
"""The one split of a set that is not split."""

SPLITS: Final[Mapping[str, str]] = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test",
}  # fmt: skip
"""What people call the folders of splits, and what the splits are called here."""

Size: TypeAlias = tuple[int, int]
"""Height and width of a picture as it is read, which is upright."""


def nothing_said(size: Size, problems: Problems) -> None:
    """What is written about a picture of which nobody has said anything."""


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """One picture, before it is opened.

    Attributes:
        name: what it is called in its set, wherever the set lies.
        path: where it is, or should be.
        said_in: the file, and the line where there is one, that says it is there.
        marks: reads what is written about it, once its size is known; None where nobody has said anything.
        traits: what else is known of it.
        group: what it must not be parted from.
    """

    name: str
    path: Path
    said_in: tuple[Path, int | None]
    marks: Callable[[Size, Problems], Marks | None] = nothing_said
    traits: Mapping[str, str | float] = field(default_factory=dict)
    group: str = ""

    def called(self, root: Path) -> tuple[str, ...]:
        """By what names people speak of it: its own, and its path from this folder on."""
        own = self.path.relative_to(root).as_posix() if self.path.is_relative_to(root) else self.name
        return self.name, own


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """The pictures of one split, and what is said of all of them.

    Attributes:
        entries: the pictures.
        labels: the classes that they may show.
        task: what the truth is for; None where the marks decide.
        named_in: the file, and the line where there is one, that names each class; nothing where nobody named them.
        written_in: other files in which something about these pictures is written.
    """

    entries: Sequence[Entry]
    labels: tuple[str, ...]
    task: str | None = None
    named_in: Sequence[tuple[Path, int | None]] = ()
    written_in: Sequence[Path] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Index:
    """A data set, before it is opened.

    Attributes:
        name: what people call it.
        root: the folder that its files are named from.
        splits: each reads its own list when it is called.
    """

    name: str
    root: Path
    splits: Mapping[str, Callable[[Problems], Split]]


class DataFormat(Protocol):
    """What a member makes. ``PLUGIN.facts["rank"]`` says when it is asked: first those that are sure of their own."""

    def recognises(self, path: Path) -> bool:
        """Whether this file, folder or pattern is laid out in its way; looks, and says nothing of what is wrong."""

    def index(self, path: Path, problems: Problems) -> Index:
        """What is there; an ``InputError`` where nothing can be made of it."""


def name_of(path: Path) -> str:
    """What people call a folder."""
    return path.resolve().name or str(path)
