"""From a registered version to a file on this machine that is certainly the one that was registered.

Files are kept in a cache under the hashes of their content and are hashed anew every time they are asked for, so that
what runs is what was promoted, whatever has happened to the disk since. A version that plain MLflow registered carries
no hashes: it is fetched each time, and only a kind of file that holds data and no Python objects is taken out of it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from throughline.contracts.errors import InputError, ModelRefused, Unavailable, first_line
from throughline.files import whole_file
from throughline.models import passport as passports
from throughline.models.identify import identify
from throughline.models.mlflow_server import Server, ask, connect
from throughline.models.registry_file import Row

FILES_TAG: Final = "throughline.files"
"""The tag of a version that names its files with their hashes."""

_HERE: Final = ("localhost", "127.0.0.1", "::1")
_LARGEST: Final = 4 << 20
_PLAIN: Final = {"onnx": "data", "xgboost": "data", "lightgbm": "data", "sklearn": "pickled_model"}
"""MLflow's flavours whose files may be data alone, and where they say which file it is."""


@dataclass(frozen=True, slots=True)
class Files:
    """What a registered version consists of.

    Attributes:
        model: the name of its file.
        hashes: the sha256 of it and of every file that it reads, by name.
        passport: the name and the sha256 of its passport.
    """

    model: str
    hashes: Mapping[str, str]
    passport: tuple[str, str] | None = None

    @property
    def sha256(self) -> str:
        """The hash of the model's file."""
        return self.hashes[self.model]

    @property
    def content(self) -> str:
        """One hash for all of the model's bytes, whatever its own file is called."""
        parts = sorted(f"{name} {value}" for name, value in self.hashes.items() if name != self.model)
        return hashlib.sha256("\n".join([self.sha256, *parts]).encode()).hexdigest()

    @property
    def place(self) -> str:
        """One hash for all of it, names and passport too: what a folder of these files is called."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    def to_json(self) -> str:
        """As it is kept in the registry."""
        said = {"model": self.model, "hashes": dict(self.hashes), "passport": self.passport}
        return json.dumps(said, sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Files:
        """Read it; a name that leads out of its folder is refused."""
        try:
            said = json.loads(text)
            passport = (str(said["passport"][0]), str(said["passport"][1])) if said["passport"] else None
            found = cls(str(said["model"]), {str(k): str(v) for k, v in said["hashes"].items()}, passport)
            names = [found.model, *found.hashes, *([passport[0]] if passport else [])]
            if found.model not in found.hashes or any(not _is_plain(name) for name in names):
                raise ValueError("a name leads out of its folder")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ModelRefused(
                f"the registry's list of a model's files is damaged: {str(error)[:100]}", "register the model again"
            ) from None
        return found


def files_of(version: Any) -> Files | None:
    """The files of a version that Throughline registered; None of one that plain MLflow did."""
    text = version.tags.get(FILES_TAG)
    return None if text is None else Files.from_json(text)


def fetch(server: Server, version: Any) -> Path:
    """A version's model file on this machine, with all that belongs to it beside it, checked."""
    files, label = files_of(version), f"models:/{version.name}/{version.version}"
    if files is None:
        with _source(server, version, label) as folder:
            model = model_file(folder, label)
            described = identify(model)
            hashes = {part.name: passports.digest(part) for part in (model, *described.files)}
            if any(part.parent != model.parent for part in described.files):
                raise ModelRefused(f"{label}: its parts lie in several folders", "register it as one file")
            files = Files(model.name, hashes)
            return _kept(files, model.parent, label)
    place = cache() / files.place
    beside = files.passport is None or (place / files.passport[0]).exists()
    if beside and all(holds(place / name, sha256) for name, sha256 in files.hashes.items()):
        return place / files.model
    with _source(server, version, label) as folder:
        return _kept(files, folder, label)


def model_file(folder: Path, label: str) -> Path:
    """The model in a folder that MLflow wrote, where it is data; what holds Python objects is refused."""
    import yaml

    described = folder / "MLmodel"
    try:
        if described.stat().st_size > _LARGEST:
            raise ValueError("it is absurdly long")
        flavors = yaml.safe_load(described.read_text("utf-8"))["flavors"]
        found = _data_file(flavors)
    except OSError:
        raise InputError(f"{label} holds no MLmodel file, so that nothing says what it is", "log it again") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, yaml.YAMLError) as error:
        raise InputError(
            f"{label}: its MLmodel file cannot be read: {first_line(error)[:100]}", "log it again"
        ) from None
    if found is None:
        names = ", ".join(sorted(str(name) for name in flavors if name != "python_function")) or "python_function"
        raise ModelRefused(
            f"{label} was logged as {names}, which keeps Python objects (pickle): opening it would run what is in it",
            "export it to ONNX where it was made, and register that: throughline register model.onnx NAME",
        )
    path = (folder / found).resolve()
    if not path.is_relative_to(folder.resolve()) or not path.is_file():
        raise ModelRefused(f"{label}: its MLmodel file names {found!r}, which is not in it", "log it again")
    return folder / found


def cache() -> Path:
    """Where fetched models lie."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "throughline" / "models"


def holds(path: Path, sha256: str) -> bool:
    """Whether a file is there and has this hash."""
    try:
        return path.is_file() and passports.digest(path) == sha256
    except OSError:
        return False


def _data_file(flavors: Mapping[str, Any]) -> str | None:
    for name, key in _PLAIN.items():
        said = flavors.get(name)
        if said is None or said.get("serialization_format", "skops") not in ("skops", None):
            continue
        file = said[key]
        if not isinstance(file, str) or "\0" in file:  # a text of YAML's references can be longer than any memory
            raise TypeError(f"the file of '{name}' is no name")
        if not file.endswith((".pkl", ".pickle", ".joblib")):
            return file
    return None


def _kept(files: Files, folder: Path, label: str) -> Path:
    """Copy a version's files into the cache, each checked before it is there; its own file last."""
    place = cache() / files.place
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{place}: cannot write: {error.strerror}", "set XDG_CACHE_HOME to a folder that you can write to"
        ) from None
    if files.passport and not (place / files.passport[0]).exists():
        _copy(folder, place, *files.passport, label)
    for name, sha256 in sorted(files.hashes.items(), key=lambda part: part[0] == files.model):
        _copy(folder, place, name, sha256, label)
    return place / files.model


def _copy(folder: Path, place: Path, name: str, sha256: str, label: str) -> None:
    source = folder / name
    if not source.is_file():
        raise ModelRefused(f"{label}: {name} is gone from the registry's files", "register the model again")
    with whole_file(place / name) as draft:
        shutil.copyfile(source, draft)
        if (found := passports.digest(draft)) != sha256:
            raise ModelRefused(
                f"{label}: {name} is not what was registered (sha256 {found[:12]}, not {sha256[:12]})",
                "somebody changed the registry's files: restore them, or register the model again",
            )


@contextmanager
def _source(server: Server, version: Any, label: str) -> Iterator[Path]:
    """The folder that MLflow keeps a version in: as it lies here, or fetched from the tracking server."""
    if isinstance(version, Row):
        uri = version.place
    else:
        client = connect(server)
        uri = str(ask(server, lambda: client.get_model_version_download_uri(version.name, str(version.version))))
    parts, host = urlsplit(uri), urlsplit(server.tracking).hostname
    if parts.scheme in ("", "file"):
        if server.database is None and host is not None and host not in _HERE:
            raise Unavailable(
                f"{label}: its files lie at {uri} on the server, which does not hand them out",
                "start the server with --serve-artifacts",
            )
        yield Path(unquote(parts.path) if parts.scheme else uri)
        return
    if parts.scheme not in ("mlflow-artifacts", "runs", "models") or parts.hostname not in (None, "", host):
        raise Unavailable(
            f"{label}: its files lie at {uri}; only the tracking server itself is asked for files",
            "let the server hand them out (--serve-artifacts), or fetch them by hand and give the file",
        )
    connect(server)  # before anything of MLflow is loaded
    from mlflow.artifacts import download_artifacts

    with tempfile.TemporaryDirectory(prefix="throughline-fetch-") as folder:
        yield Path(
            ask(
                server,
                lambda: download_artifacts(
                    artifact_uri=uri, dst_path=folder, tracking_uri=server.tracking, registry_uri=server.registry
                ),
            )
        )


def _is_plain(name: str) -> bool:
    return bool(name) and "/" not in name and "\\" not in name and name not in (".", "..") and "\0" not in name
