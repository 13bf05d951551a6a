"""A recipe in which some values are ranges: what is fixed in it, and what there is to choose from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from throughline.contracts.errors import InputError
from throughline.data.bounded import read_yaml
from throughline.training.space import Dimension, dimension

_OWN: Final = ("trainer", "data", "seed", "name")
"""What every recipe has, and nobody searches: a path may hold what looks like a choice."""


def ranges_of(recipe: Path | None, changes: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Dimension]]:
    """The fixed changes, and every range by name; a change stands above what the file says.

    Args:
        recipe: the file; None where the changes say everything.
        changes: values or ranges by name; None is one that was not given.
    """
    if recipe is not None and not recipe.exists():
        raise InputError(f"{recipe}: there is no such recipe", "give a YAML file, or --trainer and --data")
    written = read_yaml(recipe) if recipe is not None else {}
    told = {name: (one.value, f"{recipe}:{one.line}: {name}") for name, one in written.items()}
    told |= {name: (value, f"--set {name}") for name, value in changes.items() if value is not None}
    found = {name: _read(value, who) for name, (value, who) in told.items() if name not in _OWN}
    fixed = {name: value for name, value in changes.items() if value is not None and found.get(name) is None}
    return fixed, {name: one for name, one in found.items() if one is not None}


def _read(value: object, who: str) -> Dimension | None:
    try:
        return dimension(value) if isinstance(value, str) else None
    except InputError as error:
        raise InputError(f"{who}: {error.problem}", error.fix) from None
