"""Settings, and who set them: default < profile < file < environment < flag.

One frozen class holds every setting; ``Config()`` is the defaults, and each
layer above replaces some values and signs for them in ``origin``. A value that
nobody can mean (an unknown key, a wrong type, a number out of range) is an
error where it stands, never a silent default.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, cast

from throughline import hardware
from throughline.contracts.errors import SettingsError, nearest
from throughline.files import whole_file

_PROFILES = Path(__file__).with_name("profiles")
_PREFIX = "THROUGHLINE_"
_POINTERS = ("CONFIG", "PROFILE")  # where to look for settings; not settings themselves
_FRAMES_IN_FLIGHT = 8
_MOST_FRAMES = 16


def setting(
    default: Any,
    meaning: str,
    allowed: str,
    low: float = 0,
    high: float = float("inf"),
    *,
    choices: tuple[str, ...] = (),
    pattern: str = "",
) -> Any:
    """A field of Config, or of any other frozen class of things that can be told.

    Args:
        default: what it is when nobody says. Its type is the field's: a number, text, yes or no, a tuple of one of
            these; None where it may be left open, and then the annotation says the type.
        meaning: what it means, in one line.
        allowed: which values it takes, for people.
        low: the least number.
        high: the largest number.
        choices: the words it takes, where these are few.
        pattern: what text has to match as a whole.
    """
    allowed = allowed or ", ".join(choices)
    told = {"meaning": meaning, "allowed": allowed, "low": low, "high": high, "choices": choices, "pattern": pattern}
    return field(default=default, metadata=told)


@dataclass(frozen=True)
class Config:
    """Every setting of Throughline, with who set it in ``origin``. Two are equal when their values are."""

    device: str = setting("auto", "where models run", "auto, cpu, gpu or gpu:N", pattern=r"auto|cpu|gpu(:\d{1,3})?")
    backend: str = setting("auto", "which runtime runs them", "auto or a backend's name", pattern=r"\w{1,64}")
    threads: int = setting(0, "CPU threads a model may use; 0 is every core of this process", "0 to 1024", 0, 1024)
    batch: int = setting(0, "the most frames in one call of a model; 0 lets the machine decide", "0 to 1024", 0, 1024)
    half: bool = setting(False, "prefer FP16 where the machine is faster with it", "true or false")
    imgsz: int = setting(640, "the model's longer input side, where the model leaves it open", "32 to 16384", 32, 16384)
    conf: float = setting(0.25, "the least confidence that counts as a detection", "0 to 1", 0, 1)
    iou: float = setting(0.7, "two boxes that overlap more are one object", "0 to 1", 0, 1)
    max_det: int = setting(300, "the most detections of one frame", "1 to 100000", 1, 100_000)
    origin: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def auto_detect(cls) -> Self:
        """The profile that suits this machine."""
        return cls.from_profile(_profile_for(hardware.detect()))

    @classmethod
    def from_profile(cls, name: str) -> Self:
        """A profile by name: cpu, small_gpu, big_gpu or debug."""
        if name not in profiles():
            raise SettingsError(f"there is no profile '{name}'", nearest(name, profiles()))
        return cls().updated(tomllib.loads((_PROFILES / f"{name}.toml").read_text("utf-8")), f"profile {name}")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """A TOML or JSON file over the profile it names, if it names one."""
        file = Path(path)
        values = _read(file)
        profile = values.pop("profile", None)
        if profile is not None and not isinstance(profile, str):
            raise SettingsError(
                f"{file}: profile is {profile!r}", f"give the name of a profile: {', '.join(profiles())}"
            )
        start = cls() if profile is None else cls.from_profile(profile)
        return start.updated(values, str(file))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write every value to a TOML or JSON file, whole or not at all."""
        file = Path(path)
        values = self.values()
        if file.suffix == ".json":
            text = json.dumps(values, indent=2) + "\n"
        elif file.suffix == ".toml":
            import tomli_w

            text = tomli_w.dumps(values)
        else:
            raise SettingsError(f"{file}: settings are kept as TOML or JSON", "end the name in .toml or .json")
        with whole_file(file) as draft:
            draft.write_text(text, "utf-8")

    def validate(self) -> Self:
        """Check every value, and return the same Config; raises SettingsError at the first that is wrong."""
        for spec in _fields().values():
            checked(spec, getattr(self, spec.name), self.origin.get(spec.name, "Config"))
        return self

    def values(self) -> dict[str, Any]:
        """Every setting by name."""
        return {name: getattr(self, name) for name in _fields()}

    def updated(self, values: Mapping[str, Any], who: str) -> Self:
        """The same settings with these on top, signed by ``who``; None values are left as they were."""
        given = {name: value for name, value in values.items() if value is not None}
        for name in given:
            if name not in _fields():
                raise SettingsError(f"{who}: there is no setting '{name}'", nearest(name, _fields()))
        values = {name: checked(_fields()[name], value, who) for name, value in given.items()}
        return dataclasses.replace(self, **values, origin={**self.origin, **dict.fromkeys(values, who)})

    def get_optimal_settings_for_resolution(self, width: int, height: int) -> ResolutionSettings:
        """The batch size and input scale that suit frames of this size on this machine.

        The scale brings the longer side to ``imgsz`` and never enlarges. The batch is
        the largest power of two, up to ``batch`` (16 where that is open), whose frames fit in a quarter of the
        memory available now, with the frames that wait before and after the model.
        """
        if min(width, height) < 1 or max(width, height) > 65_536:
            raise SettingsError(f"a frame of {width}x{height} pixels", "each side is 1 to 65536 pixels")
        scale = min(1.0, self.imgsz / max(width, height))
        frame = width * height * 3 * _FRAMES_IN_FLIGHT
        tensor = int(width * scale) * int(height * scale) * 3 * 4 * 4
        fits = max(1, (hardware.memory_available() // 4 - frame) // (frame // _FRAMES_IN_FLIGHT + tensor))
        batch = 1
        while batch * 2 <= min(self.batch or _MOST_FRAMES, fits):
            batch *= 2
        return ResolutionSettings(width, height, batch, scale)


@dataclass(frozen=True, slots=True)
class ResolutionSettings:
    """How to feed frames of one size to a model."""

    width: int
    height: int
    batch: int
    scale: float


def resolve(
    *,
    profile: str | None = None,
    config: str | os.PathLike[str] | None = None,
    flags: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Config:
    """Every layer over the one below it, each value signed by who set it.

    Without ``config`` the environment's THROUGHLINE_CONFIG is read, or a
    ``throughline.toml`` in the working folder. The profile is the flag's, the
    environment's, the file's, or the one that suits this machine.
    """
    outside = os.environ if environment is None else environment
    from_environment = {key.removeprefix(_PREFIX): text for key, text in outside.items() if key.startswith(_PREFIX)}
    file = (
        config or from_environment.get("CONFIG") or ("throughline.toml" if Path("throughline.toml").is_file() else None)
    )
    values = _read(Path(file)) if file else {}
    named_in_file = values.pop("profile", None)
    named = profile or from_environment.get("PROFILE") or named_in_file
    resolved = Config.from_profile(str(named)) if named else Config.auto_detect()
    if file:
        resolved = resolved.updated(values, str(file))
    for key in sorted(set(from_environment) - set(_POINTERS)):
        name, who = key.lower(), _PREFIX + key
        if name not in _fields():
            known = [_PREFIX + known.upper() for known in (*_fields(), *_POINTERS)]
            raise SettingsError(f"the environment sets {who}, and there is no such setting", nearest(who, known))
        resolved = resolved.updated({name: from_text(_fields()[name], from_environment[key], who)}, who)
    return resolved.updated(flags or {}, "flag")


def profiles() -> tuple[str, ...]:
    """The names of the profiles."""
    return tuple(sorted(path.stem for path in _PROFILES.glob("*.toml")))


def meaning(name: str) -> str:
    """What a setting means, in one line."""
    return cast(str, _fields()[name].metadata["meaning"])


def _fields() -> dict[str, dataclasses.Field[Any]]:
    return told_of(Config)


def _profile_for(machine: hardware.Hardware) -> str:
    if not machine.gpus:
        return "cpu"
    return "big_gpu" if machine.gpus[0].memory_mb >= 12_000 else "small_gpu"


def _read(file: Path) -> dict[str, Any]:
    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = "there is no such file" if isinstance(error, FileNotFoundError) else str(error)
        raise SettingsError(f"{file}: cannot read settings: {reason}", "give a TOML or JSON file") from None
    try:
        values = json.loads(text) if file.suffix == ".json" else tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        kind = "JSON" if file.suffix == ".json" else "TOML"
        raise SettingsError(f"{file}: not {kind}: {error}", "correct the file at that place") from None
    if not isinstance(values, dict):
        raise SettingsError(f"{file}: holds {type(values).__name__}", "settings are name = value pairs")
    return values


def told_of(kind: type[Any]) -> dict[str, dataclasses.Field[Any]]:
    """The fields of a class that were made with ``setting``, by name."""
    return {spec.name: spec for spec in dataclasses.fields(kind) if "meaning" in spec.metadata}


def from_text(spec: dataclasses.Field[Any], text: str, who: str) -> Any:
    """A value that was written as text (a flag, a line of a file, the environment), as its field's type; unchecked."""
    if spec.default is None and text.strip().lower() in ("", "none", "null", "~"):
        return None
    if isinstance(spec.default, tuple):
        return tuple(_one_from_text(spec, part.strip(), who) for part in text.split(",") if part.strip())
    return _one_from_text(spec, text, who)


def checked(spec: dataclasses.Field[Any], value: Any, who: str) -> Any:
    """The value, if its field takes it; a SettingsError signed by ``who`` says what is allowed if not."""
    if value is None and spec.default is None:
        return None
    if isinstance(spec.default, tuple):
        if not isinstance(value, tuple | list):
            raise _wrong(spec, value, who)
        return tuple(_one_checked(spec, one, who) for one in value)
    return _one_checked(spec, value, who)


def _one_from_text(spec: dataclasses.Field[Any], text: str, who: str) -> Any:
    kind = _kind(spec)
    if kind is bool:
        return _WORDS.get(text.strip().lower(), text)
    try:
        return kind(text)
    except ValueError:
        raise _wrong(spec, text, who) from None


def _one_checked(spec: dataclasses.Field[Any], value: Any, who: str) -> Any:
    kind = _kind(spec)
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        raise _wrong(spec, value, who)
    if kind in {int, float} and not spec.metadata["low"] <= value <= spec.metadata["high"]:
        raise _wrong(spec, value, who)
    if kind is str and (choices := spec.metadata["choices"]) and value not in choices:
        raise SettingsError(f"{who}: {spec.name} is {value!r}", nearest(value, choices))
    if kind is str and (pattern := spec.metadata["pattern"]) and not re.fullmatch(pattern, value):
        raise _wrong(spec, value, who)
    return value


def _kind(spec: dataclasses.Field[Any]) -> type[Any]:
    """The type of a field's value, or of each of its values."""
    default = spec.default
    if isinstance(default, tuple) and default:
        default = default[0]
    if default is None or isinstance(default, tuple):
        said = str(spec.type).removeprefix("tuple[")
        return next((kind for kind in (int, float, bool) if said.startswith(kind.__name__)), str)
    return type(default)


def _wrong(spec: dataclasses.Field[Any], value: Any, who: str) -> SettingsError:
    several = isinstance(spec.default, tuple)
    names = _SEVERAL if several else _ONE
    said = f"{spec.name} ({spec.metadata['meaning']}) is {names[_kind(spec)]}: {spec.metadata['allowed']}"
    return SettingsError(f"{who}: {spec.name} is {value!r}", said)


_WORDS = {
    "1": True,
    "true": True,
    "yes": True,
    "on": True,
    "0": False,
    "false": False,
    "no": False,
    "off": False,
}
_ONE: Mapping[type[Any], str] = {int: "a whole number", float: "a number", bool: "a yes or no", str: "text"}
_SEVERAL: Mapping[type[Any], str] = {int: "whole numbers", float: "numbers", bool: "yes or no each", str: "texts"}
