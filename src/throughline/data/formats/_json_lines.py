"""On which line of a JSON file an entry of one of its lists stands; looked up only once something is wrong with one."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from throughline.contracts.errors import InputError
from throughline.data.bounded import MOST_JSON, read_text
from throughline.data.problems import Problems

_LISTS = ("images", "annotations", "categories")
_BETWEEN = re.compile(r"[\s,]*")
_WHERE = re.compile(r"(\w+)\[(\d+)\]")


@dataclass(slots=True, eq=False)
class JsonLines:
    """The lines of one file's entries; read at the first question."""

    file: Path
    _lists: dict[str, list[int]] | None = None

    def note(self, problems: Problems, kind: str, where: str, says: str, *, severe: bool = False) -> None:
        """Add what is wrong with one entry."""
        problems.add(kind, self.file, f"{where}: {says}", line=self.of(where), severe=severe)

    def of(self, where: str) -> int | None:
        """The line of an entry such as "annotations[17]"; None where the file is all one line."""
        if self._lists is None:
            self._lists = _read(self.file)
        found = _WHERE.match(where)
        lines = self._lists.get(found[1], []) if found else []
        return lines[int(found[2])] if found and int(found[2]) < len(lines) else None


def _read(file: Path) -> dict[str, list[int]]:
    try:
        text = read_text(file, MOST_JSON)
    except InputError:
        return {}  # it was there a moment ago
    if "\n" not in text.strip():
        return {}
    return {name: _lines(text, begins.end()) for name in _LISTS if (begins := re.search(rf'"{name}"\s*:\s*\[', text))}


def _lines(text: str, at: int) -> list[int]:
    """Where each value of the list that begins here begins."""
    decoder, lines = json.JSONDecoder(), []
    line, counted = 1, 0
    at = _skip(text, at)
    while at < len(text) and text[at] != "]":
        line += text.count("\n", counted, at)
        counted = at
        lines.append(line)
        try:
            _, at = decoder.raw_decode(text, at)
        except ValueError:
            break
        at = _skip(text, at)
    return lines


def _skip(text: str, at: int) -> int:
    found = _BETWEEN.match(text, at)
    return found.end() if found else at
