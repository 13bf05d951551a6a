"""``throughline promote``: let production follow another version, on evidence."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from throughline.contracts.errors import InputError
from throughline.models.artifact import read_artifact
from throughline.registry.promotion import Move
from throughline.registry.promotion import promote as move_alias
from throughline.registry.registering import open_store
from throughline.registry.versions import Store
from throughline.terminal import fields


@dataclass(frozen=True, slots=True)
class PromoteReport:
    """Where an alias points now.

    Attributes:
        name: the model's.
        alias: which.
        before: the version that it pointed to; None where there was no such alias.
        version: the version that it points to now.
        moved: whether it was moved now.
        who: moved it.
        reason: why.
        found: what the evidence says.
        overridden: what stood against it, where it was forced.
        notes: what is to be known besides.
    """

    name: str
    alias: str
    before: int | None
    version: int
    moved: bool
    who: str
    reason: str
    found: str
    overridden: tuple[str, ...]
    notes: tuple[str, ...]

    def __str__(self) -> str:
        was = "" if not self.moved else f"  (before: {'nothing' if self.before is None else f'version {self.before}'})"
        return fields(
            [
                (f"@{self.alias}", f"models:/{self.name}/{self.version}{was}"),
                ("evidence", self.found),
                ("reason", self.reason),
                ("overridden", "\n".join(self.overridden)),
                ("by", self.who),
                ("note", "\n".join(self.notes)),
                ("back", f"throughline rollback {shlex.quote(self.name)} --alias {self.alias}" if self.moved else ""),
            ]
        )


def promote(
    model: str,
    version: str,
    /,
    *,
    alias: str = "champion",
    evidence: Path | None = None,
    reason: str = "",
    force: bool = False,
    trust: bool = False,
) -> PromoteReport:
    """Let an alias point to a version of a model, if the evidence of a comparison allows it.

    The evidence must have passed, name both models by their hashes, be as this machine wrote it, and not have been
    overtaken since. The first version that an alias points to needs none. Every move is written down in the registry.

    Args:
        model: The model's registered name.
        version: The version's number, or a file whose bytes are registered.
        alias: The alias that is moved.
        evidence: The file that compare wrote about this version and the one that the alias points to.
        reason: Why, for the record.
        force: Move it whatever stands against it, which is written down too; needs a reason.
        trust: Take evidence that was written on another machine.
    """
    store = open_store()
    number = number_of(store, model, version)
    move = move_alias(store, model, number, alias, evidence, reason=reason, force=force, trust=trust)
    return report_of(move)


def report_of(move: Move) -> PromoteReport:
    """A move as it is told."""
    entry = move.entry
    return PromoteReport(
        move.name, move.alias, move.before, move.after, entry is not None,
        entry.who if entry else "", entry.reason if entry else "", entry.found if entry else "",
        entry.overridden if entry else (), move.notes,
    )  # fmt: skip


def number_of(store: Store, name: str, said: str) -> int:
    """Which version a number or a file means."""
    if said.isdecimal():
        return int(said)
    if not Path(said).is_file():
        raise InputError(f"{said!r} is neither the number of a version nor a file", f"throughline history {name}")
    sha256 = read_artifact(said).sha256
    found = [version.number for version in store.versions(name) if version.sha256 == sha256]
    if not found:
        raise InputError(
            f"{said} is no version of '{name}'", f"register it first: throughline register {shlex.quote(said)} {name}"
        )
    if len(found) > 1:
        raise InputError(f"{said} is the file of versions {', '.join(map(str, found))}", "say which, by its number")
    return found[0]
