"""MLflow's registry: the embedded database of the project folder, or the server that ``MLFLOW_TRACKING_URI`` names.

In the embedded database an alias is moved, and its move written down, in one transaction: it can happen neither twice
nor half. A server offers no such thing; there it is looked at right before the move and right after.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

from throughline.contracts.artifacts import Artifact
from throughline.contracts.errors import InputError, Unavailable, nearest
from throughline.files import to_disk, whole_file, writing
from throughline.models import registered
from throughline.models.mlflow_server import Server, alone, ask, connect, server
from throughline.models.registered import FILES_TAG
from throughline.models.registry_file import DELETED, WORKSPACE
from throughline.plugins import Plugin
from throughline.registry.packing import files_of, pack
from throughline.registry.versions import AliasMoved, Record, Version, checked_name, somebody

_CONTENT: Final = "throughline.content"
_WHO: Final = "throughline.by"
_ENTRY: Final = "throughline.history."
_EVIDENCE: Final = "throughline.evidence."
_PIECE: Final = 4500


class MlflowStore:
    """See the module's head.

    Args:
        server: where; the one that the environment names when None.
    """

    def __init__(self, server_: Server | None = None) -> None:
        self._server = server_ or server()
        self._client = connect(self._server)
        self.atomic = self._server.database is not None
        self._named_before: set[str] = set()

    def __str__(self) -> str:
        return str(self._server)

    def add(self, artifact: Artifact, name: str, run: str | None = None) -> tuple[Version, bool]:
        """A version for these bytes, and whether it is new."""
        files = files_of(artifact)
        checked_name(name)
        if (known := self._of_content(name, files.content)) is not None:
            if self._server.database is not None:
                _mend(known, artifact)
            return known, False
        source, model_id = self._placed(artifact, files)
        tags = {FILES_TAG: files.to_json(), _CONTENT: files.content, _WHO: somebody()}
        with alone(self._server):
            if (known := self._of_content(name, files.content)) is not None:
                return known, False
            self._named(name)
            made = self._ask(
                lambda: self._client.create_model_version(
                    name, source, run_id=run, tags=tags, await_creation_for=0, model_id=model_id
                )
            )
        first = self._of_content(name, files.content) if not self.atomic else None
        if first is not None and first.number < int(made.version):
            # a server lets two of us register the same bytes at once: the first number stays
            self._ask(lambda: self._client.delete_model_version(name, str(made.version)))
            return first, False
        return _version(made), True

    def versions(self, name: str) -> tuple[Version, ...]:
        """Every version, the newest first."""
        self._model(name)
        return tuple(_version(found) for found in self._search(f"name='{name}'"))

    def version(self, name: str, number: int) -> Version:
        """One of them."""
        self._model(name)
        found = self._search(f"name='{name}' and version_number={number}")
        if not found:
            numbers = [str(version.number) for version in self.versions(name)]
            raise InputError(f"'{name}' has no version {number}", f"it has {', '.join(numbers) or 'none'}")
        return _version(found[0])

    def aliases(self, name: str) -> Mapping[str, int]:
        """Which version each alias points to."""
        return {alias: int(number) for alias, number in self._model(name).aliases.items()}

    def file(self, version: Version) -> Path:
        """Its model file on this machine, checked."""
        return registered.fetch(self._server, version.native)

    def entries(self, name: str) -> Mapping[int, str]:
        """The record of moves, by number."""
        found = {key.removeprefix(_ENTRY): value for key, value in self._tags(name, _ENTRY)}
        return {int(number): found[number] for number in sorted(found) if number.isdecimal()}

    def evidence(self, name: str, checksum: str) -> str | None:
        """The text of the evidence that a move rested on."""
        pieces = sorted(self._tags(name, f"{_EVIDENCE}{checksum[:32]}."))
        return "".join(value for _, value in pieces) or None

    def move(self, name: str, alias: str, expected: int | None, to: int, record: Record) -> None:
        """Move an alias if it still points where it is expected to, and write down the move."""
        pieces = [record.evidence[at : at + _PIECE] for at in range(0, len(record.evidence), _PIECE)]
        tags = {f"{_EVIDENCE}{record.checksum[:32]}.{at:03d}": piece for at, piece in enumerate(pieces)}
        tags[f"{_ENTRY}{record.number:06d}"] = record.text
        with alone(self._server):
            if self._server.database is not None:
                _moved_at_once(self._server.database, name, alias, expected, to, tags)
            else:
                self._moved_in_steps(name, alias, expected, to, tags)

    def _moved_in_steps(self, name: str, alias: str, expected: int | None, to: int, tags: Mapping[str, str]) -> None:
        """On a server: look, move, write down, look again."""
        model = self._model(name)
        if (now := model.aliases.get(alias)) != (None if expected is None else str(expected)) and now != expected:
            raise _elsewhere(name, alias, expected, now)
        if taken := sorted(key for key in tags if key.startswith(_ENTRY) and key in model.tags):
            raise AliasMoved(
                f"'{name}': somebody else wrote {taken[0]} meanwhile", "look at its history, and try again"
            )
        self._ask(lambda: self._client.set_registered_model_alias(name, alias, str(to)))
        for key, value in tags.items():
            self._ask(partial(self._client.set_registered_model_tag, name, key, value))
        after = self._model(name)
        if int(after.aliases.get(alias, 0)) != to or any(after.tags.get(key) != value for key, value in tags.items()):
            raise AliasMoved(
                f"'{name}': somebody else moved '{alias}' at the same moment",
                f"see where it is and what is written down: throughline history {name}",
            )

    def _placed(self, artifact: Artifact, files: registered.Files) -> tuple[str, str | None]:
        """Put the files where the registry keeps them: where, and as which of MLflow's logged models."""
        if self._server.database is not None:
            place = self._server.database.parent / "mlruns" / "models" / files.place
            if not all(registered.holds(place / part, sha256) for part, sha256 in files.hashes.items()):
                with _draft(place.parent) as draft:
                    pack(artifact, files, draft)
                    for part in (*files.hashes, "MLmodel"):
                        to_disk(draft / part)  # before the database names them
                    _into_place(draft, place)
            return str(place), None
        with _draft(None) as draft:
            pack(artifact, files, draft)
            logged = self._ask(lambda: self._client.create_logged_model("0", name=artifact.path.stem))
            self._ask(lambda: self._client.log_model_artifacts(logged.model_id, str(draft)))
            self._ask(lambda: self._client.finalize_logged_model(logged.model_id, "READY"))
        return str(logged.artifact_location), str(logged.model_id)

    def _named(self, name: str) -> None:
        if name in self._named_before:
            return
        try:
            self._ask(lambda: self._client.create_registered_model(name))
        except InputError as error:
            if "already exists" not in error.problem:
                raise
        self._named_before.add(name)

    def _model(self, name: str) -> Any:
        if "'" in name:
            checked_name(name)
        found = self._ask(lambda: self._client.search_registered_models(f"name='{name}'", max_results=1))
        if found:
            return found[0]
        names = [model.name for model in self._ask(lambda: self._client.search_registered_models(max_results=1000))]
        raise InputError(
            f"{self} has no model '{name}'", nearest(name, names) if names else "throughline register FILE NAME"
        )

    def _tags(self, name: str, prefix: str) -> list[tuple[str, str]]:
        return [(key, value) for key, value in self._model(name).tags.items() if key.startswith(prefix)]

    def _of_content(self, name: str, content: str) -> Version | None:
        """The version of these bytes; asked of the database itself, which is ten times as quick as through MLflow."""
        if self._server.database is None:
            found = self._search(f"name='{name}' and tags.`{_CONTENT}`='{content}'")
            return _version(found[-1]) if found else None
        with _opened(self._server.database) as handle:
            row = handle.execute(
                "SELECT min(version) FROM model_version_tags JOIN model_versions USING (workspace, name, version) "
                "WHERE workspace=? AND name=? AND key=? AND value=? AND current_stage<>?",
                (WORKSPACE, name, _CONTENT, content, DELETED),
            ).fetchone()
        return None if row[0] is None else self.version(name, row[0])

    def _search(self, what: str) -> list[Any]:
        """Every version that fits, the newest first."""
        found: list[Any] = []
        token = None
        while True:
            search = partial(self._client.search_model_versions, what, max_results=1000)
            page = self._ask(partial(search, order_by=["version_number DESC"], page_token=token))
            found += page
            if not (token := page.token):
                return found

    def _ask(self, question: Callable[[], Any]) -> Any:
        return ask(self._server, question)


def _version(native: Any) -> Version:
    files = registered.files_of(native)
    return Version(
        native.name,
        int(native.version),
        files.sha256 if files else "",
        files.content if files else "",
        native.creation_timestamp / 1000,
        native.tags.get(_WHO, ""),
        native.run_id or None,
        native,
    )


def _mend(version: Version, artifact: Artifact) -> None:
    """Put back what somebody changed or took away of a version's files, from the same bytes."""
    files, folder = registered.files_of(version.native), Path(version.native.source)
    if files is None or not folder.is_dir():
        return
    for name, sha256 in files.hashes.items():
        if not registered.holds(folder / name, sha256):
            with whole_file(folder / name) as draft:
                shutil.copyfile(artifact.path if name == files.model else artifact.path.with_name(name), draft)


def _moved_at_once(
    database: Path, name: str, alias: str, expected: int | None, to: int, tags: Mapping[str, str]
) -> None:
    """In one transaction of MLflow's own tables: whoever else writes there comes before it or after it."""
    where = (WORKSPACE, name, alias)
    with _opened(database) as handle:
        handle.execute("BEGIN IMMEDIATE")
        row = handle.execute(
            "SELECT version FROM registered_model_aliases WHERE workspace=? AND name=? AND alias=?", where
        ).fetchone()
        now = None if row is None else int(row[0])
        if now != expected:
            raise _elsewhere(name, alias, expected, now)
        handle.execute(
            "INSERT INTO registered_model_aliases (workspace, name, alias, version) VALUES (?, ?, ?, ?) "
            "ON CONFLICT (workspace, name, alias) DO UPDATE SET version=excluded.version",
            (*where, to),
        )
        for key, value in tags.items():
            clause = "OR IGNORE " if key.startswith(_EVIDENCE) else ""  # the same file may have been shown before
            try:
                handle.execute(
                    f"INSERT {clause}INTO registered_model_tags (workspace, name, key, value) VALUES (?, ?, ?, ?)",
                    (WORKSPACE, name, key, value),
                )
            except sqlite3.IntegrityError:
                raise AliasMoved(
                    f"'{name}': somebody else wrote down a move meanwhile", f"look at it: throughline history {name}"
                ) from None
        handle.execute("COMMIT")


@contextmanager
def _opened(database: Path) -> Iterator[sqlite3.Connection]:
    """The database itself, for the two things that MLflow's own calls do not offer; what is not committed is undone."""
    try:
        with closing(sqlite3.connect(database, timeout=60, isolation_level=None)) as handle:
            yield handle
    except sqlite3.Error as error:
        raise Unavailable(
            f"{database}: MLflow's tables cannot be used: {error}", "see what keeps the database, and try again"
        ) from None


def _elsewhere(name: str, alias: str, expected: int | None, now: int | str | None) -> AliasMoved:
    was = f"version {expected}" if expected is not None else "nothing"
    return AliasMoved(
        f"'{name}': somebody moved '{alias}' meanwhile, from {was} to {f'version {now}' if now else 'nothing'}",
        f"compare with what is there now: throughline history {name} tells what happened",
    )


@contextmanager
def _draft(folder: Path | None) -> Iterator[Path]:
    """An empty folder, in another or among the system's temporary ones; what is left of it at the end is removed."""
    if folder is not None:
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".draft-", dir=folder, ignore_cleanup_errors=True) as draft:
        yield Path(draft)


def _into_place(draft: Path, place: Path) -> None:
    """Give a folder its name; one that is there already has the same content, or is made whole again."""
    os.chmod(draft, 0o755)
    try:
        os.rename(draft, place)
    except OSError:
        with writing(place):
            for path in draft.iterdir():
                os.replace(path, place / path.name)
        return
    draft.mkdir()  # for who removes it


PLUGIN = Plugin(
    make=MlflowStore,
    summary="MLflow's registry: a file in the project folder, or a server",
    needs=("mlflow", "sqlalchemy", "alembic"),
    extra="train",
)
