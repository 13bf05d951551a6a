"""What a training run is told, checked whole before anything heavy is loaded, and enough to do it again.

A recipe is flat: ``trainer``, ``data``, ``seed`` and ``name``, and beside them whatever its trainer can be told. What
nobody can mean (a name that the trainer does not know, a word where a number belongs, a number out of range) is an
error that says where it stands.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, final

from throughline.contracts.errors import InputError, SettingsError, nearest
from throughline.data.bounded import Written, read_yaml
from throughline.files import whole_file
from throughline.settings import checked, from_text, setting, told_of
from throughline.training.trainers import TRAINERS

_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})
_NAME: Final = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}"


@final
@dataclass(frozen=True, slots=True)
class Recipe:
    """A training run, before it has run.

    Attributes:
        trainer: who carries it out.
        data: what it learns from, as ``open_data`` or ``open_table`` takes it.
        options: the trainer's own frozen dataclass, complete.
        seed: from which everything random follows.
        name: of the run and of what comes of it.
    """

    trainer: str
    data: str
    options: Any
    seed: int = 0
    name: str = ""

    def values(self) -> dict[str, Any]:
        """All of it, flat and complete, as plain values: what a file of it holds and a log of runs is told."""
        own = {"trainer": self.trainer, "data": self.data, "seed": self.seed, "name": self.name}
        told = {name: getattr(self.options, name) for name in told_of(type(self.options))}
        return own | {name: list(value) if isinstance(value, tuple) else value for name, value in told.items()}

    def changed(self, changes: Mapping[str, Any], who: str = "the change") -> Recipe:
        """The same recipe with other values, checked as those of a file are; text is read as each value's type."""
        return _recipe({name: (value, who) for name, value in (self.values() | dict(changes)).items()}, who)

    def save(self, path: Path) -> None:
        """Write it as YAML, complete, whole or not at all: ``read_recipe`` gives it back."""
        import yaml

        text = yaml.safe_dump(self.values(), sort_keys=False, allow_unicode=True, width=1000)
        with whole_file(path) as draft:
            draft.write_text(text, "utf-8")


def read_recipe(path: str | Path | None, changes: Mapping[str, Any] = _NOTHING) -> Recipe:
    """A recipe from a YAML file, from changes to it (flags), or from both; the changes win.

    Args:
        path: the file; None where the changes say everything.
        changes: values by name, of their type or as text; None is one that was not given.

    Raises:
        SettingsError: naming the file and the key that is wrong, and what is allowed there.
    """
    told: dict[str, tuple[Any, str]] = {}
    if path is not None:
        file = Path(path)
        if not file.exists():
            raise InputError(f"{file}: there is no such recipe", "give a YAML file, or --trainer and --data")
        told = {name: (_plain(written, name, file), f"{file}:{written.line}") for name, written in _read(file).items()}
    for name, value in changes.items():
        if value is not None:
            told[name] = value, f"--{name}"
    begins = Path(path).stem if path is not None else ""
    if "name" not in told and begins != "recipe" and re.fullmatch(_NAME, begins):
        told["name"] = begins, str(path)
    return _recipe(told, "the recipe" if path is None else str(path))


def options_of(trainer: str) -> type[Any]:
    """The class of what a trainer can be told."""
    options = TRAINERS.get(trainer).facts.get("options")
    if not isinstance(options, type) or not dataclasses.is_dataclass(options):
        raise InputError(
            f"the trainer '{trainer}' does not say what it can be told", 'give its plug-in facts["options"]'
        )
    return options


@dataclass(frozen=True, slots=True)
class _Own:
    """What every recipe has."""

    trainer: str = setting("", "who carries it out", "the name of a trainer")
    data: str = setting("", "what it learns from", "a path, or whatever else the trainer takes", pattern=r"(?s).+")
    seed: int = setting(0, "from which everything random follows", "0 to 4294967295", 0, 2**32 - 1)
    name: str = setting(
        "", "what the run is called", "up to 64 letters, digits, '.', '_' and '-'", pattern=f"({_NAME})?"
    )


def _recipe(told: Mapping[str, tuple[Any, str]], where: str) -> Recipe:
    own = told_of(_Own)
    for name in ("trainer", "data"):
        if name not in told:
            fix = f"give --{name} or write `{name}: ...`"
            fix += f"; trainers: {', '.join(TRAINERS.names())}" if name == "trainer" else ""
            raise SettingsError(f"{where}: it has no {name}", fix)
    trainer = _value(own["trainer"], *told["trainer"])
    if trainer not in TRAINERS.names():
        raise SettingsError(
            f"{told['trainer'][1]}: there is no trainer '{trainer}'", nearest(trainer, TRAINERS.names())
        )
    options = options_of(trainer)
    known = own | told_of(options)
    values: dict[str, Any] = {}
    for name, (value, who) in told.items():
        if name not in known:
            raise SettingsError(f"{who}: the trainer '{trainer}' has no option '{name}'", nearest(name, known))
        values[name] = _value(known[name], value, who)
    try:
        made = options(**{name: value for name, value in values.items() if name not in own})
    except InputError as error:  # what only holds between several options
        raise SettingsError(f"{where}: {error.problem}", error.fix) from None
    named = {name: value for name, value in values.items() if name in own}
    return Recipe(options=made, **named | {"name": named.get("name") or trainer})


def _value(spec: dataclasses.Field[Any], value: Any, who: str) -> Any:
    if isinstance(value, Path):
        value = str(value)
    if isinstance(value, str):
        value = from_text(spec, value, who)
    elif isinstance(value, list | tuple):
        value = tuple(from_text(spec, one, who) if isinstance(one, str) else one for one in value)
        value = tuple(part for one in value for part in (one if isinstance(one, tuple) else (one,)))
    return checked(spec, value, who)


def _read(file: Path) -> Mapping[str, Written]:
    try:
        return read_yaml(file)
    except InputError as error:
        fix = "a recipe is `name: value` lines" if "mapping" in error.problem else error.fix
        raise SettingsError(error.problem, fix) from None


def _plain(written: Written, name: str, file: Path) -> Any:
    """Text, or a list of texts: a recipe is flat."""
    if isinstance(written.value, str):
        return written.value
    if isinstance(written.value, list) and all(isinstance(one.value, str) for one in written.value):
        return [one.value for one in written.value]
    raise SettingsError(
        f"{file}:{written.line}: {name} holds names and values of its own", "a recipe is flat: lift them"
    )
