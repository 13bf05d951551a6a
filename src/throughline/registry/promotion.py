"""The rule by which an alias moves: only onto what was shown to be as good as what it points to now.

The evidence must be about these two models, byte for byte, must have passed, must be as it was written, and must not
have been overtaken by what happened since. Whoever knows better may force it, but not without a reason, and what stood
against it is written down too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from throughline.contracts.errors import InputError, ModelRefused, ThroughlineError
from throughline.evaluation.evidence import Evidence, read_evidence
from throughline.models.artifact import read_artifact
from throughline.registry.trail import Entry, Trail, read_trail
from throughline.registry.versions import Record, Store, Version, checked_alias


@dataclass(frozen=True, slots=True)
class Move:
    """What became of an alias.

    Attributes:
        name: the model's.
        alias: which.
        before: the version that it pointed to.
        after: the version that it points to now.
        entry: what was written down; None where it pointed there already.
        notes: what is to be known besides.
    """

    name: str
    alias: str
    before: int | None
    after: int
    entry: Entry | None
    notes: tuple[str, ...] = ()


def promote(
    store: Store,
    name: str,
    number: int,
    alias: str = "champion",
    evidence: Path | None = None,
    *,
    reason: str = "",
    force: bool = False,
    trust: bool = False,
) -> Move:
    """Let an alias point to a version, if the evidence allows it.

    The first version that an alias ever points to needs no evidence, for there is nothing to hold it to; what is shown
    all the same must be about it and have passed.

    Args:
        store: the registry.
        name: the model's.
        number: the version.
        alias: which.
        evidence: the file that ``compare`` wrote, of the version that the alias points to now and of this one.
        reason: why, for the record.
        force: move it whatever stands against it; needs a reason.
        trust: take evidence that another machine wrote.

    Raises:
        ModelRefused: the evidence does not allow it, or the files are not what was registered.
        AliasMoved: somebody else moved it meanwhile; nothing was changed.
    """
    checked_alias(alias)
    if force and not reason.strip():
        raise InputError("--force without a reason: nobody would know why later", "say why: --reason 'TEXT'")
    candidate, trail = store.version(name, number), read_trail(store.entries(name))
    now = store.aliases(name).get(alias)
    if now == number:
        return Move(name, alias, now, number, None, (f"'{alias}' points to version {number} already",))
    sha256 = _sha256(store, candidate)
    reference = _reference(store, name, alias, now, trail)
    shown, against = _judged(store, candidate, sha256, reference, alias, evidence, trail, trust)
    if trail.faults:
        against = [f"the record of '{name}' was tampered with: {trail.faults[0]}", *against]
    if against and not force:
        raise ModelRefused(f"{candidate} was not promoted: {against[0]}", _fix(name, number, alias, reference, against))
    entry = trail.next(
        "promote", alias, now, number, sha256,
        reason=reason.strip(), overridden=against,
        evidence=shown.checksum if shown else "", found=shown.sentence if shown else "",
    )  # fmt: skip
    kept = evidence.read_text("utf-8") if shown and evidence else ""
    store.move(name, alias, now, number, Record(entry.number, entry.to_json(), entry.evidence, kept))
    return Move(name, alias, now, number, entry, _notes(store, shown, reference))


def roll_back(store: Store, name: str, alias: str = "champion", *, reason: str = "") -> Move:
    """Let an alias point again to the version that it pointed to before.

    Called again it goes back further: each call takes back one promotion.

    Raises:
        ModelRefused: there is nothing before, the record was tampered with, or the files are not what was registered.
    """
    checked_alias(alias)
    now, trail = store.aliases(name).get(alias), read_trail(store.entries(name))
    if trail.faults:
        raise ModelRefused(
            f"the record of '{name}' was tampered with, so that it cannot say what was before: {trail.faults[0]}",
            f"say which version: throughline promote {name} VERSION --alias {alias} --force --reason 'TEXT'",
        )
    held = trail.holders(alias)
    if held and held[-1] == now:
        held.pop()
    if not held:
        raise ModelRefused(
            f"'{alias}' of '{name}' cannot go back: "
            + ("nothing is written down of it" if now is None else f"nothing was there before version {now}"),
            f"see what happened: throughline history {name}",
        )
    target = store.version(name, held[-1])
    sha256 = _sha256(store, target)
    entry = trail.next("rollback", alias, now, target.number, sha256, reason=reason.strip())
    store.move(name, alias, now, target.number, Record(entry.number, entry.to_json()))
    return Move(name, alias, now, target.number, entry, _notes(store, None, None))


def _sha256(store: Store, version: Version) -> str:
    """The hash of a version's model file, as it is in the registry now."""
    return read_artifact(store.file(version)).sha256


def _reference(store: Store, name: str, alias: str, now: int | None, trail: Trail) -> Version | None:
    """What evidence is held to: where the alias points, or last pointed where somebody took it away."""
    if now is not None:
        return store.version(name, now)
    held = trail.holders(alias)
    return store.version(name, held[-1]) if held else None


def _judged(
    store: Store,
    candidate: Version,
    sha256: str,
    reference: Version | None,
    alias: str,
    path: Path | None,
    trail: Trail,
    trust: bool,
) -> tuple[Evidence | None, list[str]]:
    """The evidence, and everything that stands against the move."""
    if path is None:
        if reference is None:
            return None, []
        return None, [f"'{alias}' points to version {reference.number}, and nothing shows this one to be as good"]
    try:
        shown = read_evidence(path, trust=trust)
    except InputError:
        raise
    except ThroughlineError as error:
        return None, [error.problem]
    against = []
    if not shown.passed:
        against.append(f"the comparison did not pass: {shown.sentence}")
    if shown.candidate != sha256:
        against.append(
            f"{path} is about another model: its candidate is {shown.candidate[:12]}, this version is {sha256[:12]}"
        )
    if reference is not None:
        expected = _sha256(store, reference)
        if shown.reference != expected:
            was = _version_of(store, candidate.name, shown.reference)
            against.append(
                f"{path} is stale: it compares with {was}, and '{alias}' points to version {reference.number} now"
            )
        elif (twin := _twin(store, reference)) is not None:
            against.append(_same_file(reference, twin))
    if (twin := _twin(store, candidate)) is not None:
        against.append(_same_file(candidate, twin))
    left = [entry for entry in trail.of(alias) if entry.before == candidate.number and entry.at >= shown.created]
    if left:
        against.append(
            f"{path} is stale: after that comparison version {candidate.number} was taken off '{alias}' "
            f"({left[-1].action} by {left[-1].who} on {day(left[-1].at)})"
        )
    return shown, against


def _version_of(store: Store, name: str, sha256: str) -> str:
    found = [version for version in store.versions(name) if version.sha256 == sha256]
    return f"version {found[0].number}" if found else f"a model that is no version of '{name}' ({sha256[:12]})"


def _twin(store: Store, version: Version) -> Version | None:
    """Another version whose own file is the same and the files it reads are not: its hash does not tell them apart."""
    if not version.sha256:
        return None
    return next(
        (
            other
            for other in store.versions(version.name)
            if other.sha256 == version.sha256 and other.content != version.content
        ),
        None,
    )


def _same_file(version: Version, twin: Version) -> str:
    return (
        f"the evidence names a file that versions {version.number} and {twin.number} share: "
        "they differ in the weights beside it, which it does not name"
    )


def _fix(name: str, number: int, alias: str, reference: Version | None, against: Sequence[str]) -> str:
    other = f"models:/{name}@{alias}" if reference is not None else "REFERENCE"
    again = f"throughline compare {other} models:/{name}/{number} --data DATA"
    more = f" ({len(against) - 1} more against it)" if len(against) > 1 else ""
    return f"show that it is as good: {again}; or --force with a --reason, which is written down{more}"


def _notes(store: Store, shown: Evidence | None, reference: Version | None) -> tuple[str, ...]:
    notes = []
    if shown is not None and not shown.sealed_here:
        notes.append("the evidence was written on another machine, and taken on trust")
    if not store.atomic:
        notes.append(
            "the server cannot move an alias only if nobody else does at the same moment: it was looked at right "
            "before and right after"
        )
    return tuple(notes)


def day(at: float) -> str:
    """A time as people write it, in their own zone."""
    return datetime.fromtimestamp(at).astimezone().strftime("%Y-%m-%d %H:%M:%S %z")
