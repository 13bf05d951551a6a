"""Who may do what: API keys, of which only hashes lie on the disk, and what needs which.

A key is 32 random bytes, so one round of SHA-256 is enough to keep it: nobody guesses it from its hash. All keys are
compared, each in constant time, so that how long a refusal takes tells nothing.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from throughline.contracts.errors import InputError
from throughline.files import whole_file
from throughline.serving.refusals import Refused

ROLES: Final = ("open", "infer", "admin")
"""What a route asks for, each including those before it: nothing, a right to ask models, a right to change them."""
_PREFIX: Final = "tl_"


@final
@dataclass(frozen=True, slots=True)
class Key:
    """One key, as it lies on the disk."""

    name: str
    role: str
    sha256: str


@final
class Door:
    """Lets requests in, or says why not."""

    def __init__(self, keys: Sequence[Key] = (), anonymous: bool = True) -> None:
        """``anonymous``: whoever has no key may ask models; never more than that."""
        self.keys, self.anonymous = tuple(keys), anonymous

    def check(self, role: str, authorization: str | None) -> str:
        """Who asks; "" for somebody without a key.

        Raises:
            Refused: this needs a key, or another one.
        """
        if role not in ROLES:
            raise AssertionError(f"no route may ask for '{role}'")
        if role == "open":
            return ""
        key = self._known(authorization) if authorization else None
        if key is None:
            if authorization:
                raise Refused(401, "the key is not known here", "send: Authorization: Bearer KEY")
            if role == "infer" and self.anonymous:
                return ""
            fix = "send: Authorization: Bearer KEY" if self.keys else "start the server with --keys FILE"
            raise Refused(401, f"this needs a key with the role '{role}'", fix)
        if ROLES.index(key.role) < ROLES.index(role):
            raise Refused(
                403, f"the key '{key.name}' has the role '{key.role}', and this needs '{role}'", "use another"
            )
        return key.name

    def _known(self, authorization: str) -> Key | None:
        scheme, _, token = authorization.partition(" ")
        given = _hash(token.strip() if scheme.lower() == "bearer" else "")
        found = None
        for key in self.keys:
            if hmac.compare_digest(key.sha256, given):
                found = key
        return found


def read_keys(path: Path) -> tuple[Key, ...]:
    """The keys of a file."""
    try:
        said = json.loads(path.read_text("utf-8"))
        keys = tuple(Key(str(one["name"]), str(one["role"]), str(one["sha256"])) for one in said["keys"])
    except (OSError, ValueError, TypeError, KeyError) as error:
        reason = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
        raise InputError(f"{path} holds no keys: {reason}", "make one: throughline key NAME --keys FILE") from None
    for key in keys:
        if key.role not in ROLES[1:]:
            raise InputError(f"{path}: the key '{key.name}' has the role '{key.role}'", "roles are infer and admin")
        if re.fullmatch("[0-9a-f]{64}", key.sha256) is None:
            raise InputError(f"{path}: the key '{key.name}' has no SHA-256 hash", "make it again: throughline key")
    return keys


def new_key(path: Path, name: str, role: str) -> str:
    """Add a key to a file, which is made where there is none, and return it: it cannot be read again."""
    if role not in ROLES[1:]:
        raise InputError(f"--role {role}: there is no such role", "give infer or admin")
    keys = read_keys(path) if path.exists() else ()
    if any(one.name == name for one in keys):
        raise InputError(f"{path} has a key called '{name}'", "give the new one another name, or take that one out")
    token = _PREFIX + secrets.token_urlsafe(32)
    kept = [*keys, Key(name, role, _hash(token))]
    written = {"keys": [{"name": one.name, "role": one.role, "sha256": one.sha256} for one in kept]}
    with whole_file(path) as draft:
        draft.chmod(0o600)
        draft.write_text(json.dumps(written, indent=2) + "\n", "utf-8")
    return token


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
