"""A registered version straight from MLflow's embedded database: a name is looked up in milliseconds.

Importing MLflow takes seconds, which nobody should wait for who only wants to run ``models:/street@champion``. What is
not found here, or not understood, is asked of MLflow itself, which also knows how to say what is wrong.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

WORKSPACE: Final = "default"
DELETED: Final = "Deleted_Internal"
"""The stage of a version that somebody deleted: its row and its tags stay."""


@dataclass(frozen=True, slots=True)
class Row:
    """As much of a version as it takes to fetch it.

    Attributes:
        name: the model's.
        version: its number.
        tags: what was said of it.
        place: where its files lie.
    """

    name: str
    version: int
    tags: Mapping[str, str]
    place: str


def look_up(database: Path, name: str, version: int | None, alias: str | None) -> Row | None:
    """The version of this number, or that an alias points to, or the newest; None where MLflow has to be asked."""
    if not database.is_file():
        return None
    try:
        with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True, timeout=20)) as handle:
            handle.execute("BEGIN")  # all of it as it was at one moment
            if alias is not None:
                query = "SELECT version FROM registered_model_aliases WHERE workspace=? AND name=? AND alias=?"
                found = handle.execute(query, (WORKSPACE, name, alias)).fetchone()
            elif version is None:
                query = "SELECT max(version) FROM model_versions WHERE workspace=? AND name=? AND current_stage<>?"
                found = handle.execute(query, (WORKSPACE, name, DELETED)).fetchone()
            else:
                found = (version,)
            if found is None or found[0] is None:
                return None
            where = (WORKSPACE, name, int(found[0]))
            query = "SELECT coalesce(storage_location, source) FROM model_versions"
            query += " WHERE workspace=? AND name=? AND version=? AND current_stage<>?"
            place = handle.execute(query, (*where, DELETED)).fetchone()
            query = "SELECT key, value FROM model_version_tags WHERE workspace=? AND name=? AND version=?"
            tags = dict(handle.execute(query, where).fetchall())
    except (sqlite3.Error, ValueError):
        return None
    return Row(name, where[2], tags, str(place[0])) if place and place[0] else None
