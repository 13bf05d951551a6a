"""Text, YAML and JSON from files nobody vouches for: read up to a limit, and never more than data.

A few lines of YAML can name a Python object to build, or grow to gigabytes once its
aliases are followed. So what a data set has no use for is refused before it is read.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from throughline.contracts.errors import InputError

MOST_JSON = 1 << 30

_MOST_YAML, _MOST_SCALAR, _MOST_DEPTH = 1 << 20, 4096, 16


@dataclass(frozen=True, slots=True)
class Written:
    """A value of a YAML file, as it is written, and its line: text, a list of these, or names and these."""

    value: str | list[Written] | dict[str, Written]
    line: int

    @property
    def text(self) -> str | None:
        """What stands there, where it is one plain value; None where it says nothing (``~``, or no text)."""
        return self.value if isinstance(self.value, str) and self.value not in ("", "~", "null", "None") else None


def read_text(path: Path, most: int) -> str:
    """A text file in UTF-8 of at most so many bytes."""
    try:
        size = path.stat().st_size
        if size > most:
            raise InputError(f"{path}: it has {size:,} bytes; at most {most:,} are read", "check what this file is")
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: it is no text in UTF-8 (byte {error.start:,})", "save it as UTF-8") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}", "check it") from None


def read_yaml(path: Path) -> Mapping[str, Written]:
    """The mapping that a YAML file is, as written: `no` stays a word and is not taken for False."""
    import yaml

    text = read_text(path, _MOST_YAML)
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        depth = 0
        for event in yaml.parse(text, Loader=loader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            _refuse_event(path, event, depth)
        node = yaml.compose(text, Loader=loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        reason = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise InputError(f"{path}:{mark.line + 1 if mark else 1}: it is no YAML: {reason}", "mend this line") from None
    if not isinstance(node, yaml.MappingNode):
        raise InputError(f"{path}: it is no mapping of names to values", "see docs/data.md for what it should hold")
    written = _written(path, node).value
    assert isinstance(written, dict)
    return written


def _refuse_event(path: Path, event: Any, depth: int) -> None:
    line = event.start_mark.line + 1 if event.start_mark else 1
    tag, value, anchor = (getattr(event, name, None) for name in ("tag", "value", "anchor"))
    if tag and tag not in ("!", *(f"tag:yaml.org,2002:{kind}" for kind in ("str", "int", "float", "seq", "map"))):
        raise InputError(f"{path}:{line}: the tag '{tag[:80]}' asks for more than data", "remove it")
    if anchor is not None:
        raise InputError(f"{path}:{line}: anchors and aliases ('{anchor[:80]}') are not read", "write it out")
    if value is not None and len(value) > _MOST_SCALAR:
        raise InputError(f"{path}:{line}: a value of {len(value):,} characters", f"at most {_MOST_SCALAR:,} are read")
    if depth > _MOST_DEPTH:
        raise InputError(f"{path}:{line}: nested deeper than {_MOST_DEPTH}", "check what this file is")


def _written(path: Path, node: Any) -> Written:
    line = node.start_mark.line + 1
    if isinstance(node.value, str):
        return Written(node.value, line)
    if node.id == "sequence":
        return Written([_written(path, item) for item in node.value], line)
    pairs: dict[str, Written] = {}
    for key, value in node.value:
        at = key.start_mark.line + 1
        if not isinstance(key.value, str):
            raise InputError(f"{path}:{at}: a name that is a collection", "give it a plain name")
        if key.value in pairs:
            raise InputError(f"{path}:{at}: '{key.value}' is there twice", "keep one of them")
        pairs[key.value] = _written(path, value)
    return Written(pairs, line)


def read_json(path: Path) -> Any:
    """What a JSON file holds; names that are there twice and numbers that are none are refused."""
    text = read_text(path, MOST_JSON)
    try:
        return json.loads(text, object_pairs_hook=once, parse_constant=no_number)
    except json.JSONDecodeError as error:
        raise InputError(f"{path}:{error.lineno}: it is no JSON: {error.msg}", "copy it again, or mend it") from None
    except (ValueError, RecursionError) as error:
        reason = "nested too deep" if isinstance(error, RecursionError) else str(error).partition(";")[0]
        raise InputError(f"{path}: {reason}", "mend it, or check what this file is") from None


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of a JSON file, in which no name may be there twice."""
    kept = dict(pairs)
    if len(kept) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"'{twice[:80]}' is there twice in one object")
    return kept


def no_number(text: str) -> None:
    """Refuse what JSON does not know and Python's reader takes: NaN, and endless numbers."""
    raise ValueError(f"it holds {text}, which is no number")


def inside(root: Path, base: Path, written: str) -> Path | None:
    """The place that a text in a file names, seen from ``base``; None where it leads out of ``root``.

    Links are followed as they are: who set them up knows where they lead.
    """
    if "\0" in written:
        return None
    place = Path(os.path.normpath(base / written))
    return place if place.is_relative_to(os.path.normpath(root)) else None
