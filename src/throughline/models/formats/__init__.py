"""What a model file is: one file a format, each knowing its own by content and describing it without running it.

A member looks at a ``Glimpse`` (the first bytes, the names in a zip archive) to
say whether a file is its own, and then gives a ``Description``. Neither imports
a framework, so that ``inspect`` is quick and safe on a file nobody trusts yet.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

from throughline.contracts.artifacts import TensorSpec
from throughline.models.loading.archives import Archive, open_archive
from throughline.plugins import Family

FORMATS = Family("format", "throughline.models.formats")

Level: TypeAlias = Literal["data", "pickle", "program", "malicious"]


@dataclass(frozen=True, slots=True)
class Risk:
    """What opening the file can do to the machine.

    Attributes:
        level: ``data`` (numbers and a graph), ``pickle`` (one that builds tensors only), ``program``
            (code runs when it is opened) or ``malicious`` (it reaches for what no model needs).
        why: one plain sentence.
        globals: the Python names that the file would import.
    """

    level: Level
    why: str
    globals: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Description:
    """Everything a file says about itself, read without running it; empty or None where it does not say.

    Attributes:
        kind: which sort of its format ("state dict", "whole model").
        imgsz: height and width in pixels.
        precision: as measured from the tensors, by parameter count.
        metadata: what the exporter wrote.
        files: every file it consists of, itself first.
        notes: what a reader should know besides, one sentence each.
    """

    path: Path
    format: str
    kind: str
    risk: Risk
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()
    task: str | None = None
    labels: tuple[str, ...] = ()
    decoder: str | None = None
    imgsz: tuple[int, int] | None = None
    stride: int | None = None
    precision: str | None = None
    parameters: int | None = None
    licence: str | None = None
    author: str | None = None
    producer: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    files: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Glimpse:
    """What can be seen of a file without reading all of it."""

    path: Path
    size: int
    head: bytes

    @cached_property
    def archive(self) -> Archive | None:
        """The file as a zip archive; None where it is not one."""
        return open_archive(self.path) if self.head[:4] == b"PK\x03\x04" else None


class Format(Protocol):
    """One kind of model file.

    ``suffixes`` are what its files end in. One that many other files end in too, such as ``.json``, a member lists as
    ``shared_suffixes`` instead: a folder is not searched for those.
    """

    suffixes: tuple[str, ...]

    def recognises(self, file: Glimpse) -> bool:
        """Whether the file's content is of this format."""

    def describe(self, file: Glimpse) -> Description:
        """Read what the file says of itself; a broken file is an ``InputError``."""
