"""The record of an alias: who moved it, when, why and on what evidence; nothing is ever taken out of it.

Each entry names the hash of the one before, so that one that was changed or taken out breaks the chain, and carries
this machine's seal, so that one that was made up says so where it was made. An alias that somebody moved by other means
shows too: it points where the record does not say.
"""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from throughline.models import passport as passports
from throughline.registry.versions import somebody

Action = Literal["promote", "rollback"]
_FIRST: Final = "0" * 64
_LONGEST: Final = 1500
_LATEST: Final = 1e11
"""A time beyond this is none that a calendar has."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One move of an alias.

    Attributes:
        number: counted from 1 for each model.
        at: when, in seconds since 1970.
        who: moved it.
        action: "promote", or "rollback" to the one before.
        alias: which.
        before: the version that it pointed to; None where there was no such alias.
        after: the version that it points to since.
        sha256: the hash of that version's model file.
        reason: why, in the words of who did it.
        overridden: what stood against it, where it was forced.
        evidence: the checksum of the evidence file; empty where there was none.
        found: what the evidence says, in one sentence.
        previous: the hash of the entry before.
        hash: of everything above.
        seal: that of the machine that wrote it.
    """

    number: int
    at: float
    who: str
    action: Action
    alias: str
    before: int | None
    after: int
    sha256: str
    reason: str = ""
    overridden: tuple[str, ...] = ()
    evidence: str = ""
    found: str = ""
    previous: str = _FIRST
    hash: str = ""
    seal: str = ""

    def to_json(self) -> str:
        """As it is written down."""
        return json.dumps(dataclasses.asdict(self), separators=(",", ":"), ensure_ascii=False)

    @property
    def sealed_here(self) -> bool:
        """Whether this machine wrote it, as it now is."""
        return passports.was_sealed(f"move {_hash(self)}", self.seal)


@dataclass(frozen=True, slots=True)
class Trail:
    """A model's whole record, and what is wrong with it."""

    entries: tuple[Entry, ...]
    faults: tuple[str, ...] = ()

    def of(self, alias: str) -> tuple[Entry, ...]:
        """The moves of one alias."""
        return tuple(entry for entry in self.entries if entry.alias == alias)

    def holders(self, alias: str) -> list[int]:
        """The versions that an alias would go back through, the one that it should point to last."""
        held: list[int] = []
        for entry in self.of(alias):
            if entry.action == "rollback":
                while held and held[-1] != entry.after:
                    held.pop()
                if held:
                    continue
            elif entry.before is not None and (not held or held[-1] != entry.before):
                held.append(entry.before)
            held.append(entry.after)
        return held

    def next(
        self,
        action: Action,
        alias: str,
        before: int | None,
        after: int,
        sha256: str,
        *,
        reason: str = "",
        overridden: Sequence[str] = (),
        evidence: str = "",
        found: str = "",
    ) -> Entry:
        """The entry of a move that is made now, sealed."""
        last = self.entries[-1] if self.entries else None
        entry = Entry(
            (last.number if last else 0) + 1,
            round(time.time(), 3),
            somebody(),
            action,
            alias,
            before,
            after,
            sha256,
            reason[:_LONGEST],
            tuple(text[:300] for text in overridden),
            evidence,
            found[:_LONGEST],
            last.hash if last else _FIRST,
        )
        entry = dataclasses.replace(entry, hash=_hash(entry))
        return dataclasses.replace(entry, seal=passports.seal_of(f"move {entry.hash}"))


def read_trail(texts: Mapping[int, str]) -> Trail:
    """A model's record from what was written down, held against itself."""
    entries, faults = [], []
    previous, expected = _FIRST, 1
    for number, text in sorted(texts.items()):
        if number != expected:
            faults.append(f"{_moves(expected, number - 1)} taken out of the record")
        expected = number + 1
        try:
            entry = _entry(json.loads(text))
        except (ValueError, KeyError, TypeError, RecursionError):
            faults.append(f"move {number} cannot be read")
            previous = ""
            continue
        if entry.number != number or not hmac.compare_digest(entry.hash, _hash(entry)):
            faults.append(f"move {number} was changed after it was written down")
        elif previous and entry.previous != previous and number - 1 in (0, *texts):
            faults.append(f"move {number} does not follow from the one before it, which was changed")
        previous = entry.hash
        entries.append(entry)
    return Trail(tuple(entries), tuple(faults))


def _moves(first: int, last: int) -> str:
    return f"move {first} was" if first == last else f"moves {first} to {last} were"


def _hash(entry: Entry) -> str:
    said = dataclasses.asdict(dataclasses.replace(entry, hash="", seal=""))
    return hashlib.sha256(json.dumps(said, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _entry(body: Any) -> Entry:
    fields = {field.name: body[field.name] for field in dataclasses.fields(Entry)}
    fields["overridden"] = tuple(str(text) for text in fields["overridden"])
    kinds: dict[str, Any] = {"number": int, "at": (int, float), "after": int, "before": (int, type(None))}
    for name, value in fields.items():
        if name != "overridden" and not isinstance(value, kinds.get(name, str)):
            raise TypeError(name)
    if not 0 <= fields["at"] < _LATEST:
        raise ValueError("at")
    if set(body) != set(fields) or fields["action"] not in ("promote", "rollback"):
        raise ValueError("unknown")
    return Entry(**fields)
