"""A family of plug-ins: found by file name, opened lazily, able to say how to install what it lacks.

The members of a family are the modules of its package: the file's name is the
plug-in's name, and dropping the file in is all it takes. A package installed
from elsewhere joins through an entry point in the group ``throughline.<family>``.
Every member ends in one ``PLUGIN = Plugin(...)`` line.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from throughline.contracts.errors import InputError, MissingExtra, nearest


@dataclass(frozen=True, slots=True)
class Plugin:
    """What a member says of itself.

    Attributes:
        make: builds the member; heavy imports happen inside it.
        summary: one line for people.
        needs: the packages it imports, by import name.
        extra: which extra of Throughline brings them; None where the core install does.
        facts: what its family wants to know without opening it (a backend's formats, say).
    """

    make: Callable[..., Any]
    summary: str
    needs: tuple[str, ...] = ()
    extra: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    def missing(self) -> str | None:
        """The first package it needs that is not installed here."""
        return next((name for name in self.needs if not _installed(name)), None)


@dataclass(frozen=True, slots=True)
class Family:
    """The plug-ins of one kind, by name.

    Attributes:
        kind: what one member is called ("backend").
        package: the package whose modules are the members.
        called: what it is called in entry points, where that is not the package's last name.
    """

    kind: str
    package: str
    called: str = ""

    def names(self) -> tuple[str, ...]:
        """Every member, in-tree and installed from elsewhere, sorted."""
        return tuple(sorted({*_modules(self.package), *_entry_points(self.group)}))

    @property
    def group(self) -> str:
        """The entry-point group that packages elsewhere use to join."""
        return "throughline." + (self.called or self.package.rpartition(".")[2])

    def get(self, name: str) -> Plugin:
        """The member's own description, whether or not what it needs is installed."""
        if name in _modules(self.package):
            member = getattr(importlib.import_module(f"{self.package}.{name}"), "PLUGIN", None)
        elif name in _entry_points(self.group):
            member = _entry_points(self.group)[name].load()
        else:
            raise InputError(f"there is no {self.kind} '{name}'", nearest(name, self.names()))
        if not isinstance(member, Plugin):
            raise InputError(
                f"the {self.kind} '{name}' does not describe itself", "end its file in one line: PLUGIN = Plugin(...)"
            )
        return member

    def make(self, name: str, *args: Any, **options: Any) -> Any:
        """Open a member, or say which extra brings what it lacks."""
        plugin = self.get(name)
        if (lacking := plugin.missing()) is not None:
            raise MissingExtra(lacking, f"{self.kind} '{name}'", plugin.extra or "all")
        return plugin.make(*args, **options)


def _installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


@cache
def _modules(package: str) -> tuple[str, ...]:
    paths = importlib.import_module(package).__path__
    return tuple(module.name for module in pkgutil.iter_modules(paths) if not module.name.startswith("_"))


@cache
def _entry_points(group: str) -> dict[str, importlib.metadata.EntryPoint]:
    return {point.name: point for point in importlib.metadata.entry_points(group=group)}
