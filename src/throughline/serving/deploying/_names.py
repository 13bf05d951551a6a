"""Names that are the same word to a shell, a Dockerfile, YAML, DNS and Kubernetes: letters, digits and dashes."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from throughline.contracts.errors import InputError

_LONGEST: Final = 52
"""A DNS label has 63 characters at most, and Kubernetes hangs its own endings on a name."""
_NAME: Final = re.compile(rf"[a-z](?:[a-z0-9-]{{0,{_LONGEST - 2}}}[a-z0-9])?", re.ASCII)
_WORD: Final = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_HOST: Final = rf"(?:{_WORD}(?:\.{_WORD})*(?::[0-9]+)?/)?"
_PART: Final = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_IMAGE: Final = re.compile(
    rf"{_HOST}{_PART}(?:/{_PART})*(?::[a-zA-Z0-9_][a-zA-Z0-9_.-]{{0,127}})?(?:@sha256:[0-9a-f]{{64}})?", re.ASCII
)


def checked_name(name: str) -> str:
    """A name that was given, if it can be one."""
    if not _NAME.fullmatch(name):
        raise InputError(
            f"--name {name!r}: a name is a letter, then letters, digits and dashes, in lower case, "
            f"{_LONGEST} at most, with no dash at its end",
            f"--name {name_from(name)}",
        )
    return name


def name_from(text: str) -> str:
    """A name out of any text: what cannot be part of one becomes a dash."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    words = re.sub("[^a-z0-9]+", "-", plain).strip("-")
    if not words[:1].isalpha():
        words = f"model-{words}"
    return words[:_LONGEST].strip("-")


def checked_image(image: str) -> str:
    """The name of an image, if a registry takes it: HOST/PATH:TAG, or one with a digest."""
    if len(image) > 255 or not _IMAGE.fullmatch(image):
        raise InputError(
            f"--image {image!r} is not the name of an image",
            "write it as REGISTRY/NAME:TAG, such as registry.example.com/models/detector:1",
        )
    return image
