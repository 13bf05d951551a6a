"""The passport beside a model file: what it says, whether it holds, and how it is issued.

A passport answers three different questions, so it carries three different ties:

- ``sha256`` ties it to its file: a byte changed in either is noticed.
- ``checksum`` covers the passport itself, so that a mismatch can be blamed on the right one.
- ``seal`` is keyed with a secret of this machine: a stranger can hand you a program
  *with* a matching passport, but cannot make one that says "made or trusted here".
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import hmac
import json
import os
import re
import secrets
import tempfile
from collections.abc import Mapping, Set
from pathlib import Path
from typing import Any

from throughline.contracts.artifacts import Artifact, Passport, Step, TensorSpec
from throughline.contracts.errors import InputError, PassportMismatch
from throughline.contracts.verdicts import Check, Verdict
from throughline.files import whole_file

SCHEMA = Path(__file__).with_name("passport.schema.json")
VERSION = 1
_LARGEST = 16 * 2**20
_HASH = re.compile("[0-9a-f]{64}")


def path_of(model: Path) -> Path:
    """Where the passport of a model sits, or would be written.

    ``model.onnx`` -> ``model.passport.json``; when that one belongs to a sibling
    (``model.xml``, say), ``model.onnx.passport.json``.
    """
    long, short = model.with_name(f"{model.name}.passport.json"), model.with_suffix(".passport.json")
    return long if long.exists() or _belongs_to_sibling(short, model) else short


def read(model: Path) -> Passport | None:
    """The passport beside a model, whether or not it matches its file; None when there is none."""
    path = path_of(model)
    if not path.exists():
        return None
    try:
        if path.stat().st_size > _LARGEST:
            raise InputError(f"{path}: a passport of {path.stat().st_size:,} bytes; at most {_LARGEST:,} are read")
        return parse(json.loads(path.read_text("utf-8")))
    except (ValueError, KeyError, TypeError, OSError, RecursionError) as error:
        raise InputError(f"{path}: not a passport: {_reason(error)}", _remake(model)) from None


def verify(model: Path, passport: Passport) -> None:
    """Raise, saying which of the two changed, unless the passport is whole and matches its file."""
    where = path_of(model)
    if not hmac.compare_digest(passport.checksum, checksum(passport)):
        raise PassportMismatch(f"{where}: the passport was edited after it was issued", _remake(model))
    files = {model.name: passport.sha256, **passport.companions}
    for name, expected in files.items():
        file = model.with_name(name)
        if not file.is_file():
            raise PassportMismatch(f"{file}: missing; the passport of {model.name} says it belongs to the model")
        if (found := digest(file)) != expected:
            raise PassportMismatch(
                f"{file}: the file changed after its passport was issued (sha256 {found[:12]}, not {expected[:12]})",
                _remake(model),
            )


def holds(model: Path) -> str | None:
    """None when the passport beside a model is whole, matches it, was sealed here and fits this machine.

    Otherwise the reason, in one line. This is what lets a program (TorchScript, an
    engine) be opened without ``--trust``.
    """
    try:
        passport = read(model)
        if passport is None:
            return "it has no passport"
        verify(model, passport)
    except (InputError, PassportMismatch) as error:
        return error.problem
    return lacks(passport)


def lacks(passport: Passport) -> str | None:
    """What a passport that was verified already lacks to hold here; None when it lacks nothing."""
    if not is_sealed(passport):
        return "its passport was not sealed on this machine"
    from throughline.hardware import fingerprint

    here = fingerprint()
    for name, value in passport.machine.items():
        if here.get(name) != value:
            return f"it was built for {name} {value}; this machine has {here.get(name, 'none')}"
    return None


def vouched(artifact: Artifact) -> bool:
    """Whether a passport that was written on this machine vouches for a file."""
    return artifact.issued and lacks(artifact.passport) is None


def issue(model: Path, passport: Passport, *, vouch: bool) -> Passport:
    """Write a passport beside its file, whole or not at all, and return it as written.

    Args:
        model: the file it is for, already in its final place.
        passport: what to say; its hashes, size, checksum and seal are filled in here.
        vouch: seal it: this machine made the file, or its user trusts it.
    """
    passport = dataclasses.replace(
        passport,
        file=model.name,
        sha256=digest(model),
        size=model.stat().st_size,
        companions={name: digest(model.with_name(name)) for name in passport.companions},
    )
    passport = dataclasses.replace(passport, checksum=checksum(passport))
    try:
        parse(json.loads(json.dumps(to_json(passport), allow_nan=False)))
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{model.name} cannot have this passport: {_reason(error)}", "correct what is given") from None
    passport = dataclasses.replace(passport, seal=seal_of(checksum(passport)) if vouch else "")
    text = json.dumps(to_json(passport), indent=2, allow_nan=False) + "\n"
    with whole_file(path_of(model)) as draft:
        draft.write_text(text, "utf-8")
    return passport


def digest(path: Path) -> str:
    """The sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def checksum(passport: Passport) -> str:
    """The sha256 of everything a passport says, except its checksum and seal."""
    body = to_json(dataclasses.replace(passport, checksum="", seal=""))
    return hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def is_sealed(passport: Passport) -> bool:
    """Whether this machine's key made the seal."""
    return was_sealed(checksum(passport), passport.seal)


def seal_of(digest: str) -> str:
    """What only this machine can say of a text with this hash: a keyed hash of it."""
    return hmac.new(_key(), digest.encode(), hashlib.sha256).hexdigest()


def was_sealed(digest: str, seal: str) -> bool:
    """Whether this machine's key made a seal, of a text with this hash."""
    return bool(seal) and _key_path().exists() and hmac.compare_digest(seal, seal_of(digest))


def to_json(passport: Passport) -> dict[str, Any]:
    """The passport as plain JSON values, in the order people read them."""
    return {"passport": VERSION, **_plain(passport)}


def parse(body: Any) -> Passport:
    """A passport from its JSON. Raises ValueError, KeyError or TypeError on anything that the schema does not allow."""
    fields = dict(_object(body, "the passport", {"passport", *(field.name for field in dataclasses.fields(Passport))}))
    if (version := fields.pop("passport")) != VERSION or isinstance(version, bool):
        raise ValueError(f"'passport' is {version!r}; this version reads {VERSION}")
    for name in ("file", "format"):
        _text(fields[name], name)
    for name in ("sha256", "checksum", "seal"):
        if not (_HASH.fullmatch(_text(fields[name], name)) or (name == "seal" and not fields[name])):
            raise ValueError(f"'{name}' is not a sha256 in hexadecimal")
    for name in ("task", "decoder", "precision", "licence", "parent"):
        if fields.get(name) is not None:
            _text(fields[name], name)
    _count(fields["size"], "size")
    if fields.get("stride") is not None:
        _count(fields["stride"], "stride")
    if fields.get("imgsz") is not None:
        height, width = (_count(side, "imgsz") for side in _list(fields["imgsz"], "imgsz"))
        fields["imgsz"] = (height, width)
    fields["labels"] = tuple(_text(item, "labels") for item in _list(fields.get("labels", []), "labels"))
    for name, read_one in (("inputs", _tensor), ("outputs", _tensor), ("steps", _step), ("evidence", parse_verdict)):
        fields[name] = tuple(read_one(item) for item in _list(fields.get(name, []), name))
    fields["machine"] = {
        key: _text(value, "machine") for key, value in _object(fields.get("machine", {}), "machine").items()
    }
    fields["companions"] = dict(_object(fields.get("companions", {}), "companions"))
    for name in (fields["file"], *fields["companions"]):
        if "/" in name or name in {"", ".", ".."}:
            raise ValueError(f"{name!r} is not the name of a file beside the passport")
    if not all(_HASH.fullmatch(_text(value, "companions")) for value in fields["companions"].values()):
        raise ValueError("'companions' holds something that is not a sha256 in hexadecimal")
    return Passport(**fields)


def _belongs_to_sibling(passport: Path, model: Path) -> bool:
    try:
        owner = json.loads(passport.read_text("utf-8"))["file"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False
    return isinstance(owner, str) and owner != model.name and "/" not in owner and model.with_name(owner).exists()


def _key_path() -> Path:
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "throughline" / "key"


def _key() -> bytes:
    """This user's secret on this machine, made the first time it is needed."""
    path = _key_path()
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            handle, fresh = tempfile.mkstemp(dir=path.parent)
            with os.fdopen(handle, "wb") as file:
                file.write(secrets.token_bytes(32))
            with contextlib.suppress(FileExistsError):
                os.link(fresh, path)  # the first of two processes wins, and both read the winner's
            os.unlink(fresh)
        return path.read_bytes()
    except OSError as error:
        raise InputError(
            f"cannot keep this machine's sealing key in {path.parent}: {error.strerror}",
            "make that folder writable, or set XDG_STATE_HOME to one that is",
        ) from None


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, tuple | list) else value


def _tensor(body: Any) -> TensorSpec:
    fields = _object(body, "a tensor", {"name", "dtype", "shape"})
    shape = tuple(_list(fields["shape"], "shape"))
    if any(isinstance(size, bool) or not isinstance(size, int | str) for size in shape):
        raise TypeError(f"a shape holds sizes and names of sizes, not {list(shape)}")
    return TensorSpec(_text(fields["name"], "name"), _text(fields["dtype"], "dtype"), shape)


def _step(body: Any) -> Step:
    fields = _object(body, "a step", {"name", "options", "tool"})
    options = _object(fields.get("options", {}), "options")
    return Step(_text(fields["name"], "name"), options, _text(fields.get("tool", ""), "tool"))


def parse_verdict(body: Any) -> Verdict:
    """A verdict from its JSON; raises as ``parse`` does."""
    fields = _object(body, "evidence", {"subjects", "checks"})
    subjects = tuple(_text(item, "subjects") for item in _list(fields["subjects"], "subjects"))
    return Verdict(subjects, tuple(_check(item) for item in _list(fields["checks"], "checks")))


def _check(body: Any) -> Check:
    fields = _object(body, "a check", {"name", "observed", "limit", "passed"})
    for name in ("observed", "limit"):
        if isinstance(fields[name], bool) or not isinstance(fields[name], int | float | str):
            raise TypeError(f"'{name}' is {fields[name]!r}, not a number or text")
    if not isinstance(fields["passed"], bool):
        raise TypeError(f"'passed' is {fields['passed']!r}, not true or false")
    return Check(_text(fields["name"], "name"), fields["observed"], fields["limit"], fields["passed"])


def _object(value: Any, name: str, allowed: Set[str] | None = None) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"{name} is {type(value).__name__}, not an object")
    if allowed is not None and (unknown := set(value) - allowed):
        raise ValueError(f"{name} has an unknown key '{min(unknown)}'")
    return value


def _list(value: Any, name: str) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError(f"'{name}' is {type(value).__name__}, not a list")
    return value


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"'{name}' is {type(value).__name__}, not text")
    return value


def _count(value: Any, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise TypeError(f"'{name}' is {value!r}, not a whole number")
    return value


def _reason(error: Exception) -> str:
    return f"it lacks {error}" if isinstance(error, KeyError) else str(error)


def _remake(model: Path) -> str:
    return f"put back the file or passport that belongs, or remove {path_of(model).name} and inspect the model anew"
