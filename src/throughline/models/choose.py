"""Which of a model's files to run: the fastest kind whose passport still holds on this machine.

A model is often there in several forms, exported one from the other. Choosing among
them must never change the answers: a sibling counts only when its passport holds here and
ties it to the model it stands for. Whatever is passed over is named, with the reason.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from throughline.contracts.errors import InputError, ThroughlineError, Unavailable
from throughline.models import passport as passports
from throughline.models.backends import BACKENDS, unusable
from throughline.models.formats import FORMATS, Description
from throughline.models.identify import identify
from throughline.models.references import resolved

_ESTIMATORS = ("skops", "xgboost", "lightgbm")
FASTEST_FIRST = ("tensorrt", "openvino", "onnx", "torchscript", "pt2", "safetensors", "checkpoint", *_ESTIMATORS)
_SOURCES_FIRST = ("onnx", "safetensors", "checkpoint", "openvino", "pt2", "torchscript", "tensorrt", *_ESTIMATORS)
_NATIVE = {"onnx": "onnxruntime", "openvino": "openvino", "torchscript": "torchscript", "tensorrt": "tensorrt"}
_NEEDS_FACTORY = ("safetensors", "checkpoint")


@dataclass(frozen=True, slots=True)
class PassedOver:
    """A file that was not chosen, and why."""

    path: Path
    reason: str

    def __str__(self) -> str:
        return f"{self.path.name} is passed over: {self.reason}"


@dataclass(frozen=True, slots=True)
class Choice:
    """The file to run, the backend for it, and the faster kinds that could not be taken."""

    path: Path
    backend: str
    passed_over: tuple[PassedOver, ...]

    def __str__(self) -> str:
        return "\n".join([*map(str, self.passed_over), f"{self.path.name} is chosen, on {self.backend}"])


def choose(model: str | Path, *, holds: Callable[[Path], str | None] = passports.holds) -> Choice:
    """The best form of a model.

    Args:
        model: a model file, a path without its suffix, or a folder that holds one model.
        holds: None when a file's passport holds on this machine, else the reason.

    Raises:
        InputError: there is no model there, or more than one.
        Unavailable: none of its files can be run here; the reasons are listed.
    """
    model = resolved(model)
    forms, broken = _forms(model)
    anchor = model if model in forms else min(forms, key=lambda path: _rank(forms[path], _SOURCES_FIRST))
    reasons = {path: None if path == anchor else holds(path) for path in forms}
    relatives = _relatives(anchor, [path for path, reason in reasons.items() if reason is None])
    passed = [*broken]
    for path in sorted(forms, key=lambda path: _rank(forms[path], FASTEST_FIRST)):
        backend = backend_for(forms[path])
        reason = reasons[path]
        if reason is None and path not in relatives:
            reason = f"its passport ties it to another model, or to another version, than {anchor.name}"
        if reason is None and (lacking := unusable(backend)) is not None:
            reason = lacking.problem
        if reason is None and path != anchor and forms[path].format in _NEEDS_FACTORY:
            reason = "a state dict needs the code that builds its network"
        if reason is None:
            return Choice(path, backend, tuple(passed))
        passed.append(PassedOver(path, reason))
    raise Unavailable(
        f"no form of {model} can be run here:\n  " + "\n  ".join(map(str, passed)),
        "name the file to run it with what it needs, or export the model again on this machine",
    )


def backend_for(description: Description) -> str:
    """The backend that a file's format is made for."""
    if description.format == "tensorrt" and "RTX" in description.kind:
        return "tensorrt_rtx"
    takers = (name for name in BACKENDS.names() if description.format in BACKENDS.get(name).facts["formats"])
    return _NATIVE.get(description.format) or next(takers)


def _forms(model: Path) -> tuple[dict[Path, Description], list[PassedOver]]:
    """Every form of one model, and the files named like forms that are none."""
    suffixes = {suffix for name in FORMATS.names() for suffix in FORMATS.make(name).suffixes}
    folder = model if model.is_dir() else model.parent
    found = sorted(path for path in folder.glob("*") if path.suffix.lower() in suffixes and path.is_file())
    if not model.is_dir():
        stem = model.stem if model.is_file() else model.name
        found = [path for path in found if path.stem == stem]
        found += [model] if model.is_file() and model not in found else []
    elif len(stems := sorted({path.stem for path in found})) > 1:
        raise InputError(f"{model} holds {len(stems)} models: {', '.join(stems)}", f"name one: {model / stems[0]}")
    forms: dict[Path, Description] = {}
    broken = []
    for path in found:
        try:
            forms[path] = identify(path)
        except ThroughlineError as error:
            if path == model:
                raise
            broken.append(PassedOver(path, error.problem))
    parts = {file for description in forms.values() for file in description.files}
    broken = [file for file in broken if file.path not in parts]
    if not forms:
        identify(model)  # says what is there instead of a model
        raise InputError(f"there is no model at {model}", "check the path")
    return forms, broken


def _relatives(anchor: Path, holding: list[Path]) -> set[Path]:
    """The files that a chain of parents ties to the anchor as it is now."""
    ties = {path: _ties(path) for path in holding if path != anchor}
    itself = passports.digest(anchor)
    known = _ties(anchor) if itself in _ties(anchor) else {itself}  # a stale passport names somebody else's parent
    related = {anchor}
    while new := {path for path in ties if path not in related and ties[path] & known}:
        related |= new
        known |= {tie for path in new for tie in ties[path]}
    return related


def _ties(path: Path) -> set[str]:
    """The hashes that a file's passport names: its own and its parent's."""
    try:
        passport = passports.read(path)
    except ThroughlineError:
        return set()
    return {tie for tie in (passport.sha256, passport.parent) if tie} if passport else set()


def _rank(description: Description, order: tuple[str, ...]) -> int:
    return order.index(description.format) if description.format in order else len(order)
