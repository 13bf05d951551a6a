"""What a registry of models has to do, whoever keeps it, and what a version is.

A version is a number for bytes that never change. What moves are the aliases, one at a time, each move written down in
the registry itself together with whoever made it and the evidence that it rested on.
"""

from __future__ import annotations

import getpass
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, runtime_checkable

from throughline.contracts.artifacts import Artifact
from throughline.contracts.errors import InputError, ModelRefused

_NAME: Final = re.compile(r"[\w](?:[\w .-]{0,198}[\w])?")
_ALIAS: Final = re.compile(r"(?!(?i:latest|v\d+)$)[\w-]{1,100}")


class AliasMoved(ModelRefused):
    """Somebody else moved the alias between the look at it and the move."""

    http_status = 409


@dataclass(frozen=True, slots=True)
class Version:
    """One registered version.

    Attributes:
        name: the model's.
        number: counted from 1 for each name.
        sha256: of the model's file; empty where plain MLflow registered it.
        content: one hash for all of its files; empty likewise.
        created: when, in seconds since 1970.
        who: registered it.
        run: the training run that it came from.
        native: what its store knows of it.
    """

    name: str
    number: int
    sha256: str
    content: str
    created: float
    who: str = ""
    run: str | None = None
    native: Any = None

    def __str__(self) -> str:
        return f"models:/{self.name}/{self.number}"


@dataclass(frozen=True, slots=True)
class Record:
    """What is written down of a move.

    Attributes:
        number: of the move.
        text: what is said of it.
        checksum: of the evidence that it rests on; empty where there is none.
        evidence: the evidence itself.
    """

    number: int
    text: str
    checksum: str = ""
    evidence: str = ""


@runtime_checkable
class Store(Protocol):
    """Keeps versions, aliases and the record of every move."""

    atomic: bool
    """Whether nobody at all can move an alias between the look at it and the move."""

    def add(self, artifact: Artifact, name: str, run: str | None = None) -> tuple[Version, bool]:
        """A version for these bytes, and whether it is new: the same bytes are the same version."""

    def versions(self, name: str) -> tuple[Version, ...]:
        """Every version, the newest first."""

    def version(self, name: str, number: int) -> Version:
        """One of them."""

    def aliases(self, name: str) -> Mapping[str, int]:
        """Which version each alias points to."""

    def file(self, version: Version) -> Path:
        """Its model file on this machine, checked against what was registered, the passport beside it."""

    def entries(self, name: str) -> Mapping[int, str]:
        """The record of moves, by number, as it was written."""

    def evidence(self, name: str, checksum: str) -> str | None:
        """The text of the evidence that a move rested on, by its checksum."""

    def move(self, name: str, alias: str, expected: int | None, to: int, record: Record) -> None:
        """Move an alias if it still points where it is expected to, and write down the move.

        Args:
            name: the model's.
            alias: which.
            expected: the version that it must point to now; None where it must not be there.
            to: the version that it is to point to.
            record: what is written down.

        Raises:
            AliasMoved: it points elsewhere by now; nothing was changed.
        """


def checked_name(name: str) -> str:
    """A name that a model may be registered by."""
    if not _NAME.fullmatch(name):
        raise InputError(
            f"{name!r} is no name for a model", "use letters, digits, '_', '-', '.' and blanks inside, at most 200"
        )
    return name


def checked_alias(alias: str) -> str:
    """An alias that MLflow takes too."""
    if not _ALIAS.fullmatch(alias):
        raise InputError(
            f"{alias!r} is no alias", "use letters, digits, '_' and '-'; 'latest' and 'v3' are taken by MLflow itself"
        )
    return alias


def somebody() -> str:
    """Who is at work, as the record names them."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "unknown"
    return f"{user}@{socket.gethostname()}"
