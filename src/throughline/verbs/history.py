"""``throughline history``: what versions of a model there are, who let production follow which, when and why."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from throughline.contracts.errors import ThroughlineError
from throughline.evaluation.evidence import Evidence, read_evidence
from throughline.registry.promotion import day
from throughline.registry.registering import open_store
from throughline.registry.trail import Entry, Trail, read_trail
from throughline.registry.versions import Store, Version
from throughline.terminal import fields, styled, table


@dataclass(frozen=True, slots=True)
class VersionRow:
    """One version."""

    version: int
    sha256: str
    registered: str
    by: str
    aliases: tuple[str, ...]
    run: str


@dataclass(frozen=True, slots=True)
class MoveRow:
    """One move of an alias, and what it rested on."""

    number: int
    when: str
    who: str
    action: str
    alias: str
    before: int | None
    after: int
    reason: str
    overridden: tuple[str, ...]
    found: str
    evidence: str
    metric: str
    data_sha256: str
    checks: tuple[str, ...]
    vouched: bool


@dataclass(frozen=True, slots=True)
class HistoryReport:
    """The versions of a model, the newest first, and every move of its aliases, the newest first.

    Attributes:
        name: the model's.
        registry: where the registry is.
        versions: what is registered.
        moves: who moved which alias, when, why and on what evidence.
        faults: what is wrong with the record; empty where it is whole.
    """

    name: str
    registry: str
    versions: tuple[VersionRow, ...]
    moves: tuple[MoveRow, ...]
    faults: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        """5 where the record was tampered with or passed by."""
        return 5 if self.faults else 0

    def __str__(self) -> str:
        rows = [
            (str(row.version), ", ".join(row.aliases), row.sha256[:12] or "not recorded", row.registered, row.by)
            for row in self.versions
        ]
        parts = [table(("version", "alias", "sha256", "registered", "by"), rows)]
        parts += [_told(move) for move in self.moves]
        parts += [f"{styled('FAULT', 'red')}  {fault}" for fault in self.faults]
        return "\n\n".join(parts)


def history(model: str, /) -> HistoryReport:
    """Every version of a model, and every move of its aliases: who, when, why, and on what evidence.

    The record is checked as it is read: what was changed in it, taken out of it or done past it is said, and the exit
    code is then 5.

    Args:
        model: The model's registered name.
    """
    store = open_store()
    versions, trail, aliases = store.versions(model), read_trail(store.entries(model)), store.aliases(model)
    kept = {entry.number: _kept(store, model, entry) for entry in trail.entries}
    moves = tuple(_move(entry, kept[entry.number][0]) for entry in reversed(trail.entries))
    damaged = [fault for _, faults in kept.values() for fault in faults]
    faults = (*trail.faults, *damaged, *_passed_by(trail, dict(aliases)))
    names = {number: tuple(sorted(a for a, n in aliases.items() if n == number)) for number in aliases.values()}
    rows = tuple(_row(version, names.get(version.number, ())) for version in versions)
    return HistoryReport(model, str(store), rows, moves, faults)


def _row(version: Version, aliases: tuple[str, ...]) -> VersionRow:
    by = version.who or "plain MLflow"
    return VersionRow(version.number, version.sha256, day(version.created), by, aliases, version.run or "")


def _move(entry: Entry, kept: Evidence | None) -> MoveRow:
    checks = tuple(
        f"{'passed' if check.passed else 'FAILED'}  {check.name}: {check.observed} (limit {check.limit})"
        for check in (kept.verdict.checks if kept else ())
    )
    return MoveRow(
        entry.number, day(entry.at), entry.who, entry.action, entry.alias, entry.before, entry.after, entry.reason,
        entry.overridden, entry.found, entry.evidence, kept.metric if kept else "", kept.data_sha256 if kept else "",
        checks, entry.sealed_here,
    )  # fmt: skip


def _kept(store: Store, name: str, entry: Entry) -> tuple[Evidence | None, list[str]]:
    """The evidence that a move rested on, as it was shown, or what has become of it."""
    if not entry.evidence:
        return None, []
    text = store.evidence(name, entry.evidence)
    if text is None:
        return None, [f"the evidence of move {entry.number} was taken out of the record"]
    with tempfile.TemporaryDirectory(prefix="throughline-") as folder:
        path = Path(folder) / "evidence.json"
        path.write_text(text, "utf-8")
        try:
            kept = read_evidence(path, trust=True)
        except ThroughlineError:
            kept = None
    if kept is None or kept.checksum != entry.evidence:
        return None, [f"the evidence of move {entry.number} was changed after it was written down"]
    return kept, []


def _passed_by(trail: Trail, aliases: dict[str, int]) -> list[str]:
    """The aliases that point elsewhere than the last move says."""
    faults = []
    for alias in sorted({entry.alias for entry in trail.entries}):
        last, now = trail.of(alias)[-1], aliases.get(alias)
        if now != last.after:
            points = "is gone" if now is None else f"points to version {now}"
            faults.append(
                f"'{alias}' {points}, and the last move written down leads to version {last.after}: "
                "somebody moved it by other means"
            )
    return faults


def _told(move: MoveRow) -> str:
    before = "nothing" if move.before is None else str(move.before)
    return f"{styled(f'{move.number}', 'bold')}  {move.action} @{move.alias}: {before} -> {move.after}\n" + fields(
        [
            ("when", move.when),
            ("who", move.who + ("" if move.vouched else "  (written on another machine)")),
            ("why", move.reason),
            ("evidence", move.found),
            ("checks", "\n".join(move.checks)),
            ("metric", move.metric),
            ("data", move.data_sha256),
            ("forced", "\n".join(move.overridden)),
        ]
    )
