"""`throughline key`: a new API key for serving."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from throughline.terminal import fields


@dataclass(frozen=True, slots=True)
class KeyReport:
    """A key that was made.

    Attributes:
        key: what a client sends; it is kept nowhere.
        file: where its hash is.
    """

    name: str
    role: str
    key: str
    file: Path

    def __str__(self) -> str:
        return fields(
            [
                ("key", self.key),
                ("for", f"{self.name}, who may {'change what is served' if self.role == 'admin' else 'ask models'}"),
                ("sent as", f"Authorization: Bearer {self.key}"),
                ("note", f"it cannot be read again: {self.file} holds only its hash"),
            ]
        )


def key(name: str, /, *, role: str = "infer", keys: Path = Path("keys.json")) -> KeyReport:
    """Make a key that clients of ``throughline serve --keys`` send; it is shown once, and only its hash is kept.

    Args:
        name: Whose it is.
        role: What it is for: infer, or admin to change what is served.
        keys: The file of keys; made where there is none.
    """
    from throughline.serving.keys import new_key

    return KeyReport(name, role, new_key(keys, name, role), keys)
