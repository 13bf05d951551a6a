"""Models by their registered name: ``models:/name@alias``, ``models:/name/3`` or ``models:/name/latest``.

Such a name stands wherever a model file does. It leads to a file on this machine, checked against the hash that it was
registered with every time, with its passport beside it; whoever asks goes on with that file, so that an alias that is
moved meanwhile cannot change the model under a running job.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from throughline.contracts.errors import InputError
from throughline.models.mlflow_server import Server, ask, connect, require, server
from throughline.models.registered import fetch
from throughline.models.registry_file import look_up

_SCHEME: Final = "models:"
_DIGITS: Final = 9
"""A number of more digits is no version's: MLflow counts no further."""
_FORMS: Final = "write models:/NAME@ALIAS, models:/NAME/VERSION or models:/NAME/latest"


@dataclass(frozen=True, slots=True)
class Reference:
    """What a name refers to: a version by its number, or the one that an alias points to; neither means the newest."""

    name: str
    version: int | None = None
    alias: str | None = None

    def __str__(self) -> str:
        if self.alias is not None:
            return f"models:/{self.name}@{self.alias}"
        return f"models:/{self.name}/{'latest' if self.version is None else self.version}"


def is_reference(text: str | Path) -> bool:
    """Whether it is a registered name, and no file's."""
    return str(text).startswith(_SCHEME)


def parse(text: str | Path) -> Reference:
    """Read a registered name."""
    said = str(text)
    rest = said.removeprefix(_SCHEME).lstrip("/")
    if not is_reference(said) or not rest:
        raise InputError(f"{said!r} is no registered model", _FORMS)
    name, slash, last = rest.partition("/")
    if not slash:
        name, sign, alias = rest.rpartition("@")
        if not sign or not name or not alias:
            raise InputError(f"{said!r} does not say which version", _FORMS)
        return Reference(name, alias=alias)
    if last.isdecimal() and len(last) <= _DIGITS:
        return Reference(name, int(last))
    if last.lower() == "latest":
        return Reference(name)
    if re.fullmatch("(?i)none|staging|production|archived", last):
        raise InputError(f"{said!r}: stages are gone; aliases took their place", _FORMS)
    raise InputError(f"{said!r}: {last!r} is no version", _FORMS)


def resolved(model: str | Path) -> Path:
    """The file that a model's name leads to: the path itself, or where a registered model lies on this machine."""
    return local_path(model) if is_reference(model) else Path(model)


def local_path(reference: str | Path) -> Path:
    """Where a registered model lies on this machine, fetched and checked.

    Args:
        reference: ``models:/name@alias``, ``models:/name/3`` or ``models:/name/latest``.

    Raises:
        InputError: there is no such model, version or alias.
        ModelRefused: its bytes are not those that were registered, or opening it would run code.
    """
    here, wanted = server(), parse(reference)
    require(here)
    found = None if here.database is None else look_up(here.database, wanted.name, wanted.version, wanted.alias)
    return fetch(here, found or version_of(here, wanted))


def version_of(here: Server, reference: Reference) -> Any:
    """What MLflow knows of the version that a name refers to."""
    client = connect(here)
    if reference.version is not None:
        return ask(here, lambda: client.get_model_version(reference.name, str(reference.version)))
    if reference.alias is not None:
        return ask(here, lambda: client.get_model_version_by_alias(reference.name, reference.alias))
    newest = ask(
        here,
        lambda: client.search_model_versions(
            f"name='{_quoted(reference.name)}'", max_results=1, order_by=["version_number DESC"]
        ),
    )
    if not newest:
        raise InputError(f"{here} has no version of '{reference.name}'", "register one: throughline register FILE NAME")
    return newest[0]


def _quoted(name: str) -> str:
    if "'" in name:
        raise InputError(f"a registered name holds no quotation marks: {name}", _FORMS)
    return name
