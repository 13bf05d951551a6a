"""What has to be installed where the model will run: this Throughline, and the versions that it uses here.

Nothing is looked up in an index: whoever proved the model did it with exactly these. Throughline itself comes along as
a wheel of the very code that runs now, wherever it was installed from.
"""

from __future__ import annotations

import base64
import hashlib
import zipfile
from collections.abc import Iterator, Sequence
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Final

from throughline.contracts.errors import MissingExtra, Unavailable

_US: Final = "throughline"
_WHEEL: Final = "Wheel-Version: 1.0\nGenerator: throughline deploy\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
_WHEN: Final = (1980, 1, 1, 0, 0, 0)
"""The same files give the same wheel, whenever it is packed."""


def pins(*extras: str) -> list[str]:
    """Every package that Throughline needs with these extras, and all that those need: ``name==version``."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    versions: dict[str, str] = {}
    wanted: list[tuple[str, tuple[str, ...]]] = [(_US, extras)]
    done: set[tuple[str, tuple[str, ...]]] = set()
    while wanted:
        name, asked = wanted.pop()
        if (name, asked) in done:
            continue
        done.add((name, asked))
        about = _installed(name, extras)
        # what follows the plus is how it was built here, which no index knows
        versions[name] = about.version.partition("+")[0]
        for text in about.requires or ():
            one = Requirement(text)
            if one.marker is None or any(one.marker.evaluate({"extra": extra}) for extra in ("", *asked)):
                wanted.append((canonicalize_name(one.name), tuple(sorted(one.extras))))
    return [f"{name}=={version}" for name, version in sorted(versions.items()) if name != _US]


def pack_wheel(folder: Path) -> Path:
    """Put this Throughline into a wheel, as it lies here, and say where it is."""
    about = _installed(_US, ())
    information = f"{_US}-{about.version}.dist-info"
    path = folder / f"{_US}-{about.version}-py3-none-any.whl"
    record = []
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in (*_package(), *_information(about, information)):
            archive.writestr(zipfile.ZipInfo(name, _WHEN), content, zipfile.ZIP_DEFLATED)
            hashed = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")
            record.append(f"{name},sha256={hashed},{len(content)}\n")
        listed = f"{information}/RECORD"
        archive.writestr(zipfile.ZipInfo(listed, _WHEN), "".join([*record, f"{listed},,\n"]))
    return path


def _installed(name: str, extras: Sequence[str]) -> Distribution:
    try:
        return distribution(name)
    except PackageNotFoundError:
        if name == _US:
            fix = "install it: pip install ."
            raise Unavailable(
                "Throughline runs here without being installed, so nothing says what it needs", fix
            ) from None
        raise MissingExtra(name, "knowing which versions to install", ",".join(extras) or "all") from None


def _package() -> Iterator[tuple[str, bytes]]:
    home = Path(__file__).parents[2]
    for path in sorted(home.rglob("*")):
        if path.is_file() and path.suffix != ".pyc":
            yield f"{_US}/{path.relative_to(home).as_posix()}", path.read_bytes()


def _information(about: Distribution, folder: str) -> Iterator[tuple[str, bytes]]:
    yield f"{folder}/WHEEL", _WHEEL.encode()
    for name in ("METADATA", "entry_points.txt", "licenses/LICENSE"):
        if text := about.read_text(name):
            yield f"{folder}/{name}", text.encode()
